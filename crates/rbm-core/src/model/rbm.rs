//! The machine: two layers and a weight matrix.

use std::any::Any;

use candle_core::{DType, Device, Tensor, Var};

use super::Boltzmann;
use crate::ops::{Ascent, Outer};
use crate::{Error, Layer, Result, Rng, Units, ops};

/// A restricted Boltzmann machine, E(v, h) = E_v(v) + E_h(h) − vᵀWh (Smolensky 1986; Hinton 2002).
///
/// It knows nothing of what its units are. Visible tensors are `(batch, visible)`, hidden ones `(batch, hidden)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::model::init::Init;
/// use rbm_core::{Rbm, Rng, Units};
///
/// let rbm = Rbm::new(&Units::gaussian(3), &Units::bernoulli(5), DType::F32, &Device::Cpu)?;
/// let mut rng = Rng::new(0);
/// let v = Tensor::new(&[[0.5f32, -1.0, 0.0], [0.0, 2.0, 1.0]], &Device::Cpu)?;
/// Init::default().apply(&rbm, &v, &mut rng)?;
///
/// let h = rbm.sample_hidden(&v, &mut rng)?;             // p(h | v), (2, 5)
/// let mean = rbm.visible_mean(&h)?;                     // E[v | h], (2, 3)
/// let free_energy = rbm.free_energy(&v)?;               // nats, (2,)
/// assert_eq!((h.dims(), mean.dims(), free_energy.dims()), (&[2, 5][..], &[2, 3][..], &[2][..]));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Rbm {
    visible: Box<dyn Layer>,
    hidden: Box<dyn Layer>,
    weights: Var,
}

impl Rbm {
    /// A machine of these units whose parameters are all zero. [`Init`](super::init::Init) breaks the symmetry.
    ///
    /// # Errors
    ///
    /// For no units, and for types other than `f32` and `f64`.
    pub fn new(visible: &Units, hidden: &Units, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Var::zeros((visible.width(), hidden.width()), dtype, device)?;
        Ok(Self {
            visible: visible.build(dtype, device)?,
            hidden: hidden.build(dtype, device)?,
            weights,
        })
    }

    /// A machine of the layers and weights `(visible, hidden)` given.
    ///
    /// # Errors
    ///
    /// When the shapes or the types disagree.
    pub fn from_parts(
        visible: Box<dyn Layer>,
        hidden: Box<dyn Layer>,
        weights: Var,
    ) -> Result<Self> {
        let expected = (visible.units().width(), hidden.units().width());
        if weights.dims2()? != expected {
            return Err(Error::invalid(
                "weights",
                format!("shape {expected:?}"),
                format!("{:?}", weights.dims()),
            ));
        }
        for (_, var) in visible.vars().into_iter().chain(hidden.vars()) {
            if var.dtype() != weights.dtype() {
                let (expected, found) =
                    (format!("{:?}", weights.dtype()), format!("{:?}", var.dtype()));
                return Err(Error::invalid("a layer's parameters", expected, found));
            }
        }
        Ok(Self { visible, hidden, weights })
    }

    /// The visible layer.
    pub fn visible(&self) -> &dyn Layer {
        &*self.visible
    }

    /// The hidden layer.
    pub fn hidden(&self) -> &dyn Layer {
        &*self.hidden
    }

    /// W, `(visible, hidden)`.
    pub fn weights(&self) -> &Var {
        &self.weights
    }

    /// The type of all parameters.
    pub fn dtype(&self) -> DType {
        self.weights.dtype()
    }

    /// Where the parameters lie.
    pub fn device(&self) -> &Device {
        self.weights.device()
    }

    /// Every parameter by name: `weights`, then `visible_…`, then `hidden_…`, the order of
    /// [`Gradient::ascents`](crate::Gradient::ascents).
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        let weights = ("weights".to_owned(), &self.weights);
        let visible =
            self.visible.vars().into_iter().map(|(name, var)| (format!("visible_{name}"), var));
        let hidden =
            self.hidden.vars().into_iter().map(|(name, var)| (format!("hidden_{name}"), var));
        std::iter::once(weights).chain(visible).chain(hidden).collect()
    }

    /// vW, what the visible units say to each hidden one. Differentiable.
    ///
    /// Where visible configurations have numbers of draws D of their own, hidden biases count D times (Salakhutdinov and Hinton 2009):
    /// D − 1 times here, and once in the hidden layer.
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn hidden_inputs(&self, v: &Tensor) -> Result<Tensor> {
        let inputs = ops::product(v, &self.weights)?;
        let Some(draws) = self.visible.own_draws(v)? else { return Ok(inputs) };
        let vars = self.hidden.vars();
        let biases = self.hidden.biases().into_iter().map(|(k, _)| vars[k].1.as_tensor().clone());
        let bias = Tensor::cat(&biases.collect::<Vec<_>>(), 0)?.unsqueeze(0)?;
        Ok((inputs + (draws - 1.0)?.matmul(&bias)?)?)
    }

    /// hWᵀ, what the hidden units say to each visible one. Differentiable.
    ///
    /// # Errors
    ///
    /// When the hidden configurations do not have the machine's width and type.
    pub fn visible_inputs(&self, h: &Tensor) -> Result<Tensor> {
        ops::product_transposed(h, &self.weights)
    }

    /// E(v, h) in nats, `(batch,)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the configurations do not have the machine's widths and type.
    pub fn energy(&self, v: &Tensor, h: &Tensor) -> Result<Tensor> {
        Boltzmann::energy(self, v, h)
    }

    /// F(v) = −log Σ_h exp(−E(v, h)) in nats, `(batch,)` (Practical Guide §16.1). Differentiable.
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn free_energy(&self, v: &Tensor) -> Result<Tensor> {
        Boltzmann::free_energy(self, v)
    }

    /// [`Rbm::free_energy`] where the products vW are known. Differentiable.
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn free_energy_given(&self, v: &Tensor, hidden_inputs: &Tensor) -> Result<Tensor> {
        Boltzmann::free_energy_given(self, v, hidden_inputs)
    }

    /// E[h | v].
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn hidden_mean(&self, v: &Tensor) -> Result<Tensor> {
        self.hidden.mean(&self.hidden_inputs(v)?)
    }

    /// E[v | h].
    ///
    /// # Errors
    ///
    /// When the hidden configurations do not have the machine's width and type.
    pub fn visible_mean(&self, h: &Tensor) -> Result<Tensor> {
        self.visible.mean(&self.visible_inputs(h)?)
    }

    /// [`Rbm::visible_mean`] where each row has as many draws as that of `like` sums to, if they have numbers of their own.
    ///
    /// # Errors
    ///
    /// When the hidden configurations do not have the machine's width and type.
    pub fn visible_mean_like(&self, h: &Tensor, like: &Tensor) -> Result<Tensor> {
        self.visible.mean_like(&self.visible_inputs(h)?, like)
    }

    /// h drawn from p(h | v).
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn sample_hidden(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.hidden.sample(&self.hidden_inputs(v)?, rng)
    }

    /// v drawn from p(v | h).
    ///
    /// # Errors
    ///
    /// When the hidden configurations do not have the machine's width and type.
    pub fn sample_visible(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.visible.sample(&self.visible_inputs(h)?, rng)
    }

    /// The same machine seen from the other side: visible and hidden exchanged. A copy, not a view.
    ///
    /// # Errors
    ///
    /// When a layer of one's own cannot be cloned.
    pub fn mirror(&self) -> Result<Self> {
        let weights = self.weights.as_detached_tensor().t()?.copy()?;
        Ok(Self {
            visible: self.hidden.try_clone()?,
            hidden: self.visible.try_clone()?,
            weights: Var::from_tensor(&weights.contiguous()?)?,
        })
    }

    /// A machine of layers of the same types, with its own copy of every parameter.
    ///
    /// # Errors
    ///
    /// When a layer of one's own cannot be cloned.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            visible: self.visible.try_clone()?,
            hidden: self.hidden.try_clone()?,
            weights: Var::from_tensor(&self.weights.as_detached_tensor().copy()?)?,
        })
    }

    /// Takes over every parameter of `other`.
    ///
    /// # Errors
    ///
    /// When it is of another shape.
    pub fn set(&self, other: &Self) -> Result<()> {
        self.copy_from(other)
    }

    /// Brings parameters that a step has pushed out of their range back into it.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be set.
    pub fn constrain(&self) -> Result<()> {
        Boltzmann::constrain(self)
    }

    /// The restricted machine that `machine` is, if it is one.
    pub fn of(machine: &dyn Boltzmann) -> Option<&Self> {
        machine.as_any().downcast_ref()
    }
}

/// Two colours: the visible units are the rest, the hidden ones the last.
impl Boltzmann for Rbm {
    fn rest(&self) -> &dyn Layer {
        self.visible()
    }

    fn last(&self) -> &dyn Layer {
        self.hidden()
    }

    fn parameters(&self) -> Vec<(String, &Var)> {
        self.parameters()
    }

    fn dtype(&self) -> DType {
        self.dtype()
    }

    fn device(&self) -> &Device {
        self.device()
    }

    fn last_inputs(&self, rest: &Tensor) -> Result<Tensor> {
        self.hidden_inputs(rest)
    }

    fn rest_inputs(&self, last: &Tensor) -> Result<Tensor> {
        self.visible_inputs(last)
    }

    fn coupling_weights(&self) -> Vec<&Var> {
        vec![self.weights()]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn duplicate(&self) -> Result<Box<dyn Boltzmann>> {
        Ok(Box::new(self.try_clone()?))
    }

    /// ⟨v hᵀ⟩, not multiplied out.
    fn coupling_averages(
        &self,
        rest: &Tensor,
        last: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Vec<Ascent>> {
        let term = match weights {
            None => Outer::new(rest, last, 1.0 / rest.dim(0)? as f64)?,
            Some(weights) => Outer::new(rest, &last.broadcast_mul(weights)?, 1.0)?,
        };
        Ok(vec![vec![term].into()])
    }

    fn check_normalisable(&self) -> Result<()> {
        self.check_normalisable()
    }
}
