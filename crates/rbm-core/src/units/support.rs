//! What each unit of a discrete layer can be while all others stay as they are.

use std::ops::Range;

/// Units of one kind, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Support {
    /// Their columns.
    pub columns: Range<usize>,
    /// What each of them can be.
    pub states: States,
}

/// What a unit can be.
#[derive(Debug, Clone, PartialEq)]
pub enum States {
    /// A unit a column: these values, each with the logarithm of how many ways there are to it.
    Values(Vec<(f64, f64)>),
    /// A unit every so many columns: a one in one of them.
    OneOf(usize),
    /// So many units that share all the columns: each adds one to one of them.
    Draws(usize),
}

impl Support {
    /// `width` units of a column each.
    pub fn of_values(width: usize, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { columns: 0..width, states: States::Values(values.into_iter().collect()) }
    }

    /// The same units `by` columns further on.
    pub(super) fn moved(self, by: usize) -> Self {
        Self { columns: self.columns.start + by..self.columns.end + by, states: self.states }
    }

    /// How many units these are.
    pub fn count(&self) -> usize {
        match self.states {
            States::Values(_) => self.columns.len(),
            States::OneOf(states) => self.columns.len() / states.max(1),
            States::Draws(draws) => draws,
        }
    }
}
