//! A directed layer of Bernoulli units: each answers the layer on one side of it, and says nothing back.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::ops::{self, Ascent, Outer};
use rbm_core::{Error, Result, Rng};

/// p(x | from) = Π σ(from·W + b): units that are independent given the layer they listen to.
#[derive(Debug)]
pub struct SigmoidLayer {
    /// `(from, width)`.
    pub weights: Var,
    /// `(width,)`.
    pub bias: Var,
}

impl SigmoidLayer {
    /// Weights and biases of 0: every unit is on half of the time.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn zeros(from: usize, width: usize, dtype: DType) -> Result<Self> {
        let weights = Var::zeros((from, width), dtype, &Device::Cpu)?;
        Ok(Self { weights, bias: Var::zeros(width, dtype, &Device::Cpu)? })
    }

    /// A layer of `weights` `(from, width)` and biases `(width,)`.
    ///
    /// # Errors
    ///
    /// When their shapes do not fit.
    pub fn new(weights: &Tensor, bias: &Tensor) -> Result<Self> {
        let (_, width) = weights.dims2()?;
        if bias.dims() != [width] {
            let found = format!("{:?}", bias.dims());
            return Err(Error::invalid("the biases of a layer", format!("[{width}]"), found));
        }
        Ok(Self { weights: Var::from_tensor(weights)?, bias: Var::from_tensor(bias)? })
    }

    /// How many units it has.
    pub fn width(&self) -> usize {
        self.bias.elem_count()
    }

    /// from·W, `(rows, width)`, without the biases. Differentiable.
    ///
    /// # Errors
    ///
    /// For rows of another width.
    pub fn inputs(&self, from: &Tensor) -> Result<Tensor> {
        ops::product(from, &self.weights)
    }

    /// E[x | from], `(rows, width)`.
    ///
    /// # Errors
    ///
    /// For rows of another width.
    pub fn mean(&self, from: &Tensor) -> Result<Tensor> {
        ops::bernoulli_mean(&self.inputs(from)?.detach(), &self.bias.as_detached_tensor())
    }

    /// x drawn from p(x | from), `(rows, width)`.
    ///
    /// # Errors
    ///
    /// For rows of another width.
    pub fn sample(&self, from: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        ops::bernoulli_sample(&self.inputs(from)?.detach(), &self.bias.as_detached_tensor(), rng)
    }

    /// log p(x | from) of each row, nats, `(rows,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For rows of another width.
    pub fn log_probability(&self, from: &Tensor, x: &Tensor) -> Result<Tensor> {
        log_probability(&self.inputs(from)?, &self.bias, x)
    }

    /// The gradient of Σ wᵢ log p(xᵢ | fromᵢ) over rows with `weights` `(rows,)`: of the weights of the layer, then of its biases.
    ///
    /// # Errors
    ///
    /// For rows of another width.
    pub fn ascents(&self, from: &Tensor, x: &Tensor, weights: &Tensor) -> Result<[Ascent; 2]> {
        let inputs = self.inputs(from)?.detach();
        let error = weighted_error(&inputs, &self.bias, x, weights)?;
        let bias = ops::sum_rows(&error)?;
        Ok([vec![Outer::new(from, &error, 1.0)?].into(), bias.into()])
    }
}

/// log p(x) of each row of `x` `(rows, width)`, nats, for units with `inputs` of the same shape and a `bias` `(width,)`.
pub(super) fn log_probability(inputs: &Tensor, bias: &Tensor, x: &Tensor) -> Result<Tensor> {
    let along = (ops::add_bias(inputs, bias)? * x)?.sum(1)?;
    Ok((along - ops::bernoulli_cgf(inputs, bias)?)?)
}

/// The derivative of Σ wᵢ log p(xᵢ) by the input of each unit, `(rows, width)`.
pub(super) fn weighted_error(
    inputs: &Tensor,
    bias: &Tensor,
    x: &Tensor,
    weights: &Tensor,
) -> Result<Tensor> {
    let mean = ops::bernoulli_mean(inputs, bias)?;
    Ok((x - mean)?.broadcast_mul(&weights.unsqueeze(1)?)?.detach())
}
