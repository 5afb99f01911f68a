//! The singular values of the weights: what a machine has learned, and whether it is a distribution at all.
//!
//! While a machine learns, directions leave the bulk of its first random weights one by one, each a mode of the data
//! (Decelle, Fissore, Furtlehner 2017).
//!
//! Units without bounds can pull each other to infinity.
//!
//! Far out the energy is ½·xᵀΛx with the precisions of all layers on Λ's diagonal and −W beside it; bounded units play no
//! part. It grows in every direction if and only if the couplings W_ij/√(γ_i·γ_j) between unbounded units have a largest
//! eigenvalue below one: of two layers, the largest singular value. Where units on both sides are never negative, a negative coupling between them cannot pull, and
//! it is enough that this holds with such couplings set to zero. Without rectified units the condition is exact; with them it
//! is sufficient, and where no coupling of theirs is negative exact again for rectified units on both sides (Perron).

use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;

use crate::ops::device::{is_finite, to_host};
use crate::units::Tail;
use crate::{Error, Rbm, Result, Rng, ops};

/// The smaller side of the largest weights whose singular values are computed: their time grows with its cube.
pub const MAX_SIDE: usize = 1024;

/// The `count` largest singular values of W, the largest first. `None` where both sides of W are above [`MAX_SIDE`].
///
/// # Errors
///
/// When the weights cannot be read, or are not finite.
pub fn singular_values(rbm: &Rbm, count: usize) -> Result<Option<Vec<f64>>> {
    let weights = rbm.weights().as_detached_tensor();
    let (visible, hidden) = weights.dims2()?;
    if visible.min(hidden) > MAX_SIDE {
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

/// Steps of the power method, and the relative change after which it stops.
const STEPS: usize = 300;
const PRECISION: f64 = 1e-9;

impl Rbm {
    /// How strongly unbounded units of both layers are coupled, in units of their precisions: below one the machine can be
    /// normalised. Zero where one layer is bounded.
    ///
    /// # Errors
    ///
    /// When a precision cannot be read.
    pub fn coupling(&self) -> Result<f64> {
        if !self.is_unbounded()? {
            return Ok(0.0);
        }
        let (visible, hidden) = (self.visible().tails()?, self.hidden().tails()?);
        let deviations = |tails: &[Tail]| {
            Tensor::from_iter(tails.iter().map(|tail| tail.precision.sqrt().recip()), &Device::Cpu)
        };
        let couplings = to_host(self.weights())?
            .broadcast_mul(&deviations(&visible)?.unsqueeze(1)?)?
            .broadcast_mul(&deviations(&hidden)?)?;
        let plain = largest_singular_value(&couplings)?;
        if plain < 1.0 {
            return Ok(plain);
        }
        let mask = |tails: &[Tail]| {
            let is_one = |tail: &Tail| f64::from(u8::from(tail.is_nonnegative));
            Tensor::from_iter(tails.iter().map(is_one), &Device::Cpu)
        };
        let never_negative = mask(&visible)?.unsqueeze(1)?.broadcast_mul(&mask(&hidden)?)?;
        // Less the negative ones between two units that are never negative.
        let pulling = (&couplings - (couplings.minimum(0.0)? * never_negative)?)?;
        Ok(plain.min(largest_singular_value(&pulling)?))
    }

    /// Whether both layers have units without bounds, so that it is for the weights to decide whether this is a distribution.
    ///
    /// # Errors
    ///
    /// As [`Rbm::coupling`].
    pub fn is_unbounded(&self) -> Result<bool> {
        let is_free = |tails: Vec<Tail>| tails.iter().any(|tail| tail.precision < f64::INFINITY);
        Ok(is_free(self.visible().tails()?) && is_free(self.hidden().tails()?))
    }

    /// Asks whether the machine is a distribution at all.
    ///
    /// # Errors
    ///
    /// Where there is no partition function; and as [`Rbm::coupling`].
    pub fn check_normalisable(&self) -> Result<()> {
        let coupling = self.coupling()?;
        if coupling < 1.0 {
            return Ok(());
        }
        Err(Error::invalid(
            format!(
                "the machine of {} and {} units (it cannot be normalised)",
                self.visible().units(),
                self.hidden().units()
            ),
            "a coupling below 1 between unbounded units",
            format!("{coupling:.4}"),
        ))
    }
}

/// Errors unless the energy of units with these `tails` grows in every direction, where the pairs `[i, j]` of them, each once, have
/// the couplings W_ij; `units` names them.
pub(super) fn check_precisions(
    units: &str,
    tails: &[Tail],
    pairs: impl IntoIterator<Item = ([usize; 2], f64)>,
) -> Result<()> {
    let what = || format!("the machine of {units} units (it cannot be normalised)");
    if let Some(tail) = tails.iter().find(|tail| tail.precision.is_nan() || tail.precision <= 0.0) {
        let found = tail.precision.to_string();
        return Err(Error::invalid(what(), "precisions above 0", found));
    }
    let scaled = |([i, j], weight): ([usize; 2], f64)| {
        let (a, b) = (tails[i], tails[j]);
        let scaled = weight / (a.precision * b.precision).sqrt();
        // Of two units that are never negative, a negative coupling does not pull.
        let is_harmless = a.is_nonnegative && b.is_nonnegative && scaled < 0.0;
        ([i, j], if is_harmless { 0.0 } else { scaled })
    };
    let pairs: Vec<_> = pairs.into_iter().map(scaled).collect();
    // No eigenvalue is above the largest sum of a row (Gershgorin 1931).
    let mut sums = vec![0.0; tails.len()];
    for ([i, j], weight) in &pairs {
        sums[*i] += weight.abs();
        sums[*j] += weight.abs();
    }
    if sums.iter().all(|sum| *sum < 1.0) {
        return Ok(());
    }
    let mut couplings = DMatrix::<f64>::zeros(tails.len(), tails.len());
    for ([i, j], weight) in pairs {
        couplings[(i, j)] += weight;
        couplings[(j, i)] += weight;
    }
    let precisions = DMatrix::identity(tails.len(), tails.len()) - &couplings;
    if precisions.cholesky().is_some() {
        return Ok(());
    }
    let largest = match couplings.nrows() <= MAX_SIDE && couplings.iter().all(|x| x.is_finite()) {
        true => format!("{:.4}", couplings.symmetric_eigenvalues().max()),
        false => "1 or more".to_owned(),
    };
    Err(Error::invalid(
        what(),
        "couplings of unbounded units whose largest eigenvalue W/√(γγ) is below 1",
        largest,
    ))
}

/// By the power method on AᵀA, from a fixed random vector.
fn largest_singular_value(a: &Tensor) -> Result<f64> {
    let mut x = ops::normal((a.dim(1)?, 1), DType::F64, &Device::Cpu, &mut Rng::new(0))?;
    let transposed = a.t()?.contiguous()?;
    let mut value = 0.0;
    for _ in 0..STEPS {
        let length = norm(&x)?;
        if length == 0.0 || !length.is_finite() {
            return Ok(length);
        }
        let image = a.matmul(&(x / length)?)?;
        let found = norm(&image)?;
        if (found - value).abs() <= PRECISION * found {
            return Ok(found);
        }
        value = found;
        x = transposed.matmul(&image)?;
    }
    Ok(value)
}

fn norm(x: &Tensor) -> Result<f64> {
    Ok(x.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}
