//! Numbers about a model: its likelihood, a bound on it, and what it is worth on cases that it has not seen.

pub mod bound;
pub mod evaluation;
mod kept_partition;
pub mod likelihood;

pub use self::evaluation::Evaluation;
pub use self::kept_partition::{KEPT, KeptPartition};
