//! How a machine learns: the numbers of a training.

use rbm_core::estimate::{self, sigma_points};
use rbm_core::learning::negative::NegativePhase;
use rbm_core::learning::schedule::{Curve, Per, Schedule};
use rbm_core::learning::trainer::{BatchSource, Drawn, Pass, Shuffled, Whole};
use rbm_core::learning::transform::{Centre, WeightDecay};
use rbm_core::model::{Boltzmann, Machine};
use rbm_core::rows::Fingerprint;
use rbm_core::units::enumerate;
use rbm_core::{
    ContrastiveDivergence, Error, Exact, ParallelTrajectory, Persistent, PositivePhase,
    PseudoLikelihood, Result, Rng, Rows, Sgd, TemperedPersistent, Trainer, Units,
};
use serde::{Deserialize, Serialize};

use crate::shape::Shape;

/// The most configurations that are counted one by one.
const MOST_COUNTED: u64 = 1 << 16;
/// The usual learning rate of a deep machine, by the centred gradient.
const DEEP_RATE: f64 = 0.2;
/// The usual rate of pre-training.
const PRETRAINING_RATE: f64 = 0.025;

/// How much of each mini-batch's means goes into the offsets of the centred gradient.
pub(crate) const CENTRE_RATE: f64 = 0.01;

/// Where the machine's own averages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negative {
    /// Chains that start at the data at every update.
    Contrastive,
    /// Chains that go on from update to update (Younes 1989, Tieleman 2008).
    Persistent,
    /// Chains at several temperatures that exchange places (Desjardins et al. 2010; Cho, Raiko, Ilin 2010).
    Tempered,
    /// Chains that exchange places with those of the machine as it was before (Béreux et al. 2025).
    Trajectory,
    /// All configurations, where there are at most 2¹⁶; measurements beside them are integrated.
    Exact,
    /// None: each observed unit is predicted from all other observed ones (Besag 1975). Deterministic, and without hidden units convex. For machines whose
    /// hidden units, if any, are one layer and not coupled with each other; they are summed out, for every unit anew.
    PseudoLikelihood,
}

/// How a Boltzmann machine learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learning {
    /// Where the machine's own averages come from.
    pub negative: Negative,
    /// How hidden units that are coupled with each other are found, given the data.
    pub posterior: PositivePhase,
    /// Times through the data.
    pub epochs: usize,
    /// Cases between updates: all of them unless that is said. Files have 0 for these.
    #[serde(with = "zero_for_all")]
    pub batch_size: Option<usize>,
    /// Times through the data for each layer of a deep machine before all learn together; 0 for none.
    #[serde(skip_serializing_if = "is_none")]
    pub pretraining_epochs: usize,
    /// The learning rate of that, by CD-k divided by k.
    #[serde(skip_serializing_if = "is_usual")]
    pub pretraining_rate: f64,
    /// Whether the gradient of that is centred: of large data with many units, of which few would ever be on without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pretraining_centre: bool,
    /// Of the first epoch.
    pub learning_rate: f64,
    /// Of the last epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_learning_rate: Option<f64>,
    /// How it goes from the first to the last.
    #[serde(skip_serializing_if = "is_exponential")]
    pub learning_curve: Curve,
    /// The fraction of the last step that is repeated.
    pub momentum: f64,
    /// Weight decay.
    pub l2: f64,
    /// Whether the gradient is centred.
    pub centre: bool,
    /// Sweeps of the chains between updates.
    pub sweeps: usize,
    /// Persistent chains.
    pub chains: usize,
    /// The end of the training: Pearson's correlation between the connected correlations of two units among the data and among chains that
    /// were started anew. Of machines without hidden units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_pearson: Option<f64>,
    /// What is taken of the data: their values, or zeros and ones with these probabilities, drawn anew at every turn.
    #[serde(skip_serializing_if = "Pass::is_mean")]
    pub pass: Pass,
    /// Seed of everything random.
    pub seed: u64,
}

/// No number of cases is 0 in a file.
mod zero_for_all {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(size: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
        size.unwrap_or(0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<usize>, D::Error> {
        Ok(Some(usize::deserialize(from)?).filter(|size| *size > 0))
    }
}

fn is_none(epochs: &usize) -> bool {
    *epochs == 0
}

fn is_usual(rate: &f64) -> bool {
    *rate == PRETRAINING_RATE
}

fn is_exponential(curve: &Curve) -> bool {
    *curve == Curve::Exponential
}

/// What a training with these cases, and how much each counts, begins with.
pub(crate) fn data_of(cases: &dyn Rows, weights: Option<&[f32]>) -> Result<Fingerprint> {
    let weights = weights.into_iter().flatten().map(|weight| weight.to_le_bytes());
    Ok(Fingerprint::of(cases)?.beside(weights))
}

/// Errors where zeros and ones cannot be drawn of data for these units.
fn check_pass(pass: Pass, visible: &Units, has_target: bool) -> Result<()> {
    if pass.is_mean() || (matches!(visible, Units::Bernoulli { .. }) && !has_target) {
        return Ok(());
    }
    let found = if has_target { "a target of learning".to_owned() } else { visible.to_string() };
    Err(Error::invalid("data.pass = \"sample\"", "Bernoulli units, and no target", found))
}

impl Learning {
    /// The offsets of a centred gradient, where `machine` begins to learn. Biases that a centred pre-training has left say nothing of the means.
    pub(crate) fn offsets(&self, machine: &dyn Boltzmann) -> Result<Centre> {
        if self.pretraining_centre {
            return Ok(Centre::new(CENTRE_RATE));
        }
        Centre::of(machine, CENTRE_RATE)
    }

    /// The mini-batches of `cases`, which count as `weights` says.
    pub(crate) fn source<'a>(
        &self,
        cases: &'a dyn Rows,
        weights: Option<&'a [f32]>,
    ) -> Result<Box<dyn BatchSource + 'a>> {
        let Self { batch_size, seed, pass, .. } = *self;
        let shuffle = Rng::new(seed).split(1);
        if weights.is_some_and(|weights| weights.len() != cases.count()) {
            let found = cases.count().to_string();
            return Err(Error::invalid("cases", "those that were weighed", found));
        }
        let source: Box<dyn BatchSource> = match (weights, batch_size) {
            (_, None) => Box::new(Whole { cases, weights }),
            (Some(weights), Some(batch_size)) => {
                Box::new(Drawn { cases, weights, batch_size, shuffle })
            }
            (None, Some(batch_size)) => Box::new(Shuffled { cases, batch_size, shuffle }),
        };
        Ok(pass.of_source(source))
    }

    /// The learning rate by epoch.
    pub(crate) fn rate(&self) -> Schedule {
        let from = self.learning_rate;
        let usual = if self.target_pearson.is_some() { from } else { 0.1 * from };
        let to = self.final_learning_rate.unwrap_or(usual);
        Schedule::Ramp { from, to, curve: self.learning_curve, per: Per::Epoch }
    }

    /// What learns all of `machine` together.
    ///
    /// # Errors
    ///
    /// For the exact gradient of a machine with too many configurations.
    pub(crate) fn trainer(
        &self,
        shape: &Shape,
        machine: &Machine,
    ) -> Result<Trainer<Box<dyn NegativePhase>, Sgd>> {
        let Learning { sweeps, chains, learning_rate, .. } = *self;
        let negative: Box<dyn NegativePhase> = match self.negative {
            Negative::Contrastive => Box::new(ContrastiveDivergence::new(sweeps)),
            Negative::Persistent => Box::new(Persistent::new(sweeps, chains)),
            Negative::Tempered => Box::new(TemperedPersistent::new(sweeps, chains, None)),
            Negative::Trajectory => Box::new(ParallelTrajectory::new(sweeps, chains)),
            Negative::Exact => {
                check_countable(machine)?;
                Box::new(Exact)
            }
            Negative::PseudoLikelihood => {
                check_pseudo_likelihood(machine, shape)?;
                Box::new(PseudoLikelihood)
            }
        };
        let mut trainer = Trainer::new(negative, Sgd::new(learning_rate));
        if shape.draws_hidden() {
            trainer.posterior = self.posterior;
        }
        if self.l2 > 0.0 {
            trainer.transforms.push(Box::new(WeightDecay { l1: 0.0, l2: self.l2 }));
        }
        if self.centre {
            trainer.transforms.push(Box::new(self.offsets(machine)?));
        }
        Ok(trainer)
    }

    /// # Errors
    ///
    /// For settings that mean nothing, and for those that a machine of this shape does not allow.
    pub(crate) fn check(&self, shape: &Shape) -> Result<()> {
        let refused =
            |what: &str, expected: &str, found: String| Err(Error::invalid(what, expected, found));
        let Self { epochs, learning_rate, momentum, l2, sweeps, chains, .. } = *self;
        if [epochs, sweeps, chains, self.batch_size.unwrap_or(1)].contains(&0) {
            return refused(
                "learning",
                "epochs, sweeps, chains and cases in a mini-batch of at least 1",
                format!("{epochs}, {sweeps}, {chains} and {:?}", self.batch_size),
            );
        }
        let is_rate = |rate: f64| rate > 0.0 && rate.is_finite();
        if !(is_rate(learning_rate)
            && (0.0..1.0).contains(&momentum)
            && l2 >= 0.0
            && l2.is_finite())
        {
            return refused(
                "learning",
                "a rate above 0, a momentum of at least 0 and below 1, and a decay of at least 0",
                format!("{learning_rate}, {momentum} and {l2}"),
            );
        }
        if let Some(rate) = self.final_learning_rate.filter(|rate| !is_rate(*rate)) {
            let found = rate.to_string();
            return refused("final_learning_rate", "a number above 0", found);
        }
        if !is_rate(self.pretraining_rate) {
            let found = self.pretraining_rate.to_string();
            return refused("pretraining_rate", "a number above 0", found);
        }
        check_pass(self.pass, &shape.visible, self.target_pearson.is_some())?;
        if let Some(target) = self.target_pearson {
            if !(target > 0.0 && target < 1.0) {
                let found = target.to_string();
                return refused("the target of Pearson's correlation", "above 0, below 1", found);
            }
            if !shape.hidden.is_empty() {
                let expected = "a machine without hidden units";
                return refused("a target of learning", expected, "hidden units".into());
            }
        }
        Ok(())
    }

    /// What is usual of a machine with so many hidden layers: pseudo-likelihood without any, else persistent chains, of a deep machine the centred
    /// gradient.
    pub fn usual(hidden_layers: usize) -> Self {
        let usual = Self::default();
        match hidden_layers {
            0 => Self { negative: Negative::PseudoLikelihood, ..usual },
            1 => usual,
            _ => Self { centre: true, learning_rate: DEEP_RATE, ..usual },
        }
    }

    /// The settings with which direct coupling analysis learns to a target: those of adabmDCA, whole data at each update.
    pub fn to_target(target_pearson: f64) -> Self {
        Self {
            epochs: 50_000,
            batch_size: None,
            learning_rate: 0.01,
            l2: 0.0,
            sweeps: 10,
            chains: 10_000,
            target_pearson: Some(target_pearson),
            ..Self::default()
        }
    }
}

/// Errors unless the pseudo-likelihood of the observed units can be learned.
fn check_pseudo_likelihood(machine: &Machine, shape: &Shape) -> Result<()> {
    if is_observed(machine, shape) {
        return PseudoLikelihood::check(machine);
    }
    let hidden = match shape.hidden.len() {
        0 => "no hidden units".to_owned(),
        1 => format!("{} hidden units", shape.hidden[0].width()),
        layers => format!("{layers} hidden layers"),
    };
    let coupled = if shape.couplings.is_within_hidden() { ", coupled with each other" } else { "" };
    let labels = if shape.labels.is_some() { ", and labels" } else { "" };
    Err(Error::invalid(
        "learning by pseudo-likelihood",
        "hidden units, if any, in one layer and not coupled with each other, and no labels",
        format!("{} visible units, {hidden}{coupled}{labels}", shape.visible),
    ))
}

/// Whether the probability of each observed unit given all other observed ones is known. It is not where hidden units are coupled with each
/// other. Where labels are learned too, cases may come without them.
pub(crate) fn has_pseudo_likelihood(machine: &Machine, shape: &Shape) -> bool {
    is_observed(machine, shape) && estimate::has_pseudo_likelihood(machine)
}

/// Whether all units that are not summed out are observed in every case.
fn is_observed(machine: &Machine, shape: &Shape) -> bool {
    shape.labels.is_none() && machine.rest().units().width() == shape.observed()
}

/// Errors unless the rest of `machine` has few enough configurations.
fn check_countable(machine: &Machine) -> Result<()> {
    let count = enumerate::count(machine.rest());
    if count.is_some_and(|count| count <= MOST_COUNTED) || sigma_points(machine)?.is_some() {
        return Ok(());
    }
    let expected = format!("at most {MOST_COUNTED} configurations");
    let found = count.map_or("more".to_owned(), |count| count.to_string());
    Err(Error::invalid("counting", expected, found))
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            negative: Negative::Persistent,
            posterior: PositivePhase::Sampled { sweeps: 3 },
            epochs: 100,
            batch_size: Some(50),
            pretraining_epochs: 0,
            pretraining_rate: PRETRAINING_RATE,
            pretraining_centre: false,
            learning_rate: 0.05,
            final_learning_rate: None,
            learning_curve: Curve::Exponential,
            momentum: 0.0,
            l2: 1e-4,
            centre: false,
            sweeps: 3,
            chains: 100,
            target_pearson: None,
            pass: Pass::Mean,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_goes_from_the_first_epoch_to_the_last() {
        let ends = |learning: Learning| [0, 9].map(|epoch| learning.rate().at(epoch, 10));
        let usual = Learning { learning_rate: 0.5, ..Learning::default() };
        let near = |found: [f64; 2], known: [f64; 2]| {
            found.iter().zip(known).all(|(found, known)| (found - known).abs() < 1e-12)
        };
        assert!(near(ends(usual.clone()), [0.5, 0.05]));
        let named = Learning { final_learning_rate: Some(0.2), ..usual.clone() };
        assert!(near(ends(named), [0.5, 0.2]));
        let linear = Learning { learning_curve: Curve::Linear, ..usual.clone() };
        assert!(near(ends(linear.clone()), [0.5, 0.05]));
        assert!((linear.rate().at(1, 3) - 0.275).abs() < 1e-12);
        let to_target = Learning { target_pearson: Some(0.9), ..usual };
        assert!(near(ends(to_target), [0.5, 0.5]));
    }
}
