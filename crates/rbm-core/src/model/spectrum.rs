//! The singular values of the weights: what a machine has learned, one direction after the other.
//!
//! While a machine learns, directions leave the bulk of its first random weights one by one, each a mode of the data
//! (Decelle, Fissore, Furtlehner 2017).

use nalgebra::DMatrix;

use crate::ops::device::{is_finite, to_host};
use crate::{Error, Rbm, Result};

/// The smaller side of the largest weights whose singular values are computed: their time grows with its cube.
pub const LARGEST: usize = 1024;

/// The `count` largest singular values of W, the largest first. `None` where both sides of W are above [`LARGEST`].
///
/// # Errors
///
/// When the weights cannot be read, or are not finite.
pub fn singular_values(rbm: &Rbm, count: usize) -> Result<Option<Vec<f64>>> {
    let weights = rbm.weights().as_detached_tensor();
    let (visible, hidden) = weights.dims2()?;
    if visible.min(hidden) > LARGEST {
        return Ok(None);
    }
    if !is_finite(&weights)? {
        return Err(Error::invalid("singular values", "finite weights", "NaN or infinity"));
    }
    let numbers = to_host(&weights)?.flatten_all()?.to_vec1::<f64>()?;
    let weights = DMatrix::from_row_iterator(visible, hidden, numbers);
    let tall = if hidden <= visible { weights } else { weights.transpose() };
    // Those of R, which is square, are those of W: the long side counts in one pass only.
    let mut values: Vec<f64> = tall.qr().r().singular_values().iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(count);
    Ok(Some(values))
}
