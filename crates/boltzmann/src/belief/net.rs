//! Sigmoid belief nets: Bernoulli layers, each of which is the cause of the one below it (Neal 1992).
//!
//! p(x) = p(top) Π p(x_l | x_{l+1}). It is sampled from the top down, and log p of all units is a sum. What is known of the causes given
//! an effect is not: they explain each other away. Small nets are counted.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::ConditionalLayer;
use rbm_core::model::conditional_layer::errors;
use rbm_core::ops::{self, Ascent};
use rbm_core::{Error, Layer, Result, Rng, Units};

/// Joint log-probabilities of cases and hidden configurations that are held at once.
const MOST_JOINT: usize = 1 << 22;

/// The most configurations of hidden units that are counted one by one.
const MOST_COUNTED: usize = 1 << 16;
/// Configurations that are looked at together.
const BLOCK: usize = 1 << 12;

/// A directed net of Bernoulli layers. A configuration is a tensor `(rows, width)` for each layer, from the observed one up.
#[derive(Debug)]
pub struct BeliefNet {
    /// How each layer but the top one answers the layer above it, from the observed one up: weights `(above, width)`.
    pub layers: Vec<ConditionalLayer>,
    /// The top layer, which has no input.
    pub top: Box<dyn Layer>,
}

/// What is known of hidden units given the observed ones, counted.
#[derive(Debug, Clone)]
pub struct ExactPosterior {
    /// log p(v) of each case, nats, `(cases,)`, `f64`.
    pub log_probability: Tensor,
    /// E[h | v] of each hidden layer from below up, `(cases, width)`, `f64`.
    pub means: Vec<Tensor>,
}

/// How many units answer.
fn width(layer: &ConditionalLayer) -> usize {
    layer.units.units().width()
}

impl BeliefNet {
    /// A net of layers of these widths, from the observed one up, with weights and biases of 0.
    ///
    /// # Errors
    ///
    /// For fewer than two layers, and for a layer without units.
    pub fn zeros(widths: &[usize], dtype: DType) -> Result<Self> {
        if widths.len() < 2 || widths.contains(&0) {
            let expected = "at least two layers, each of a unit";
            return Err(Error::invalid("a belief net", expected, format!("{widths:?}")));
        }
        let cpu = &Device::Cpu;
        let layers = widths
            .windows(2)
            .map(|pair| ConditionalLayer::zeros(pair[1], &Units::bernoulli(pair[0]), dtype, cpu));
        let layers = layers.collect::<Result<_>>()?;
        Ok(Self { layers, top: Units::bernoulli(widths[widths.len() - 1]).build(dtype, cpu)? })
    }

    /// A net of layers that answer the one above them, from the observed one up, and of the top layer's biases.
    ///
    /// # Errors
    ///
    /// When the widths do not fit.
    pub fn new(layers: Vec<ConditionalLayer>, top: &Tensor) -> Result<Self> {
        let above = layers.iter().skip(1).map(width).chain([top.elem_count()]);
        for (layer, above) in layers.iter().zip(above) {
            let found = layer.weights.dim(0)?;
            if found != above {
                let expected = format!("weights from {above} units above");
                return Err(Error::invalid("a layer of a belief net", expected, found.to_string()));
            }
        }
        if layers.is_empty() {
            return Err(Error::invalid("a belief net", "at least two layers", "one"));
        }
        let mut kinds = layers.iter().map(|layer| layer.units.units());
        if let Some(units) = kinds.find(|units| !matches!(units, Units::Bernoulli { .. })) {
            let expected = "Bernoulli units";
            return Err(Error::invalid("a layer of a belief net", expected, units.to_string()));
        }
        let units = Units::bernoulli(top.elem_count()).build(top.dtype(), top.device())?;
        units.vars()[0].1.set(top)?;
        Ok(Self { layers, top: units })
    }

    /// The width of each layer from the observed one up.
    pub fn widths(&self) -> Vec<usize> {
        self.layers.iter().map(width).chain([self.top.units().width()]).collect()
    }

    /// Every parameter by name: `layers.{l}.weight` and `layers.{l}.bias` from the observed layer up, and `top.bias`.
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        let layers = self.layers.iter().enumerate().flat_map(|(l, layer)| {
            let own = layer.parameters().into_iter();
            own.map(move |(name, var)| (format!("layers.{l}.{name}"), var))
        });
        let top = self.top.vars().into_iter().map(|(name, var)| (format!("top.{name}"), var));
        layers.chain(top).collect()
    }

    /// `count` configurations, drawn from the top down.
    ///
    /// # Errors
    ///
    /// When memory is short.
    pub fn sample(&self, count: usize, rng: &mut Rng) -> Result<Vec<Tensor>> {
        let none = self.no_inputs(count)?;
        let mut drawn = vec![self.top.sample(&none, rng)?];
        for layer in self.layers.iter().rev() {
            let below = layer.sample(&drawn[drawn.len() - 1], rng)?;
            drawn.push(below);
        }
        drawn.reverse();
        Ok(drawn)
    }

    /// log p of all units of each row, nats, `(rows,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For configurations of another shape.
    pub fn log_joint(&self, x: &[Tensor]) -> Result<Tensor> {
        let last = self.check(x)?;
        let mut sum = self.top.log_probability(&self.no_inputs(last.dim(0)?)?, last)?;
        for (layer, pair) in self.layers.iter().zip(x.windows(2)) {
            sum = (sum + layer.log_probability(&pair[1], &pair[0])?)?;
        }
        Ok(sum)
    }

    /// The gradient of Σ wᵢ log p(xᵢ) over configurations with `weights` `(rows,)`, in the order of [`BeliefNet::parameters`].
    ///
    /// # Errors
    ///
    /// For configurations of another shape.
    pub fn ascents(&self, x: &[Tensor], weights: &Tensor) -> Result<Vec<Ascent>> {
        let last = self.check(x)?;
        let mut ascents = Vec::with_capacity(2 * self.layers.len() + 1);
        for (layer, pair) in self.layers.iter().zip(x.windows(2)) {
            ascents.extend(layer.weighted_ascents(&pair[1], &pair[0], weights)?);
        }
        let none = self.no_inputs(last.dim(0)?)?;
        let (_, sums) = errors(&*self.top, &none, last, Some(weights))?;
        ascents.extend(sums.into_iter().map(Ascent::from));
        Ok(ascents)
    }

    /// Every configuration of the hidden layers from below up, number n with unit i of all of them in bit i of n.
    ///
    /// # Errors
    ///
    /// Where there are more than 2¹⁶.
    pub fn hidden_configurations(&self) -> Result<Vec<Tensor>> {
        let widths = &self.widths()[1..];
        let units: usize = widths.iter().sum();
        if units > MOST_COUNTED.ilog2() as usize {
            let expected = format!("at most {MOST_COUNTED} configurations");
            return Err(Error::invalid("counting", expected, format!("2^{units}")));
        }
        let mut first = 0;
        let layer = |&width: &usize| -> Result<Tensor> {
            let bits = (0..1u32 << units)
                .flat_map(|n| (first..first + width).map(move |i| f64::from(n >> i & 1)));
            let bits: Vec<f64> = bits.collect();
            first += width;
            Ok(Tensor::from_vec(bits, (1 << units, width), &Device::Cpu)?.to_dtype(self.dtype())?)
        };
        widths.iter().map(layer).collect()
    }

    /// log p(v) and E[h | v] of each case `(cases, width)`, by counting every configuration of the hidden units.
    ///
    /// # Errors
    ///
    /// Where there are more than 2¹⁶ of them, and for cases of another width.
    pub fn counted(&self, cases: &Tensor) -> Result<ExactPosterior> {
        let hidden = self.hidden_configurations()?;
        let total = hidden[0].dim(0)?;
        let mut prior = Vec::new();
        let mut rows = Vec::new();
        for start in (0..total).step_by(BLOCK) {
            let count = BLOCK.min(total - start);
            let block: Vec<Tensor> = hidden
                .iter()
                .map(|h| h.narrow(0, start, count))
                .collect::<std::result::Result<_, _>>()?;
            let last = &block[block.len() - 1];
            let mut sum = self.top.log_probability(&self.no_inputs(count)?, last)?;
            for (layer, pair) in self.layers[1..].iter().zip(block.windows(2)) {
                sum = (sum + layer.log_probability(&pair[1], &pair[0])?)?;
            }
            let observed = &self.layers[0];
            let inputs = observed.inputs(&block[0])?;
            prior.push((sum - observed.units.cgf(&inputs)?)?.detach());
            rows.push(inputs.broadcast_add(&observed.units.bias()?)?.detach());
        }
        let (prior, rows) = (Tensor::cat(&prior, 0)?, Tensor::cat(&rows, 0)?);
        let hidden = hidden.iter().map(|h| h.to_dtype(DType::F64));
        let hidden = hidden.collect::<std::result::Result<Vec<_>, _>>()?;
        let (mut log_probabilities, mut means) = (Vec::new(), vec![Vec::new(); hidden.len()]);
        let (count, some) = (cases.dim(0)?, (MOST_JOINT / total).max(1));
        for start in (0..count).step_by(some) {
            let cases = cases.narrow(0, start, some.min(count - start))?.contiguous()?;
            // log p(v, h) = what h says alone, and v along its inputs, `(cases, configurations)`.
            let joint =
                ops::product_transposed(&cases, &rows)?.broadcast_add(&prior.unsqueeze(0)?)?;
            let joint = joint.to_dtype(DType::F64)?;
            let log_probability = joint.log_sum_exp(1)?;
            let posterior = joint.broadcast_sub(&log_probability.unsqueeze(1)?)?.exp()?;
            for (means, h) in means.iter_mut().zip(&hidden) {
                means.push(ops::product(&posterior, h)?);
            }
            log_probabilities.push(log_probability);
        }
        let log_probability = Tensor::cat(&log_probabilities, 0)?;
        let cat = |means: &Vec<Tensor>| Tensor::cat(means, 0);
        let means = means.iter().map(cat).collect::<std::result::Result<_, _>>()?;
        Ok(ExactPosterior { log_probability, means })
    }

    /// The inputs of the top layer: none.
    fn no_inputs(&self, rows: usize) -> Result<Tensor> {
        Ok(Tensor::zeros((rows, self.top.units().width()), self.dtype(), &Device::Cpu)?)
    }

    /// The type of all parameters.
    fn dtype(&self) -> DType {
        self.layers[0].weights.dtype()
    }

    /// The top layer of a configuration, once there is one for each layer.
    fn check<'a>(&self, x: &'a [Tensor]) -> Result<&'a Tensor> {
        match x.last() {
            Some(last) if x.len() == self.layers.len() + 1 => Ok(last),
            _ => {
                let expected = format!("a tensor for each of {} layers", self.layers.len() + 1);
                Err(Error::invalid("a configuration", expected, x.len().to_string()))
            }
        }
    }
}
