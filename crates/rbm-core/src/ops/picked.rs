//! The left side of a product, where little of it is not zero or all is zero or one, in the form that its sums are made from.

use super::density::Density;
use super::fours::Fours;
use super::processor::Way;
use super::real::Real;
use super::sparse::Nonzeros;

/// A matrix whose product with another is sums of rows of the other.
#[derive(Debug)]
pub(super) enum Picked<T> {
    /// Of single rows.
    Rows(Nonzeros<T>),
    /// Of sums of four.
    Fours(Fours),
}

impl<T: Real> Picked<T> {
    /// `x`, row-major and `width` wide, for the way `way`. `None` where that is the dense one, or where `x` is not what its `density` promised.
    pub(super) fn of(x: &[T], width: usize, way: Way, density: Density) -> Option<Self> {
        match way {
            Way::Dense => None,
            Way::Rows => Nonzeros::of(x, width, most(density)).map(Self::Rows),
            Way::Fours => Fours::of(x, width).map(Self::Fours),
        }
    }

    /// The same of the transposed matrix.
    pub(super) fn of_transposed(x: &[T], width: usize, way: Way, density: Density) -> Option<Self> {
        match way {
            Way::Dense => None,
            Way::Rows => Nonzeros::of(x, width, most(density))
                .map(|nonzeros| Self::Rows(nonzeros.transposed(width))),
            Way::Fours => Fours::of_transposed(x, width).map(Self::Fours),
        }
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.rows(),
            Self::Fours(fours) => fours.rows(),
        }
    }

    /// How many rows, or sums of them, are added.
    pub(super) fn additions(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Fours(fours) => fours.additions(),
        }
    }
}

/// The share that may be not zero after all where `density` was seen in some of the rows: beyond it, their lists are not worth having.
fn most(density: Density) -> f64 {
    (1.5 * density.elements + 0.02).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_bits_is_picked_as_it_is_asked() {
        let x: Vec<f32> = (0..200).map(|i| f32::from(i % 5 == 0)).collect();
        let (along, down) = (Density::along_rows(&x, 20), Density::along_columns(&x, 20));
        for (way, is_it) in [
            (Way::Rows, (|found| matches!(found, Some(Picked::Rows(_)))) as fn(_) -> bool),
            (Way::Fours, |found| matches!(found, Some(Picked::Fours(_)))),
            (Way::Dense, |found| found.is_none()),
        ] {
            assert!(is_it(Picked::of(&x, 20, way, along)), "{way:?}");
            assert!(is_it(Picked::of_transposed(&x, 20, way, down)), "{way:?}");
        }
    }
}
