//! What a layer is made of: the trait of all units, a file for each kind, several kinds side by side, and every configuration of them.

mod bernoulli;
mod binomial;
mod build;
mod concat;
pub mod enumerate;
mod gaussian;
mod kind;
mod layer;
mod multinomial;
mod none;
mod potts;
mod relu;
mod spin;
mod support;

pub use bernoulli::Bernoulli;
pub use binomial::Binomial;
pub use build::check_storable;
pub use concat::Concat;
pub use gaussian::Gaussian;
pub use kind::{Units, Variance};
pub use layer::{Discrete, Layer, Tail, add_to_biases};
pub use multinomial::Multinomial;
pub use none::NoUnits;
pub use potts::Potts;
pub use relu::Relu;
pub use spin::Spin;
pub use support::{States, Support};
