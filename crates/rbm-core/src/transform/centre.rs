//! The centred gradient: learning sees fluctuations about a mean, not the distance from zero.

use candle_core::Tensor;

use super::Transform;
use crate::layer::add_to_biases;
use crate::ops::Outer;
use crate::state::{State, take};
use crate::{Gradient, Phase, Rbm, Result, Stateful};

const VISIBLE: &str = "visible";
const HIDDEN: &str = "hidden";

/// The ascent of the machine written about offsets μ and λ, E = E_v + E_h − (v − μ)ᵀW(h − λ), expressed in the plain
/// parameters (Montavon and Müller 2012; Cho, Raiko, Ilin 2013; Melchior, Fischer, Wiskott 2016, "dd"):
/// ΔW = ⟨(v − μ)(h − λ)ᵀ⟩_data − ⟨…⟩_machine, Δb = Δb₀ − ΔW·λ, Δc = Δc₀ − ΔWᵀμ.
///
/// With the offsets at the data's means, learning does not depend on which of its two values a binary unit calls 1. The
/// offsets follow the means of the mini-batches; the machine does not change when they do, because its parameters are the
/// plain ones. The direction is the gradient times a positive definite matrix that depends on μ and λ alone, so it climbs
/// whatever the gradient climbs: put it after what adds gradients of the machine ([`Sparsity`](super::Sparsity)), before
/// [`WeightDecay`](super::WeightDecay), which is meant to spare the biases, and before [`Clip`](super::Clip).
#[derive(Debug, Clone)]
pub struct Centre {
    /// How much of each mini-batch's means goes into the offsets; 0.01 is usual, 0 holds them.
    pub rate: f64,
    /// μ, `(visible,)`; none before the first step, which then takes the mini-batch's mean.
    pub visible: Option<Tensor>,
    /// λ, `(hidden,)`; likewise.
    pub hidden: Option<Tensor>,
}

impl Centre {
    /// Offsets that begin at the first mini-batch's means.
    pub fn new(rate: f64) -> Self {
        Self { rate, visible: None, hidden: None }
    }

    /// Offsets that begin where the machine stands: μ at the visible means without inputs, which after
    /// [`Init`](crate::init::Init) are the data's, and λ at the hidden means that μ causes.
    pub fn of(rbm: &Rbm, rate: f64) -> Result<Self> {
        let none = rbm.weights().as_detached_tensor().narrow(1, 0, 1)?.t()?.zeros_like()?;
        let visible = rbm.visible().mean(&none)?.detach();
        let hidden = rbm.hidden_mean(&visible)?.detach();
        Ok(Self { rate, visible: Some(visible.squeeze(0)?), hidden: Some(hidden.squeeze(0)?) })
    }

    /// The offset after a mini-batch of this mean.
    fn moved(&self, offset: Option<&Tensor>, mean: Tensor) -> Result<Tensor> {
        match offset {
            None => Ok(mean),
            Some(offset) => Ok(((offset * (1.0 - self.rate))? + (mean * self.rate)?)?),
        }
    }
}

impl Stateful for Centre {
    fn state(&self) -> State {
        let named = |name: &str, offset: &Option<Tensor>| {
            offset.as_ref().map(|offset| (name.to_owned(), offset.clone()))
        };
        [named(VISIBLE, &self.visible), named(HIDDEN, &self.hidden)].into_iter().flatten().collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        (self.visible, self.hidden) = if state.is_empty() {
            (None, None)
        } else {
            (Some(take(state, VISIBLE)?), Some(take(state, HIDDEN)?))
        };
        Ok(())
    }
}

impl Transform for Centre {
    fn apply(&mut self, mut gradient: Gradient, rbm: &Rbm, positive: &Phase) -> Result<Gradient> {
        let hidden = rbm.hidden().mean(&positive.hidden_inputs)?.detach();
        let mu = self.moved(self.visible.as_ref(), positive.average(&positive.visible)?)?;
        let lambda = self.moved(self.hidden.as_ref(), positive.average(&hidden)?)?;
        let b = rbm.visible().mean_among(&gradient.visible)?;
        let c = rbm.hidden().mean_among(&gradient.hidden)?;
        // ⟨(v − μ)(h − λ)ᵀ⟩ is ⟨vhᵀ⟩ − μ⟨h⟩ᵀ − ⟨v⟩λᵀ + μλᵀ, of which the last cancels between the phases. Written so, v keeps
        // its zeros.
        let shift =
            Outer::new(&Tensor::stack(&[&mu, &b], 0)?, &Tensor::stack(&[&c, &lambda], 0)?, -1.0)?;
        gradient.weights = gradient.weights.plus(shift)?;
        let back = gradient.weights.times_vector(&lambda)?.neg()?;
        add_to_biases(rbm.visible(), &mut gradient.visible, &back)?;
        let back = gradient.weights.vector_times(&mu)?.neg()?;
        add_to_biases(rbm.hidden(), &mut gradient.hidden, &back)?;
        (self.visible, self.hidden) = (Some(mu), Some(lambda));
        Ok(gradient)
    }
}
