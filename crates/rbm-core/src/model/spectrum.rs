//! The singular values of the weights: what a machine has learned, one direction after the other.
//!
//! While a machine learns, directions leave the bulk of its first random weights one by one, each a mode of the data
//! (Decelle, Fissore, Furtlehner 2017).

use nalgebra::DMatrix;

use crate::ops::device::to_host;
use crate::{Rbm, Result};

/// The smaller side of the largest weights whose singular values are computed: their time grows with its cube.
pub const LARGEST: usize = 1024;

/// The `count` largest singular values of W, the largest first, as the roots of the eigenvalues of WᵀW or WWᵀ: good to half
/// of the digits that the machine's type has. `None` where both sides of W are above [`LARGEST`].
///
/// # Errors
///
/// When the weights cannot be read.
pub fn singular_values(rbm: &Rbm, count: usize) -> Result<Option<Vec<f64>>> {
    let weights = rbm.weights().as_detached_tensor();
    let (visible, hidden) = weights.dims2()?;
    let size = visible.min(hidden);
    if size > LARGEST {
        return Ok(None);
    }
    let transposed = weights.t()?.contiguous()?;
    let gram = if hidden <= visible {
        transposed.matmul(&weights)?
    } else {
        weights.matmul(&transposed)?
    };
    let gram = to_host(&gram)?.flatten_all()?.to_vec1::<f64>()?;
    let eigenvalues = DMatrix::from_vec(size, size, gram).symmetric_eigenvalues();
    let mut values: Vec<f64> = eigenvalues.iter().map(|square| square.max(0.0).sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(count);
    Ok(Some(values))
}
