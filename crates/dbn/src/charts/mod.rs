//! Charts of what cannot be seen in a table: PNG files with titles, axes and units.

mod figures;
mod plot;
pub(crate) mod text;

pub use figures::{
    Convergence, acceptance, acceptance_by_epoch, codes, estimates, free_energies, learning,
    singular_values,
};
pub use plot::{Mark, Plot, Series};
