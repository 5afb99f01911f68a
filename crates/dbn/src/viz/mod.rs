//! Pictures and charts: PNG and GIF files with titles, axes and units, of what cannot be seen in a table.

mod curves;
pub mod gallery;
pub mod images;
mod plot;
pub mod report;

pub use self::curves::{
    Convergence, acceptance, acceptance_by_epoch, codes, correlations, estimates, free_energies,
    learning, singular_values,
};
pub use self::plot::{Mark, Plot, Series};
