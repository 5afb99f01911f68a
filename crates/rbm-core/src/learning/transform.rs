//! What is done to a gradient before it becomes a step.
//!
//! The centred gradient: learning sees fluctuations about a mean, not the distance from zero.

use candle_core::Tensor;

use crate::model::Boltzmann;
use crate::ops::{self, Outer};
use crate::state::{State, get};
use crate::units::add_to_biases;
use crate::{Error, Gradient, Phase, Rbm, Result, Stateful};

/// One change of the gradient. Transforms are applied in the order in which they stand.
pub trait Transform: Stateful {
    /// The changed gradient; `positive` is the phase of the data in the same step.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn apply(
        &mut self,
        gradient: Gradient,
        machine: &dyn Boltzmann,
        positive: &Phase,
    ) -> Result<Gradient>;
}

/// Pulls weights, and weights only, towards zero (Practical Guide §10). It is multiplied by the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WeightDecay {
    /// Strength of the penalty λ·Σ|w|.
    pub l1: f64,
    /// Strength of the penalty λ/2·Σw²; 1e-4 is where to start.
    pub l2: f64,
}

impl Stateful for WeightDecay {}

impl Transform for WeightDecay {
    fn apply(&mut self, mut gradient: Gradient, _: &dyn Boltzmann, _: &Phase) -> Result<Gradient> {
        for ascent in &mut gradient.couplings {
            ascent.penalty.l1 += self.l1;
            ascent.penalty.l2 += self.l2;
        }
        Ok(gradient)
    }
}

/// Where visible configurations have numbers of draws of their own, D: divides what hidden biases would move by, by the mean of D. The
/// direction stays one of ascent. A bias that counts D times has a slope D times as steep, and a step along it would move the
/// inputs D² times as far as a step of a weight does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerDraw;

impl Stateful for PerDraw {}

impl Transform for PerDraw {
    fn apply(
        &mut self,
        mut gradient: Gradient,
        machine: &dyn Boltzmann,
        positive: &Phase,
    ) -> Result<Gradient> {
        let Some(draws) = machine.rest().own_draws(&positive.visible)? else { return Ok(gradient) };
        let mean = ops::device::to_host(&draws.mean_all()?)?.to_scalar::<f64>()?.max(1.0);
        for (k, _) in machine.last().biases() {
            if let Some(part) = gradient.hidden.get_mut(k) {
                *part = (&*part / mean)?;
            }
        }
        Ok(gradient)
    }
}

/// Pulls each hidden unit's mean activity towards a target by the cross-entropy between the two (Practical Guide §11;
/// Nair and Hinton 2009).
#[derive(Debug, Clone)]
pub struct Sparsity {
    /// The desired mean activity p, 0.01 to 0.1.
    pub target: f64,
    /// The strength of the pull.
    pub cost: f64,
    /// How slowly the running mean q of the activity forgets, 0.9 to 0.99.
    pub decay: f64,
    /// Whether the weights are pulled as well as the biases.
    pub weights: bool,
    /// q, `(hidden,)`, once a step has been made.
    pub activity: Option<Tensor>,
}

impl Sparsity {
    /// A pull of strength `cost` towards `target`, with q forgetting a tenth a step.
    pub fn new(target: f64, cost: f64) -> Self {
        Self { target, cost, decay: 0.9, weights: true, activity: None }
    }
}

impl Stateful for Sparsity {
    fn state(&self) -> State {
        self.activity.iter().map(|q| ("activity".to_owned(), q.clone())).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.activity = if state.is_empty() { None } else { Some(get(state, "activity")?) };
        Ok(())
    }
}

impl Transform for Sparsity {
    fn apply(
        &mut self,
        mut gradient: Gradient,
        machine: &dyn Boltzmann,
        positive: &Phase,
    ) -> Result<Gradient> {
        let cases = positive.cases()? as f64;
        let hidden = machine.last().mean(&positive.hidden_inputs)?.detach();
        let mean = (ops::sum_rows(&hidden)? / cases)?;
        let activity = match &self.activity {
            None => mean,
            Some(activity) => ((activity * self.decay)? + (mean * (1.0 - self.decay))?)?,
        };
        let pull = activity.affine(-self.cost, self.cost * self.target)?;
        self.activity = Some(activity);
        add_to_biases(machine.last(), &mut gradient.hidden, &pull)?;
        if self.weights {
            let visible = (ops::sum_rows(&positive.visible)? / cases)?;
            let (visible, pull) = (visible.unsqueeze(0)?, pull.unsqueeze(0)?);
            gradient.add(machine.coupling_averages(&visible, &pull, None)?)?;
            if machine.has_interaction() {
                // Couplings within the rest say nothing to the hidden units.
                let within = machine.coupling_averages(&visible, &pull.zeros_like()?, None)?;
                let less = within.into_iter().map(|ascent| ascent.times(-1.0));
                gradient.add(less.collect::<Result<_>>()?)?;
            }
        }
        Ok(gradient)
    }
}

/// Scales the whole gradient down when its Euclidean norm is above a limit (Pascanu, Mikolov, Bengio 2013).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip {
    /// The largest norm, above zero.
    pub norm: f64,
}

impl Clip {
    /// Clipping at `norm`.
    ///
    /// # Errors
    ///
    /// Unless it is positive.
    pub fn new(norm: f64) -> Result<Self> {
        if norm > 0.0 {
            Ok(Self { norm })
        } else {
            Err(Error::invalid("clip", "a norm above 0", norm.to_string()))
        }
    }
}

impl Stateful for Clip {}

impl Transform for Clip {
    fn apply(
        &mut self,
        gradient: Gradient,
        machine: &dyn Boltzmann,
        _: &Phase,
    ) -> Result<Gradient> {
        let norm = gradient.norm(machine)?;
        if norm <= self.norm {
            return Ok(gradient);
        }
        let scale = self.norm / norm;
        let shrink = |parts: Vec<Tensor>| {
            parts.into_iter().map(|part| Ok((part * scale)?)).collect::<Result<_>>()
        };
        Ok(Gradient {
            couplings: gradient
                .couplings
                .into_iter()
                .map(|ascent| ascent.times(scale))
                .collect::<Result<_>>()?,
            visible: shrink(gradient.visible)?,
            hidden: shrink(gradient.hidden)?,
        })
    }
}

const VISIBLE: &str = "visible";
const HIDDEN: &str = "hidden";

/// The ascent of the machine written about offsets μ and λ, E = E_v + E_h − (v − μ)ᵀW(h − λ), expressed in the plain
/// parameters (Montavon and Müller 2012; Cho, Raiko, Ilin 2013; Melchior, Fischer, Wiskott 2016, "dd"):
/// ΔW = ⟨(v − μ)(h − λ)ᵀ⟩_data − ⟨…⟩_machine, Δb = Δb₀ − ΔW·λ, Δc = Δc₀ − ΔWᵀμ.
///
/// With the offsets at the data's means, learning does not depend on which of its two values a binary unit calls 1. The
/// offsets follow the means of the mini-batches; the machine does not change when they do, because its parameters are the
/// plain ones. The direction is the gradient times a positive definite matrix that depends on μ and λ alone, so it climbs
/// whatever the gradient climbs: put it after what adds to the gradient ([`Sparsity`],
/// [`WeightDecay`]) and before [`Clip`]. A decay that came later would let learning rest where
/// the machine's means are not the data's: the weights' pull would go into the biases, and nothing into the means.
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
    /// [`Init`](crate::model::init::Init) are the data's, and λ at the hidden means that μ causes.
    ///
    /// # Errors
    ///
    /// When the means of the units cannot be computed.
    pub fn of(machine: &dyn Boltzmann, rate: f64) -> Result<Self> {
        let shape = (1, machine.rest().units().width());
        let none = Tensor::zeros(shape, machine.dtype(), machine.device())?;
        let visible = machine.rest().mean(&none)?.detach();
        let hidden = machine.last().mean(&machine.last_inputs(&visible)?)?.detach();
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
            (Some(get(state, VISIBLE)?), Some(get(state, HIDDEN)?))
        };
        Ok(())
    }
}

impl Transform for Centre {
    fn apply(
        &mut self,
        mut gradient: Gradient,
        machine: &dyn Boltzmann,
        positive: &Phase,
    ) -> Result<Gradient> {
        let hidden = machine.last().mean(&positive.hidden_inputs)?.detach();
        let mu = self.moved(self.visible.as_ref(), positive.average(&positive.visible)?)?;
        let lambda = self.moved(self.hidden.as_ref(), positive.average(&hidden)?)?;
        let b = machine.rest().mean_among(&gradient.visible)?;
        let c = machine.last().mean_among(&gradient.hidden)?;
        let (back, back_to_hidden) = match Rbm::of(machine) {
            Some(rbm) => centre_restricted(&mut gradient, rbm, [&mu, &lambda], [&b, &c])?,
            None => centre_any(&mut gradient, machine, [&mu, &lambda], [&b, &c])?,
        };
        add_to_biases(machine.rest(), &mut gradient.visible, &back)?;
        add_to_biases(machine.last(), &mut gradient.hidden, &back_to_hidden)?;
        (self.visible, self.hidden) = (Some(mu), Some(lambda));
        Ok(gradient)
    }
}

/// Centres the ascent of the weights; what the biases move by for that, visible and hidden. b and c are the gradients of the means.
fn centre_restricted(
    gradient: &mut Gradient,
    rbm: &Rbm,
    [mu, lambda]: [&Tensor; 2],
    [b, c]: [&Tensor; 2],
) -> Result<(Tensor, Tensor)> {
    // ⟨(v − μ)(h − λ)ᵀ⟩ is ⟨vhᵀ⟩ − μ⟨h⟩ᵀ − ⟨v⟩λᵀ + μλᵀ, of which the last cancels between the phases. Written so, v keeps
    // its zeros.
    let shift = Outer::new(&Tensor::stack(&[mu, b], 0)?, &Tensor::stack(&[c, lambda], 0)?, -1.0)?;
    gradient.add(vec![vec![shift].into()])?;
    let ascent = &gradient.couplings[0];
    let visible = ascent.times_vector(rbm.weights(), lambda)?.neg()?;
    Ok((visible, ascent.vector_times(rbm.weights(), mu)?.neg()?))
}

/// The same of couplings of every kind. With Q(x) what a coupling says of one configuration, the ascent loses what is bilinear in
/// (μ, λ) and (b, c), which is ½·Q(x + y) − ½·Q(x − y). Tables of cliques stay as they are: they have the means of their units in them.
fn centre_any(
    gradient: &mut Gradient,
    machine: &dyn Boltzmann,
    [mu, lambda]: [&Tensor; 2],
    [b, c]: [&Tensor; 2],
) -> Result<(Tensor, Tensor)> {
    for (sign, weight) in [(1.0, -0.5), (-1.0, 0.5)] {
        let moved =
            |x: &Tensor, y: &Tensor| -> Result<Tensor> { Ok((x + (y * sign)?)?.unsqueeze(0)?) };
        let both = machine.coupling_averages(&moved(mu, b)?, &moved(lambda, c)?, None)?;
        let of_pairs =
            machine.couples_pairs().into_iter().map(|is_pairs| f64::from(u8::from(is_pairs)));
        let both = both.into_iter().zip(of_pairs).map(|(ascent, of)| ascent.times(weight * of));
        gradient.add(both.collect::<Result<_>>()?)?;
    }
    // A machine whose couplings are the ascent says what the biases lose.
    let along = machine.duplicate()?;
    let weights = along.coupling_weights().into_iter().zip(&gradient.couplings);
    for ((weights, ascent), is_pairs) in weights.zip(machine.couples_pairs()) {
        match is_pairs {
            true => weights.set(&ascent.tensor(weights)?)?,
            false => weights.set(&weights.as_detached_tensor().zeros_like()?)?,
        }
    }
    let (mu, lambda) = (mu.unsqueeze(0)?, lambda.unsqueeze(0)?);
    let mut visible = along.rest_inputs(&lambda)?;
    if let Some(within) = along.inputs_within(&mu)? {
        visible = (visible + within)?;
    }
    let hidden = along.last_inputs(&mu)?;
    let back = |x: Tensor| -> Result<Tensor> { Ok(x.detach().squeeze(0)?.neg()?) };
    Ok((back(visible)?, back(hidden)?))
}
