//! Pictures and charts: PNG and GIF files of what cannot be seen in a table (feature `viz`).

mod charts;
pub mod gallery;
pub mod images;
mod plot;
pub mod report;

pub use self::charts::{
    Convergence, acceptance, acceptance_by_epoch, codes, correlations, estimates, free_energies,
    learning, singular_values,
};
pub use self::plot::{Mark, Plot, Series};
