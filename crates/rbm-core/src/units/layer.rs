//! A layer: units that are independent of each other once their inputs are given.
//!
//! Every unit type is an exponential family, p(x | I) ∝ exp(I·x − E(x)) with E(x) = −Σₖ θₖ·Tₖ(x) + E₀(x): inputs I come
//! from the other layer, θₖ are the parameters that are learned, Tₖ their statistics, E₀ what is fixed. Energies, means
//! and the gradient of every parameter follow from the methods below (Welling, Rosen-Zvi, Hinton 2004).
//!
//! Besides, a layer says what each of its units can be while all others stay as they are.
//!
//! [`NoUnits`] are what is summed out of a machine all of whose units are coupled with each other.

use std::fmt::Debug;
use std::ops::Range;

use candle_core::{DType, Device, Tensor, Var};

use super::Units;
use crate::{Error, Result, Rng, ops};

/// One layer of units. Configurations and inputs are `(batch, width)`.
///
/// Required are its parameters, their statistics and what is expected of these, the cumulant generating function, samples, and the
/// bias for a mean. All else follows. Units whose configurations can be counted are [`Discrete`] besides.
///
/// A unit type of one's own is written like this; `examples/own_units.rs` learns with one. [`Rbm::from_parts`](crate::Rbm::from_parts)
/// makes a machine of it.
///
/// ```
/// use candle_core::{D, DType, Device, Tensor, Var};
/// use rbm_core::{Layer, Result, Rng, ops};
///
/// /// x ∈ {0, 2}, E(x) = −bias·x.
/// #[derive(Debug)]
/// struct Twos { bias: Var }
///
/// impl Twos {
///     /// 2·(inputs + bias): the log odds of a unit that is on.
///     fn log_odds(&self, inputs: &Tensor) -> Result<Tensor> {
///         Ok((inputs.broadcast_add(&self.bias)? * 2.0)?)
///     }
/// }
///
/// impl Layer for Twos {
///     fn try_clone(&self) -> Result<Box<dyn Layer>> {
///         Ok(Box::new(Self { bias: Var::from_tensor(&self.bias.as_detached_tensor().copy()?)? }))
///     }
///     fn vars(&self) -> Vec<(String, &Var)> {
///         vec![("bias".into(), &self.bias)]
///     }
///     fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
///         Ok(vec![x.clone()])
///     }
///     fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
///         Ok(vec![(candle_sigmoid(&self.log_odds(inputs)?)? * 2.0)?])
///     }
///     fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
///         Ok(((self.log_odds(inputs)?.exp()? + 1.0)?.log()?).sum(D::Minus1)?)
///     }
///     fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
///         let on = candle_sigmoid(&self.log_odds(&inputs.detach())?)?.detach();
///         let uniform = ops::uniform(on.shape(), on.dtype(), on.device(), rng)?;
///         Ok((uniform.lt(&on)?.to_dtype(on.dtype())? * 2.0)?)
///     }
///     fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
///         let p = (mean.to_dtype(self.bias.dtype())? / 2.0)?.clamp(1e-3, 1.0 - 1e-3)?;
///         Ok(((&p / p.affine(-1.0, 1.0)?)?.log()? / 2.0)?)
///     }
/// }
///
/// fn candle_sigmoid(x: &Tensor) -> Result<Tensor> {
///     Ok((x.neg()?.exp()? + 1.0)?.recip()?)
/// }
///
/// let twos = Twos { bias: Var::zeros(3, DType::F32, &Device::Cpu)? };
/// let mean = twos.mean(&Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(mean.to_vec2::<f32>()?, [[1.0; 3]]);
/// assert_eq!(twos.units().width(), 3);
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub trait Layer: Debug + Send + Sync {
    /// A layer with its own copy of every parameter. (A clone of a [`Var`] is the same variable.)
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read or set.
    fn try_clone(&self) -> Result<Box<dyn Layer>>;

    /// What kind of units these are and how many. The layers of this library answer so that [`Units::build`] makes the layer again.
    /// A layer of one's own leaves this as it is: [`Units::Other`], which no file holds.
    fn units(&self) -> Units {
        let size = self.vars().first().map_or(0, |(_, bias)| bias.elem_count());
        Units::Other { name: self.type_name().into(), size }
    }

    /// The name of the layer's type, for errors.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// The learned parameters θₖ by name, each `(width,)`; `bias`, whose statistic is x itself, comes first. Groups side by
    /// side have theirs one group after the other, each as wide as its group.
    fn vars(&self) -> Vec<(String, &Var)>;

    /// Tₖ(x), each as wide as its parameter, in the order of [`Layer::vars`].
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>>;

    /// E[Tₖ(x) | inputs], each as wide as its parameter, in the order of [`Layer::vars`]. Differentiable.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>>;

    /// The cumulant generating function log Σₓ exp(inputs·x − E(x)) (an integral for continuous units), `(batch,)`.
    /// Differentiable; its derivative with respect to the inputs is the mean.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor>;

    /// A configuration drawn from p(x | inputs): a leaf of the autograd graph.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor>;

    /// E[x | inputs].
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn mean(&self, inputs: &Tensor) -> Result<Tensor> {
        self.mean_among(&self.expected_statistics(inputs)?)
    }

    /// The means `(batch, width − from)` of the columns from `from` on, from the `inputs` `(batch, width − from)` of these alone. Columns of a unit
    /// must not lie on both sides.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn mean_from(&self, from: usize, inputs: &Tensor) -> Result<Tensor> {
        means_after_zeros(self, from, inputs)
    }

    /// The mean `(…, width)` among what [`Layer::expected_statistics`] gave, or averages over it.
    ///
    /// # Errors
    ///
    /// When there are no statistics.
    fn mean_among(&self, expected: &[Tensor]) -> Result<Tensor> {
        match expected.first() {
            Some(mean) => Ok(mean.clone()),
            None => Err(Error::invalid("a layer's statistics", "the mean first", "none")),
        }
    }

    /// How many draws each row of `x` `(batch, width)` consists of, `(batch, 1)`, where that is each configuration's own: then p(x |
    /// inputs) is one given that number, and the biases of the other layer count once for each draw. None for all other units.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn own_draws(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// [`Layer::sample`] with as many draws as the rows of `like` `(batch, …)` sum to, where these are a configuration's own.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn sample_like(&self, inputs: &Tensor, _like: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.sample(inputs, rng)
    }

    /// [`Layer::mean`] of the same.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn mean_like(&self, inputs: &Tensor, _like: &Tensor) -> Result<Tensor> {
        self.mean(inputs)
    }

    /// Which of [`Layer::vars`] are biases, and the columns that each belongs to: together all columns, in their order.
    fn biases(&self) -> Vec<(usize, Range<usize>)> {
        vec![(0, 0..self.units().width())]
    }

    /// The biases of all columns, `(width,)`; a leaf.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read or set.
    fn bias(&self) -> Result<Tensor> {
        let vars = self.vars();
        let biases = self.biases().into_iter().map(|(k, _)| vars[k].1.as_detached_tensor());
        cat(&biases.collect::<Vec<_>>(), 0)
    }

    /// log p(x | inputs) = inputs·x − E(x) − log Σ exp(inputs·x' − E(x')) of each row of `x` `(batch, width)`, nats, `(batch,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When a shape does not fit the layer.
    fn log_probability(&self, inputs: &Tensor, x: &Tensor) -> Result<Tensor> {
        let along = ops::sum_within_rows(&(inputs * x)?)?;
        Ok(((along - self.energy(x)?)? - self.cgf(inputs)?)?)
    }

    /// [`Layer::mean`] and [`Layer::sample`] together, both leaves, where one pass can give both.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn mean_and_sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<(Tensor, Tensor)> {
        Ok((self.mean(inputs)?.detach(), self.sample(inputs, rng)?))
    }

    /// E(x), `(batch,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let mut energy = self.base_energy(x)?;
        for ((_, theta), statistic) in self.vars().into_iter().zip(self.statistics(x)?) {
            energy = (energy - statistic.matmul(&theta.unsqueeze(1)?)?.squeeze(1)?)?;
        }
        Ok(energy)
    }

    /// E₀(x), the part of the energy that is not learned, `(batch,)`; zero unless the unit type says otherwise.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(Tensor::zeros(x.dim(0)?, x.dtype(), x.device())?)
    }

    /// What only discrete units have; `None` for continuous ones.
    fn discrete(&self) -> Option<&dyn Discrete> {
        None
    }

    /// What each unit can be while all others stay as they are, group after group. Any number, unless the unit type says otherwise.
    fn support(&self) -> Vec<Support> {
        vec![Support { columns: 0..self.units().width(), states: States::Real }]
    }

    /// How the energy of each column grows far out. As that of bounded units unless the unit type says otherwise.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read or set.
    fn tails(&self) -> Result<Vec<Tail>> {
        Ok(vec![Tail::BOUNDED; self.units().width()])
    }

    /// Moves parameters that a step has pushed out of their range back into it.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read or set.
    fn constrain(&self) -> Result<()> {
        Ok(())
    }

    /// Sets the parameters so that, without the other layer, the units have the given mean and variance,
    /// both `(width,)` (Practical Guide §8). Constant units are safe.
    ///
    /// # Errors
    ///
    /// When there is not one number for each column.
    fn fit_moments(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        // The bias is all there is: the variance follows.
        let _ = variance;
        match self.vars().first() {
            Some((_, bias)) => Ok(bias.set(&self.bias_for_mean(mean)?)?),
            None => Err(Error::invalid("a layer's parameters", "the bias first", "none")),
        }
    }

    /// The bias, `(width,)`, with which units without inputs have this mean, all other parameters as they are. Means at or
    /// beyond the edge of what is possible are taken as a little inside.
    ///
    /// # Errors
    ///
    /// When there is not one number for each column.
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor>;
}

/// [`Layer::mean_from`] by the means of all columns, those before `from` without inputs.
pub(super) fn means_after_zeros(
    layer: &(impl Layer + ?Sized),
    from: usize,
    inputs: &Tensor,
) -> Result<Tensor> {
    let means = layer.mean(&inputs.pad_with_zeros(1, from, 0)?)?;
    Ok(means.narrow(1, from, inputs.dim(1)?)?.contiguous()?)
}

/// What only discrete units have: configurations that can be counted and gone through.
pub trait Discrete: Layer {
    /// The number of configurations, if they can be counted in 64 bits.
    fn configurations(&self) -> Option<u64>;

    /// The configurations with the given numbers, `(numbers.len(), width)`.
    ///
    /// # Errors
    ///
    /// When the rows cannot be made on the layer's device.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor>;

    /// The configurations nearest to `x` `(batch, width)`, which may be means or grey values.
    ///
    /// # Errors
    ///
    /// When the shape does not fit the layer.
    fn nearest(&self, x: &Tensor) -> Result<Tensor>;
}

/// How the energy of a column grows far out: what decides whether two layers together can be normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// γ of the term γ·x²/2; infinite for units that are bounded.
    pub precision: f64,
    /// Whether x is never below zero.
    pub is_nonnegative: bool,
}

impl Tail {
    /// There is none.
    pub const BOUNDED: Self = Self { precision: f64::INFINITY, is_nonnegative: false };

    /// Whether x is any number, with p(x | f) ∝ exp(f·x − γ·x²/2).
    pub fn is_any_number(&self) -> bool {
        self.precision.is_finite() && !self.is_nonnegative
    }
}

/// A variable of its own with the same values.
pub(super) fn copied(var: &Var) -> Result<Var> {
    Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?)
}

/// Σⱼ xⱼ of every row.
pub(super) fn row_sums(x: &Tensor) -> Result<Tensor> {
    ops::sum_within_rows(x)
}

/// Tensors one after the other; one alone is left as it is.
pub(super) fn cat(parts: &[Tensor], dim: usize) -> Result<Tensor> {
    match parts {
        [one] => Ok(one.clone()),
        parts => Ok(Tensor::cat(parts, dim)?),
    }
}

/// Adds `change` `(width,)` to the parts of a gradient, or of a step, that are `layer`'s biases; `parts` are in the order of
/// [`Layer::vars`].
///
/// # Errors
///
/// When a part does not have the shape of its parameter.
pub fn add_to_biases(layer: &dyn Layer, parts: &mut [Tensor], change: &Tensor) -> Result<()> {
    for (k, columns) in layer.biases() {
        if let Some(part) = parts.get_mut(k) {
            *part = (&*part + change.narrow(0, columns.start, columns.len())?)?;
        }
    }
    Ok(())
}

/// log of shares `(sites, states)` that sum to one in every row, as one row of biases `(sites · states,)`: none below
/// 1/(1000·states), and shifted so that every row sums to zero.
pub(super) fn log_shares(shares: &Tensor) -> Result<Tensor> {
    let least = 1e-3 / shares.dim(1)? as f64;
    let logs = shares.maximum(least)?.log()?;
    Ok(logs.broadcast_sub(&logs.mean_keepdim(1)?)?.flatten_all()?)
}

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
    /// A unit a column: any number that [`Layer::tails`] allow, p(x | f) ∝ exp(f·x − γ·x²/2).
    Real,
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
            States::Values(_) | States::Real => self.columns.len(),
            States::OneOf(states) => self.columns.len() / states.max(1),
            States::Draws(draws) => draws,
        }
    }
}

/// The first column of the unit that each column of `support` belongs to; units that share their draws are one.
pub fn first_columns(support: &[Support]) -> Vec<usize> {
    let of = |Support { columns, states }: &Support| {
        let (start, width) = match states {
            States::Values(_) | States::Real => (columns.start, 1),
            States::OneOf(states) => (columns.start, (*states).max(1)),
            States::Draws(_) => (columns.start, columns.len().max(1)),
        };
        columns.clone().map(move |j| j - (j - start) % width).collect::<Vec<_>>()
    };
    support.iter().flat_map(of).collect()
}

/// No units: configurations are `(batch, 0)`, and the energy is 0.
#[derive(Debug)]
pub struct NoUnits {
    bias: Var,
}

impl NoUnits {
    /// Of this type, on this device.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn new(dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self { bias: Var::zeros(0, dtype, device)? })
    }
}

impl Layer for NoUnits {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self::new(self.bias.dtype(), self.bias.device())?))
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        Vec::new()
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![inputs.clone()])
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(Tensor::zeros(inputs.dim(0)?, inputs.dtype(), inputs.device())?)
    }

    fn sample(&self, inputs: &Tensor, _rng: &mut Rng) -> Result<Tensor> {
        Ok(inputs.detach())
    }

    fn mean_among(&self, expected: &[Tensor]) -> Result<Tensor> {
        Ok(expected.first().map_or_else(|| self.bias.as_detached_tensor(), Tensor::clone))
    }

    fn biases(&self) -> Vec<(usize, Range<usize>)> {
        Vec::new()
    }

    fn bias(&self) -> Result<Tensor> {
        Ok(self.bias.as_detached_tensor())
    }

    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.cgf(x)
    }

    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        Ok(mean.clone())
    }
}
