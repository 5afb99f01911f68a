//! Data brought to mean zero and deviation one, or between zero and one, and back.

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Rows, Units, rows};
use serde::{Deserialize, Serialize};

/// Variances above this may be those of numbers whose differences overflow.
const LARGE: f64 = 1e60;

/// What is done to the columns of data before learning. In a recipe `"auto"`, `false`, `true` or `"min-max"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Scaling {
    /// Those of Gaussian units are brought to mean 0 and deviation 1.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Every column is brought to mean 0 and deviation 1; of rectified units, to deviation 1.
    Standardise,
    /// Every column is brought between 0 and 1 by its extremes; what lies beyond those of the training cases is cut off.
    MinMax,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, \"auto\" or \"min-max\"")]
enum Written {
    Is(bool),
    Name(String),
}

impl TryFrom<Written> for Scaling {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Is(true) => Ok(Self::Standardise),
            Written::Is(false) => Ok(Self::None),
            Written::Name(name) if name == "auto" => Ok(Self::Auto),
            Written::Name(name) if name == "min-max" => Ok(Self::MinMax),
            Written::Name(name) => {
                let expected = "true, false, \"auto\" or \"min-max\"";
                Err(Error::invalid("standardise", expected, format!("{name:?}")))
            }
        }
    }
}

impl From<Scaling> for Written {
    fn from(scaling: Scaling) -> Self {
        match scaling {
            Scaling::Auto => Self::Name("auto".into()),
            Scaling::None => Self::Is(false),
            Scaling::Standardise => Self::Is(true),
            Scaling::MinMax => Self::Name("min-max".into()),
        }
    }
}

/// Shift and scale of the data.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_dbn_data::Standardise;
///
/// let cases = Tensor::new(&[[1f32, 10.0], [3.0, 30.0]], &Device::Cpu)?;
/// let standardise = Standardise::of(&cases)?;
/// let scaled = standardise.apply(&cases)?;
/// assert_eq!(scaled.to_vec2::<f32>()?, [[-1.0, -1.0], [1.0, 1.0]]);
/// assert_eq!(standardise.undo(&scaled)?.to_vec2::<f32>()?, cases.to_vec2::<f32>()?);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Standardise {
    /// `(width,)`, taken away.
    pub mean: Tensor,
    /// `(width,)`, divided by; constant columns have 1.
    pub deviation: Tensor,
    /// Whether what comes out below 0 or above 1 is cut off: the extremes are those of other cases.
    pub cuts: bool,
}

/// What [`Standardise`] takes away and divides by, as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMoments {
    /// Of each column, taken away.
    pub mean: Vec<f32>,
    /// Of each column, divided by.
    pub deviation: Vec<f32>,
}

impl ColumnMoments {
    /// What brings columns of these moments to mean 0 and deviation 1.
    ///
    /// # Errors
    ///
    /// Unless there are as many means as deviations, all finite, and these above 0.
    pub fn standardise(&self) -> Result<Standardise> {
        let Self { mean, deviation } = self;
        let is_right = mean.len() == deviation.len()
            && mean.iter().all(|x| x.is_finite())
            && deviation.iter().all(|x| x.is_finite() && *x > 0.0);
        if !is_right {
            let expected = "a finite mean for each column, and a deviation above 0";
            let found = format!("{} and {} numbers", mean.len(), deviation.len());
            return Err(Error::invalid("moments of columns", expected, found));
        }
        let tensor = |x: &[f32]| Tensor::from_slice(x, x.len(), &Device::Cpu);
        Ok(Standardise { mean: tensor(mean)?, deviation: tensor(deviation)?, cuts: false })
    }
}

impl Standardise {
    /// What it takes away and divides by.
    ///
    /// # Errors
    ///
    /// Where the numbers cannot be copied to the CPU.
    pub fn moments(&self) -> Result<ColumnMoments> {
        Ok(ColumnMoments { mean: self.mean.to_vec1()?, deviation: self.deviation.to_vec1()? })
    }

    /// The mean and deviation of the columns of `cases` `(n, width)`.
    ///
    /// What is missing, NaN, is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for the first column whose differences single precision does not hold.
    pub fn of(cases: &dyn Rows) -> Result<Self> {
        let (mean, variance) = known_moments(cases)?;
        if variance.iter().any(|variance| *variance > LARGE) {
            extremes(cases)?;
        }
        // What single precision cannot tell from the mean is constant, however small or large the numbers are.
        let deviation = mean.iter().zip(&variance).map(|(mean, variance)| {
            let deviation = variance.sqrt() as f32;
            let is_constant = deviation <= 4.0 * f32::EPSILON * mean.abs();
            if is_constant || !deviation.is_normal() { 1.0 } else { deviation }
        });
        let deviation: Vec<f32> = deviation.collect();
        let width = mean.len();
        let deviation = Tensor::from_vec(deviation, width, &Device::Cpu)?;
        Ok(Self { mean: Tensor::from_vec(mean, width, &Device::Cpu)?, deviation, cuts: false })
    }

    /// The smallest value of the columns of `cases` `(n, width)`, and how far the largest lies above it.
    ///
    /// # Errors
    ///
    /// As [`Standardise::of`].
    pub fn min_max(cases: &dyn Rows) -> Result<Self> {
        let width = cases.width();
        let (mut low, high) = extremes(cases)?;
        // Of a column that is missing as a whole nothing is known.
        low.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        let ranges = low.iter().zip(&high).map(|(low, high)| match high - low {
            range if range > 0.0 => range,
            _ => 1.0,
        });
        let deviation = Tensor::from_vec(ranges.collect::<Vec<f32>>(), width, &Device::Cpu)?;
        Ok(Self { mean: Tensor::from_vec(low, width, &Device::Cpu)?, deviation, cuts: true })
    }

    /// The same, where only the columns of measurements are changed: of `units` the Gaussian and rectified ones, and for
    /// [`Standardise::min_max`] the Bernoulli ones. Rectified units are never negative: by their means they are not shifted.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn only(self, units: &Units) -> Result<Self> {
        let cuts = self.cuts;
        let groups = units.groups().into_iter();
        let (mut is_shifted, mut is_scaled) = (Vec::new(), Vec::new());
        for (columns, units) in groups {
            let [shift, scale] = match units {
                Units::Gaussian { .. } => [true, true],
                Units::Relu { .. } => [cuts, true],
                Units::Bernoulli { .. } => [cuts, cuts],
                _ => [false, false],
            };
            is_shifted.extend(columns.clone().map(|_| u8::from(shift)));
            is_scaled.extend(columns.map(|_| u8::from(scale)));
        }
        let (width, device) = (is_scaled.len(), self.mean.device());
        let ones = Tensor::ones(width, DType::F32, device)?;
        let [is_shifted, is_scaled] =
            [is_shifted, is_scaled].map(|mask| Tensor::from_vec(mask, width, device));
        Ok(Self {
            mean: is_shifted?.where_cond(&self.mean, &ones.zeros_like()?)?,
            deviation: is_scaled?.where_cond(&self.deviation, &ones)?,
            cuts,
        })
    }

    /// Σ log deviation: how much log p of a case grows by standardising it, in nats.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn log_volume(&self) -> Result<f64> {
        Ok(f64::from(self.deviation.log()?.sum_all()?.to_scalar::<f32>()?))
    }

    /// The same on another device.
    ///
    /// # Errors
    ///
    /// Where there is no room on the device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            mean: self.mean.to_device(device)?,
            deviation: self.deviation.to_device(device)?,
            cuts: self.cuts,
        })
    }

    /// (cases − mean) / deviation.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn apply(&self, cases: &Tensor) -> Result<Tensor> {
        let scaled = cases.broadcast_sub(&self.mean)?.broadcast_div(&self.deviation)?;
        Ok(if self.cuts { cut(&scaled)? } else { scaled })
    }

    /// Back to the data's own values.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn undo(&self, cases: &Tensor) -> Result<Tensor> {
        Ok(cases.broadcast_mul(&self.deviation)?.broadcast_add(&self.mean)?)
    }
}

/// The smallest and the largest known value of every column of `cases`; infinities where none is known. Errors for the first column
/// in which single precision does not hold their difference.
fn extremes(cases: &dyn Rows) -> Result<(Vec<f32>, Vec<f32>)> {
    let width = cases.width();
    let (mut low, mut high) = (vec![f32::INFINITY; width], vec![f32::NEG_INFINITY; width]);
    for block in rows::blocks(cases) {
        for row in block?.to_vec2::<f32>()? {
            for (at, x) in row.into_iter().enumerate() {
                (low[at], high[at]) = (low[at].min(x), high[at].max(x));
            }
        }
    }
    let is_wide = |at: &usize| low[*at] <= high[*at] && !(high[*at] - low[*at]).is_finite();
    match (0..width).find(is_wide) {
        Some(at) => {
            let what = format!("column {}", at + 1);
            let expected =
                format!("numbers that are at most {:e} apart (--scale divides them)", f32::MAX);
            Err(Error::invalid(what, expected, format!("from {:e} to {:e}", low[at], high[at])))
        }
        None => Ok((low, high)),
    }
}

/// `x` with what lies outside [0, 1] at its ends; what is missing stays so.
fn cut(x: &Tensor) -> Result<Tensor> {
    let known = x.eq(x)?;
    Ok(known.where_cond(&x.clamp(0f32, 1f32)?, x)?)
}

/// Mean and variance of the known values of every column of `cases` `(n, width)`, those that are not NaN; 0 where none is known.
///
/// # Errors
///
/// As `cases` where rows cannot be read.
pub fn known_moments(cases: &dyn Rows) -> Result<(Vec<f32>, Vec<f64>)> {
    let width = cases.width();
    let average = |of: &dyn Fn(usize, f64) -> f64| -> Result<Vec<f64>> {
        let (mut sums, mut counts) = (vec![0.0; width], vec![0usize; width]);
        for block in rows::blocks(cases) {
            for row in block?.to_vec2::<f32>()? {
                for (at, x) in row.into_iter().enumerate().filter(|(_, x)| !x.is_nan()) {
                    sums[at] += of(at, f64::from(x));
                    counts[at] += 1;
                }
            }
        }
        let mean = |(sum, count): (&f64, &usize)| sum / (*count).max(1) as f64;
        Ok(sums.iter().zip(&counts).map(mean).collect())
    };
    let means = average(&|_, x| x)?;
    let variances = average(&|at, x| (x - means[at]).powi(2))?;
    Ok((means.into_iter().map(|mean| mean as f32).collect(), variances))
}
