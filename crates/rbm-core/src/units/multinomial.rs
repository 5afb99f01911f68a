//! Counts of what was drawn: the units of a replicated softmax.

use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::layer::{copied, log_shares, row_sums};
use super::{Discrete, Layer, States, Support, Units, enumerate};
use crate::{Error, Result, Rng, ops};

/// How often each of K categories was drawn in n draws that share bias and weights: x ∈ ℕᴷ with Σx = n,
/// E(x) = −bias·x − log(n! / Πx!); p(x | I) is multinomial with the softmax of I + bias (Salakhutdinov and Hinton 2009,
/// for documents of one length).
///
/// Where n is 0, each configuration has a number of draws of its own, the sum of its counts, which is given and not learned: documents
/// of different lengths. Then whatever is asked of the units must say how many draws are meant.
///
/// Adding a number to all biases changes nothing.
#[derive(Debug)]
pub struct Multinomial {
    /// θ, `(categories,)`.
    pub bias: Var,
    /// n; 0 where each configuration has its own.
    pub draws: usize,
}

impl Multinomial {
    /// `draws` draws among `categories` categories, with bias zero; with 0 draws each configuration has its own.
    ///
    /// # Errors
    ///
    /// For no categories, and for types other than `f32` and `f64`.
    pub fn new(categories: usize, draws: usize, dtype: DType, device: &Device) -> Result<Self> {
        if categories == 0 {
            let found = format!("{draws} draws among {categories}");
            let expected = "at least one category";
            return Err(Error::invalid("a multinomial layer", expected, found));
        }
        Ok(Self { bias: Var::zeros(categories, dtype, device)?, draws })
    }

    fn width(&self) -> usize {
        self.bias.elem_count()
    }

    fn has_own_draws(&self) -> bool {
        self.draws == 0
    }

    /// Errors where the number of draws is not given.
    fn check_draws(&self) -> Result<()> {
        if self.has_own_draws() {
            let expected = "a number of draws, as multinomial(100); units whose cases have numbers of their own learn by method = \"cd\" \
                            without centring, and have neither samples without data nor a log-likelihood";
            return Err(Error::invalid("multinomial units", expected, "none"));
        }
        Ok(())
    }

    /// p of each category, `(batch, categories)`.
    fn shares(&self, inputs: &Tensor) -> Result<Tensor> {
        ops::softmax_of_sites(&ops::add_bias(inputs, &self.bias)?, self.width())
    }
}

/// The sums of the rows of `x`, `(batch, 1)`.
fn sums(x: &Tensor) -> Result<Tensor> {
    Ok(row_sums(x)?.unsqueeze(1)?)
}

impl Layer for Multinomial {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: copied(&self.bias)?, draws: self.draws }))
    }

    fn units(&self) -> Units {
        Units::Multinomial { size: self.width(), draws: self.draws }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        self.check_draws()?;
        Ok(vec![(self.shares(inputs)? * self.draws as f64)?])
    }

    fn own_draws(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.has_own_draws().then(|| sums(x)).transpose()
    }

    fn sample_like(&self, inputs: &Tensor, like: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        if !self.has_own_draws() {
            return self.sample(inputs, rng);
        }
        let draws = ops::device::to_host(&row_sums(like)?)?.to_vec1::<f64>()?;
        let draws: Vec<usize> =
            draws.into_iter().map(|sum| sum.round().max(0.0) as usize).collect();
        let bias = self.bias.as_detached_tensor();
        ops::multinomial_sample_of_rows(&inputs.detach(), &bias, &draws, rng)
    }

    fn mean_like(&self, inputs: &Tensor, like: &Tensor) -> Result<Tensor> {
        match self.has_own_draws() {
            true => Ok(self.shares(inputs)?.broadcast_mul(&sums(like)?)?),
            false => self.mean(inputs),
        }
    }

    /// n·log Σ exp(I + bias)
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        self.check_draws()?;
        let field = ops::add_bias(inputs, &self.bias)?;
        let per_draw = ops::log_sum_exp_of_sites(&field, self.width())?;
        Ok((per_draw.squeeze(1)? * self.draws as f64)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.check_draws()?;
        let bias = self.bias.as_detached_tensor();
        ops::multinomial_sample(&inputs.detach(), &bias, self.width(), self.draws, rng)
    }

    /// −log(n! / Πx!), a constant for autograd. Between whole numbers it is that of the gamma function.
    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        let factorials = row_sums(&ops::log_gamma(&(x + 1.0)?)?)?;
        if self.has_own_draws() {
            return Ok((factorials - ops::log_gamma(&(row_sums(x)? + 1.0)?)?)?);
        }
        Ok((factorials - ops::log_factorial(self.draws))?)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    /// Each draw for itself, as if their order were known.
    fn support(&self) -> Vec<Support> {
        vec![Support { columns: 0..self.width(), states: States::Draws(self.draws) }]
    }

    /// bias = log(mean/n), with shares kept above 1/(1000·K) so that a category that never occurs can be learned, and
    /// shifted so that the biases sum to zero.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let mean = mean.to_dtype(self.bias.dtype())?;
        let share = match self.has_own_draws() {
            true => mean.broadcast_div(&mean.sum_all()?.maximum(f64::MIN_POSITIVE)?)?,
            false => (mean / self.draws as f64)?,
        };
        log_shares(&share.unsqueeze(0)?)
    }
}

impl Discrete for Multinomial {
    fn configurations(&self) -> Option<u64> {
        if self.has_own_draws() {
            return None;
        }
        compositions(self.draws, self.width())
    }

    /// In the order of the counts of category 0, then 1, and so on.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let shape = (enumerate::rows(&numbers), self.width());
        let values = numbers.flat_map(|number| composition(number, self.draws, shape.1));
        enumerate::matrix(values.map(|x| x as f32), shape, &self.bias)
    }

    /// Whole numbers with the sum n: rounded down, and what is missing given to the largest remainders.
    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.to_device(&Device::Cpu)?;
        let (whole, missing) = if self.has_own_draws() {
            let whole = x.maximum(0.0)?.floor()?;
            let missing = (x.sum_keepdim(1)?.round()? - whole.sum_keepdim(1)?)?;
            (whole, missing)
        } else {
            let whole = x.clamp(0.0, self.draws as f64)?.floor()?;
            let missing = whole.sum_keepdim(1)?.affine(-1.0, self.draws as f64)?;
            (whole, missing)
        };
        // Counts are what they are: nothing has to be put in order.
        let difference = ((&x - &whole)?.abs()?.sum_all()? + missing.abs()?.sum_all()?)?;
        if difference.to_dtype(DType::F64)?.to_scalar::<f64>()? == 0.0 {
            return Ok(whole.to_device(self.bias.device())?);
        }
        let largest_first = (&x - &whole)?.contiguous()?.arg_sort_last_dim(false)?;
        let rank = largest_first.arg_sort_last_dim(true)?.to_dtype(x.dtype())?;
        let one = rank.broadcast_lt(&missing)?.to_dtype(x.dtype())?;
        Ok((whole + one)?.to_device(self.bias.device())?)
    }
}

/// In how many ways `draws` draws fall into `categories` categories: C(draws + categories − 1, draws).
fn compositions(draws: usize, categories: usize) -> Option<u64> {
    let Some(others) = categories.checked_sub(1) else { return Some(u64::from(draws == 0)) };
    let (small, large) = (draws.min(others) as u128, draws.max(others) as u128);
    let mut count = 1u128;
    for i in 1..=small {
        // Every factor so far divides: the product is a binomial coefficient.
        count = count * (large + i) / i;
        if count > u128::from(u64::MAX) {
            return None;
        }
    }
    u64::try_from(count).ok()
}

/// The counts with this number.
fn composition(mut number: u64, mut draws: usize, categories: usize) -> Vec<usize> {
    let mut counts = vec![0; categories];
    for (left, count) in (0..categories).rev().zip(&mut counts) {
        if left == 0 {
            *count = draws;
            break;
        }
        // So many configurations have the present count in this category.
        while let Some(rest) = compositions(draws, left).filter(|&rest| number >= rest && draws > 0)
        {
            number -= rest;
            draws -= 1;
            *count += 1;
        }
    }
    counts
}
