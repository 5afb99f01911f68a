//! Markov kernels, and the first of them: alternating Gibbs sampling.
//!
//! A kernel is one step of a chain that leaves the machine's distribution as it is. It is an immutable value. What the next
//! step needs is its `State`, owned by the caller; what only a person needs is its `Info`. Gibbs sampling draws all visible
//! units given the hidden ones, then all hidden ones given the visible.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Boltzmann;
use crate::{Result, Rng};

/// min(1, exp(log_ratio)), the probability with which a move is accepted; 0 where the ratio is no number.
pub(crate) fn acceptance(log_ratio: f64) -> f64 {
    match log_ratio {
        r if r >= 0.0 => 1.0,
        r if r.is_nan() => 0.0,
        r => r.exp(),
    }
}

/// A way to move chains through the configurations of a machine.
pub trait Kernel: std::fmt::Debug {
    /// What the next step needs.
    type State;
    /// What a person may want to know of a step.
    type Info;

    /// Chains that start at `visible` `(chains, visible)`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn init(&self, machine: &dyn Boltzmann, visible: Tensor, rng: &mut Rng) -> Result<Self::State>;

    /// One step of all chains.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn step(
        &self,
        machine: &dyn Boltzmann,
        state: &mut Self::State,
        rng: &mut Rng,
    ) -> Result<Self::Info>;

    /// So many steps of all chains; what they tell is dropped.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn advance(
        &self,
        machine: &dyn Boltzmann,
        state: &mut Self::State,
        steps: usize,
        rng: &mut Rng,
    ) -> Result<()> {
        for _ in 0..steps {
            self.step(machine, state, rng)?;
        }
        Ok(())
    }
}

/// How the visible units answer the hidden ones (Practical Guide §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisibleStep {
    /// A sample: true Gibbs sampling.
    #[default]
    Sample,
    /// The mean, which is less noisy and no longer samples the machine's distribution: for learning features only.
    Mean,
}

/// Block Gibbs sampling (Geman and Geman 1984).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::{Gibbs, Kernel, Rbm, Rng, Units};
///
/// // Without weights the units are independent: on as often as their biases say.
/// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(3), DType::F32, &Device::Cpu)?;
/// rbm.parameters()[1].1.set(&Tensor::full(2f32, 4, &Device::Cpu)?)?; // the visible biases
///
/// let (gibbs, mut rng) = (Gibbs::default(), Rng::new(0));
/// let mut chains = gibbs.init(&rbm, Tensor::zeros((1000, 4), DType::F32, &Device::Cpu)?, &mut rng)?;
/// gibbs.advance(&rbm, &mut chains, 10, &mut rng)?;
/// let mean = chains.visible.mean_all()?.to_scalar::<f32>()?;
/// assert!((mean - 1.0 / (1.0 + (-2f32).exp())).abs() < 0.03);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gibbs {
    /// How the visible units are set.
    pub visible: VisibleStep,
}

/// Chains of Gibbs sampling, a row each. Each step is h → v → h, so the hidden inputs belong to `visible`.
#[derive(Debug, Clone)]
pub struct Chains {
    /// `(chains, visible)`.
    pub visible: Tensor,
    /// vW of the visible configurations, `(chains, hidden)`.
    pub hidden_inputs: Tensor,
    /// A sample of the hidden units given `visible`: where the next step starts.
    pub hidden: Tensor,
}

impl Gibbs {
    /// The visible configurations that the hidden ones `(chains, hidden)` cause.
    /// Where visible units have numbers of draws of their own, each row has that of `like`, a visible configuration; where they
    /// are coupled with each other, `like` is how they were.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn visible_given_hidden(
        &self,
        machine: &dyn Boltzmann,
        hidden: &Tensor,
        like: Option<&Tensor>,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        if self.visible == VisibleStep::Sample {
            return machine.draw_rest(like, hidden, None, rng);
        }
        let inputs = machine.rest_inputs(hidden)?.detach();
        match like {
            None => Ok(machine.rest().mean(&inputs)?.detach()),
            Some(like) => Ok(machine.rest().mean_like(&inputs, like)?.detach()),
        }
    }

    /// The same, and the inputs they send back up.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn reconstruct(
        &self,
        machine: &dyn Boltzmann,
        hidden: &Tensor,
        like: Option<&Tensor>,
        rng: &mut Rng,
    ) -> Result<(Tensor, Tensor)> {
        let visible = self.visible_given_hidden(machine, hidden, like, rng)?;
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        Ok((visible, hidden_inputs))
    }

    /// Chains whose hidden units are `hidden` `(chains, hidden)`, after one step.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step_from(
        &self,
        machine: &dyn Boltzmann,
        hidden: &Tensor,
        rng: &mut Rng,
    ) -> Result<Chains> {
        self.step_from_like(machine, hidden, None, rng)
    }

    /// The same where visible units may have numbers of draws of their own: those of `like`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step_from_like(
        &self,
        machine: &dyn Boltzmann,
        hidden: &Tensor,
        like: Option<&Tensor>,
        rng: &mut Rng,
    ) -> Result<Chains> {
        let (visible, hidden_inputs) = self.reconstruct(machine, hidden, like, rng)?;
        let hidden = machine.last().sample(&hidden_inputs, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }
}

impl Kernel for Gibbs {
    type State = Chains;
    type Info = ();

    fn init(&self, machine: &dyn Boltzmann, visible: Tensor, rng: &mut Rng) -> Result<Chains> {
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        let hidden = machine.last().sample(&hidden_inputs, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }

    fn step(&self, machine: &dyn Boltzmann, chains: &mut Chains, rng: &mut Rng) -> Result<()> {
        *chains = self.step_from_like(machine, &chains.hidden, Some(&chains.visible), rng)?;
        Ok(())
    }
}
