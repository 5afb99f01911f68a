//! Where learning starts (Practical Guide §8).

use candle_core::{DType, Device, Tensor};

use crate::{Error, Rbm, Result, Rng, Rows, Units, ops, rows};

/// Small random weights and biases that know the data's averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Init {
    /// Standard deviation of the weights.
    pub weight_deviation: f64,
    /// Every hidden unit's bias; negative values make a layer sparse from the start.
    pub hidden_bias: f64,
}

impl Default for Init {
    /// W ~ N(0, 0.01²), hidden biases 0.
    fn default() -> Self {
        Self { weight_deviation: 0.01, hidden_bias: 0.0 }
    }
}

impl Init {
    /// Draws the weights, sets the hidden biases, and fits the visible layer alone to the mean and variance of `cases`
    /// `(n, visible)`: log p/(1−p) for Bernoulli units.
    ///
    /// # Errors
    ///
    /// When there are no cases, or they do not have the machine's width and type.
    pub fn apply(&self, rbm: &Rbm, cases: &dyn Rows, rng: &mut Rng) -> Result<()> {
        self.draw_weights(rbm, rng)?;
        let (mean, variance) = moments(cases)?;
        rbm.visible().fit_moments(&mean, &variance)
    }

    /// The part of [`Init::apply`] that needs no data; the visible biases stay as they are.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be set.
    pub fn draw_weights(&self, rbm: &Rbm, rng: &mut Rng) -> Result<()> {
        let weights = rbm.weights();
        let noise = ops::normal(weights.shape(), weights.dtype(), weights.device(), rng)?;
        weights.set(&(noise * self.weight_deviation)?)?;
        let vars = rbm.hidden().vars();
        for (k, _) in rbm.hidden().biases() {
            let (_, bias) = &vars[k];
            bias.set(&(bias.ones_like()? * self.hidden_bias)?)?;
        }
        Ok(())
    }
}

/// Makes `above` begin as `below` upside down: its visible units are the hidden ones of `below`, and its first hidden units the
/// visible ones of `below`, with their weights and biases. Where it has no more units than these, it gives its visible units the
/// distribution that `below` gives its hidden ones, and a stack of both is as good as `below` alone (Hinton, Osindero, Teh 2006,
/// §4); further hidden units and label units keep the parameters they have.
///
/// # Errors
///
/// Unless `above` has such units, all of them Bernoulli but for labels.
pub fn mirror(below: &Rbm, above: &Rbm) -> Result<()> {
    let is_bernoulli = |units: &Units| matches!(units, Units::Bernoulli { .. });
    let (visible, hidden) = below.weights().dims2()?;
    let (rows, columns) = above.weights().dims2()?;
    let first = above.visible().units();
    let groups = first.groups();
    let fits = groups.first().is_some_and(|(columns, _)| columns.len() == hidden);
    let all = [below.visible().units(), below.hidden().units(), above.hidden().units()];
    if !(fits && columns >= visible && all.iter().all(is_bernoulli)) {
        let expected = format!("bernoulli:{hidden} below and at least bernoulli:{visible} above");
        let found = format!("{first} and {}", above.hidden().units());
        return Err(Error::invalid(
            "a machine that begins as the one below it upside down",
            expected,
            found,
        ));
    }
    let weights = above.weights().as_detached_tensor();
    let turned = below.weights().as_detached_tensor().t()?;
    let beside = weights.narrow(0, 0, hidden)?.narrow(1, visible, columns - visible)?;
    let of_units = Tensor::cat(&[&turned, &beside], 1)?;
    let others = weights.narrow(0, hidden, rows - hidden)?;
    above.weights().set(&Tensor::cat(&[&of_units, &others], 0)?.contiguous()?)?;
    let bias = above.hidden().bias()?;
    let bias =
        Tensor::cat(&[&below.visible().bias()?, &bias.narrow(0, visible, columns - visible)?], 0)?;
    for (layer, bias) in [(above.hidden(), bias), (above.visible(), below.hidden().bias()?)] {
        if let Some((_, var)) = layer.vars().first() {
            var.set(&bias)?;
        }
    }
    Ok(())
}

/// The mean and the variance of each column of `cases` `(n, width)`, each `(width,)`.
///
/// # Errors
///
/// When there are no cases.
pub fn moments(cases: &dyn Rows) -> Result<(Tensor, Tensor)> {
    moments_of_blocks(|| rows::blocks(cases))
}

/// [`moments`] of cases that come in blocks `(rows, width)`, so that they are never needed all at once; `blocks` is called
/// twice and must give the same blocks.
///
/// # Errors
///
/// When there are no cases, and as the blocks.
pub fn moments_of_blocks<B>(blocks: impl Fn() -> B) -> Result<(Tensor, Tensor)>
where
    B: Iterator<Item = Result<Tensor>>,
{
    moments_of_weighted_blocks(|| blocks().map(|block| Ok((block?, None))))
}

/// [`moments_of_blocks`] where each block comes with how much every row of it counts, if not all count as much.
///
/// # Errors
///
/// When there are no cases, and as the blocks.
pub fn moments_of_weighted_blocks<B>(blocks: impl Fn() -> B) -> Result<(Tensor, Tensor)>
where
    B: Iterator<Item = Result<(Tensor, Option<Vec<f32>>)>>,
{
    let average = |statistic: &dyn Fn(Tensor) -> Result<Tensor>| -> Result<Tensor> {
        let (mut total, mut rows): (Option<Tensor>, f64) = (None, 0.0);
        let (mut dtype, mut device) = (DType::F32, Device::Cpu);
        for block in blocks() {
            let (block, weights) = block?;
            (dtype, device) = (block.dtype(), block.device().clone());
            let mut statistic = statistic(block)?;
            match weights {
                None => rows += statistic.dim(0)? as f64,
                Some(weights) => {
                    rows += weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
                    let column = Tensor::from_vec(weights, (statistic.dim(0)?, 1), &Device::Cpu)?;
                    let column = column.to_dtype(dtype)?.to_device(&device)?;
                    statistic = statistic.broadcast_mul(&column)?;
                }
            }
            let sum = ops::device::to_host(&ops::sum_rows(&statistic)?)?;
            total = Some(total.map_or(Ok(sum.clone()), |total| total + sum)?);
        }
        let total = total.ok_or_else(|| Error::invalid("averages", "at least one case", "none"))?;
        Ok((total / rows)?.to_dtype(dtype)?.to_device(&device)?)
    };
    let mean = average(&Ok)?;
    // About the mean, not E[x²] − E[x]²: f32 would lose the variance of a nearly constant column.
    let variance = average(&|block| Ok(block.broadcast_sub(&mean)?.sqr()?))?;
    Ok((mean, variance))
}

impl Rbm {
    /// A machine of Bernoulli units, of `cases`' type and on their device, initialised by [`Init::default`] from `cases`
    /// `(n, visible)`.
    ///
    /// # Errors
    ///
    /// When `cases` is no matrix of `f32` or `f64`, or has no rows.
    pub fn bernoulli(cases: &Tensor, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let visible = Units::bernoulli(cases.dim(1)?);
        let rbm = Self::new(&visible, &Units::bernoulli(hidden), cases.dtype(), cases.device())?;
        Init::default().apply(&rbm, cases, rng)?;
        Ok(rbm)
    }
}
