//! Numbers about a model: its likelihood, a bound on it, and errors on cases that it has not seen.

pub mod bound;
pub mod evaluation;
pub mod likelihood;

pub use self::evaluation::Evaluation;
pub use self::likelihood::{KEPT, KeptPartition};
