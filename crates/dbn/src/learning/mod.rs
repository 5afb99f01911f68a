//! How a stack learns: machine by machine, and all of them together. Nothing here knows a recipe.

pub mod greedy;
pub mod up_down;

pub use self::up_down::UpDown;
