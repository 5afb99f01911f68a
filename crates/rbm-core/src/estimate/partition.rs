//! The partition function: exactly, by enumeration, or from both sides.
//!
//! Enumeration goes through the units that are not summed out, or through those that are where they are fewer. The estimates from
//! both sides are made step by step: forwards, in equilibrium, backwards.

use std::fmt;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Annealing, Equilibrium, Estimate, TemperingConfig, TemperingProgress, betas_along, gaussian,
};
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::sampling::AnnealingPath;
use crate::state::{State, with_prefix, without_prefix};
use crate::stats::LogSumExp;
use crate::units::enumerate;
use crate::{Error, Layer, Result, Rng, Rows, Stateful, rows};

/// log Z = log Σ_r exp(−F(r)) in nats, by going through every configuration of the rest, or of the last colour where it has
/// fewer and the units of the rest are not coupled with each other; summed in `f64`. Gaussian units of the rest are integrated.
///
/// # Errors
///
/// When there are more than [`enumerate::MAX_CONFIGURATIONS`] (2²⁰ beside Gaussian units that are coupled with each other), or when there is no such
/// number ([`Boltzmann::check_normalisable`]).
pub fn log_partition(machine: &dyn Boltzmann) -> Result<f64> {
    machine.check_normalisable()?;
    let rest = enumerate::count(machine.rest());
    let last = match machine.has_interaction() {
        true => None,
        false => enumerate::count(machine.last()),
    };
    match (rest, last) {
        (Some(r), Some(l)) if r < l => sum(machine.rest(), |r| machine.free_energy(r)),
        (_, Some(_)) => sum(machine.last(), |l| free_energy_of_last(machine, l)),
        (Some(_), None) => sum(machine.rest(), |r| machine.free_energy(r)),
        (None, None) => gaussian::log_partition(machine)?.ok_or_else(|| {
            Error::invalid(
                "the exact log-likelihood",
                "a layer of at most 25 binary units",
                format!("{} and {}", machine.rest().units(), machine.last().units()),
            )
        }),
    }
}

/// The mean of log p over the rows of `cases` `(n, rest)`, in nats, exact, a block at a time.
///
/// # Errors
///
/// As [`log_partition`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::estimate::log_likelihood;
/// use rbm_core::{Rbm, Units};
///
/// // Without weights, 4 bits are as probable one way as the other.
/// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(7), DType::F32, &Device::Cpu)?;
/// let cases = Tensor::new(&[[0f32, 1.0, 1.0, 0.0]], &Device::Cpu)?;
/// assert!((log_likelihood(&rbm, &cases)? + 4.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), rbm_core::Error>(())
/// ```
pub fn log_likelihood(machine: &dyn Boltzmann, cases: &dyn Rows) -> Result<f64> {
    super::check_cases(cases)?;
    let log_z = log_partition(machine)?;
    let mut free_energy = 0.0;
    for block in rows::blocks(cases) {
        let energies = to_host(&machine.free_energy(&block?)?)?;
        free_energy += energies.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(-free_energy / cases.count() as f64 - log_z)
}

/// −log Σ_r exp(−E(r, l)), `(batch,)`, of a machine without couplings within the rest.
fn free_energy_of_last(machine: &dyn Boltzmann, l: &Tensor) -> Result<Tensor> {
    Ok((machine.last().energy(l)? - machine.rest().cgf(&machine.rest_inputs(l)?)?)?)
}

/// log Σ exp(−energy) over every configuration of `layer`.
fn sum(layer: &dyn Layer, energy: impl Fn(&Tensor) -> Result<Tensor>) -> Result<f64> {
    let mut sum = LogSumExp::default();
    for block in enumerate::blocks(layer)? {
        let energies = to_host(&energy(&block?)?)?.to_vec1::<f64>()?;
        energies.into_iter().for_each(|energy| sum.push(-energy));
    }
    Ok(sum.value())
}

/// How much to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AisOptions {
    /// Chains of annealed importance sampling, in each direction; at least 2.
    pub chains: usize,
    /// Inverse temperatures of each; at least 2.
    pub betas: usize,
    /// Whether to come from the other side too; without it there is no way to tell how wrong the answer is.
    pub both: bool,
    /// Of the tempering that equilibrium samples come from.
    #[serde(rename = "effort")]
    pub tempering: TemperingConfig,
    /// Where all randomness comes from.
    pub seed: u64,
}

impl Default for AisOptions {
    /// 100 chains, 14,500 inverse temperatures (Salakhutdinov and Murray 2008), from both sides.
    fn default() -> Self {
        Self {
            chains: 100,
            betas: 14_500,
            both: true,
            tempering: TemperingConfig::default(),
            seed: 0,
        }
    }
}

impl AisOptions {
    /// Enough for small machines, and for a first look at others: 1,000 inverse temperatures and a short tempering.
    pub fn brief(seed: u64) -> Self {
        let tempering = TemperingConfig { chains: 20, samples: 100, ..TemperingConfig::default() };
        Self { betas: 1000, tempering, seed, ..Self::default() }
    }
}

/// The parts of the estimation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AisStage {
    /// Annealing from independent units to the machine.
    Forward,
    /// Equilibrium samples of the machine by parallel tempering.
    Tempering,
    /// Annealing from these samples back to independent units.
    Reverse,
    /// Everything asked for has been found.
    Done,
}

/// In a word or two, for people.
impl fmt::Display for AisStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward annealing",
            Self::Tempering => "tempering",
            Self::Reverse => "reverse annealing",
            Self::Done => "done",
        })
    }
}

/// What a stage works on.
#[derive(Debug, Clone)]
enum Work {
    Forward(Box<Annealing>),
    Tempering(Box<Equilibrium>),
    Reverse(Box<Annealing>),
    Done,
}

/// Everything of a checkpoint that is not a tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AisRecord {
    options: AisOptions,
    rng: Rng,
    found: AisEstimates,
    stage: AisStage,
    progress: Option<TemperingProgress>,
}

/// What has been found so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AisEstimates {
    /// log Z by annealing forwards: too low, if anything.
    pub forward: Option<Estimate>,
    /// log Z by Bennett's ratio over the ladder of the tempering.
    pub bridge: Option<Estimate>,
    /// log Z by annealing backwards from the tempering's samples: too high, if anything.
    pub reverse: Option<Estimate>,
    /// The tempering's ladder, from 0 to 1.
    pub ladder: Vec<f64>,
    /// How probable swaps were over each of its gaps.
    pub acceptance: Vec<f64>,
    /// How many replicas came from β = 0 to β = 1 while samples were taken: so many independent ones there are at the most.
    pub arrivals: usize,
    /// Sweeps of the tempering while samples were taken.
    pub sweeps: usize,
}

impl AisEstimates {
    /// log Z and its standard error as they are to be quoted: by Bennett's ratio, or the mean of both sides where that is known better. Its error is
    /// half of what lies between the sides, or what both errors make of it, whichever is more.
    pub fn best(&self) -> Option<[f64; 2]> {
        let of = |estimate: &Option<Estimate>| {
            let found = estimate.as_ref().map(|found| [found.value, found.error]);
            found.filter(|numbers| numbers.iter().all(|number| number.is_finite()))
        };
        let (forward, reverse) = (of(&self.forward), of(&self.reverse));
        let between = forward.zip(reverse).map(|([low, of_low], [high, of_high])| {
            let error = 0.5 * (of_low.hypot(of_high)).max((high - low).abs());
            [0.5 * (low + high), error]
        });
        let all = [of(&self.bridge), between].into_iter().flatten();
        all.min_by(|[_, a], [_, b]| a.total_cmp(b))
    }
}

/// The estimation of a machine's log Z from both sides, for machines that are too large to be enumerated.
///
/// ```
/// use candle_core::{DType, Device};
/// use rbm_core::model::init::Init;
/// use rbm_core::sampling::AnnealingPath;
/// use rbm_core::estimate::{TemperingConfig, AisOptions, BidirectionalAis, log_partition};
/// use rbm_core::{Rbm, Rng, Units};
///
/// let rbm = Rbm::new(&Units::bernoulli(8), &Units::bernoulli(6), DType::F32, &Device::Cpu)?;
/// Init { weight_deviation: 0.5, hidden_bias: 0.0 }.draw_weights(&rbm, &mut Rng::new(1))?;
/// let tempering = TemperingConfig { chains: 10, samples: 50, ..TemperingConfig::default() };
/// let options = AisOptions { chains: 50, betas: 100, both: true, tempering, seed: 0 };
/// // Where there are data, AnnealingPath::from_cases begins nearer to the machine.
/// let mut sides = BidirectionalAis::new(&rbm, AnnealingPath::from_biases(&rbm)?, options)?;
/// while !sides.is_done() {
///     sides.step()?;                                    // sides.checkpoint() in between, to go on another day
/// }
/// let found = sides.found();
/// let (Some(forward), Some(reverse)) = (found.forward, found.reverse) else { unreachable!("both were asked for") };
/// let exact = log_partition(&rbm)?;
/// assert!((forward.value - exact).abs() < 0.3 && (reverse.value - exact).abs() < 0.3);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct BidirectionalAis<'a> {
    machine: &'a dyn Boltzmann,
    path: AnnealingPath,
    options: AisOptions,
    work: Work,
    rng: Rng,
    found: AisEstimates,
    samples: Option<Tensor>,
}

impl<'a> BidirectionalAis<'a> {
    /// Before the first step. `path` should begin near the data: [`AnnealingPath::from_cases`].
    ///
    /// # Errors
    ///
    /// As [`Annealing::forward`], and for tempering with fewer than 2 chains or samples.
    pub fn new(
        machine: &'a dyn Boltzmann,
        path: AnnealingPath,
        options: AisOptions,
    ) -> Result<Self> {
        if options.both && (options.tempering.chains < 2 || options.tempering.samples < 2) {
            let found = format!("{} and {}", options.tempering.chains, options.tempering.samples);
            return Err(Error::invalid("tempering", "at least 2 chains and 2 samples", found));
        }
        let mut rng = Rng::new(options.seed).split(0x0414_9535);
        let forward = Annealing::forward(
            machine,
            path.clone(),
            betas_along(&path, options.betas),
            options.chains,
            &mut rng,
        )?;
        let work = Work::Forward(Box::new(forward));
        Ok(Self {
            machine,
            path,
            options,
            work,
            rng,
            found: AisEstimates::default(),
            samples: None,
        })
    }

    /// What is being done.
    pub fn stage(&self) -> AisStage {
        match &self.work {
            Work::Forward(_) => AisStage::Forward,
            Work::Tempering(_) => AisStage::Tempering,
            Work::Reverse(_) => AisStage::Reverse,
            Work::Done => AisStage::Done,
        }
    }

    /// How much of the stage is done, from 0 to 1.
    pub fn share_done(&self) -> f64 {
        match &self.work {
            Work::Forward(annealing) | Work::Reverse(annealing) => {
                let (done, all) = annealing.progress();
                done as f64 / all.max(1) as f64
            }
            Work::Tempering(equilibrium) => equilibrium.share_done(),
            Work::Done => 1.0,
        }
    }

    /// Whether everything asked for has been found.
    pub fn is_done(&self) -> bool {
        matches!(self.work, Work::Done)
    }

    /// What has been found so far.
    pub fn found(&self) -> &AisEstimates {
        &self.found
    }

    /// The equilibrium samples that the tempering has found, `(samples, visible)`.
    pub fn samples(&self) -> Option<&Tensor> {
        self.samples.as_ref()
    }

    /// One step of the stage, and the way into the next where it was the last.
    ///
    /// # Errors
    ///
    /// When a step of a sampler fails.
    pub fn step(&mut self) -> Result<()> {
        let Self { machine, path, options, rng, found, samples, .. } = self;
        let machine = *machine;
        let next = match &mut self.work {
            Work::Forward(annealing) => {
                annealing.step(machine, rng)?;
                if !annealing.is_done() {
                    return Ok(());
                }
                found.forward = Some(finite(annealing.log_partition(machine)?)?);
                if options.both {
                    let equilibrium =
                        Equilibrium::new(machine, path.clone(), options.tempering, rng)?;
                    Work::Tempering(Box::new(equilibrium))
                } else {
                    Work::Done
                }
            }
            Work::Tempering(equilibrium) => {
                equilibrium.step(machine, rng)?;
                if !equilibrium.is_done() {
                    return Ok(());
                }
                found.bridge = Some(finite(equilibrium.log_partition(machine)?)?);
                found.acceptance = equilibrium.acceptance();
                let progress = equilibrium.progress();
                found.ladder.clone_from(&progress.betas);
                (found.arrivals, found.sweeps) = (progress.swaps.arrivals, progress.swaps.sweeps);
                let drawn = samples.insert(equilibrium.samples()?).clone();
                let betas = betas_along(path, options.betas);
                let annealing = Annealing::reverse(machine, path.clone(), betas, drawn)?;
                let annealing = annealing.of_chains(options.tempering.chains);
                Work::Reverse(Box::new(annealing))
            }
            Work::Reverse(annealing) => {
                annealing.step(machine, rng)?;
                if !annealing.is_done() {
                    return Ok(());
                }
                found.reverse = Some(finite(annealing.log_partition(machine)?)?);
                Work::Done
            }
            Work::Done => return Ok(()),
        };
        self.work = next;
        Ok(())
    }

    /// Everything that is needed to go on: tensors by name, and the rest.
    ///
    /// # Errors
    ///
    /// When a tensor cannot be copied to the CPU.
    pub fn checkpoint(&self) -> Result<(State, AisRecord)> {
        let (state, progress) = match &self.work {
            Work::Forward(annealing) | Work::Reverse(annealing) => (annealing.state(), None),
            Work::Tempering(equilibrium) => {
                let (state, progress) = equilibrium.checkpoint()?;
                (state, Some(progress))
            }
            Work::Done => (State::new(), None),
        };
        let record = AisRecord {
            options: self.options,
            rng: self.rng,
            found: self.found.clone(),
            stage: self.stage(),
            progress,
        };
        let tensors = with_prefix("stage", state)
            .chain(with_prefix("path", self.path.state()))
            .chain(with_prefix("rbm", parameters(self.machine)))
            .chain(self.samples.iter().map(|samples| ("samples".to_owned(), samples.clone())))
            .collect();
        Ok((tensors, record))
    }

    /// Goes on from what [`BidirectionalAis::checkpoint`] gave. `None` where it belongs to another machine, path or options.
    ///
    /// # Errors
    ///
    /// When a tensor is missing, or is not of the shape that the options ask for.
    pub fn resume(
        machine: &'a dyn Boltzmann,
        path: AnnealingPath,
        options: AisOptions,
        tensors: &State,
        record: &AisRecord,
    ) -> Result<Option<Self>> {
        let is_same = record.options == options
            && equal(&without_prefix("path", tensors), &path.state())?
            && equal(&without_prefix("rbm", tensors), &parameters(machine))?;
        if !is_same {
            return Ok(None);
        }
        let mut sides = Self::new(machine, path.clone(), options)?;
        let state = without_prefix("stage", tensors);
        let state: State = state
            .into_iter()
            .map(|(name, x)| {
                let stays = x.dtype() != machine.dtype();
                Ok((name, if stays { x } else { x.to_device(machine.device())? }))
            })
            .collect::<Result<_>>()?;
        sides.work = match (record.stage, &record.progress) {
            (AisStage::Tempering, Some(progress)) => {
                let progress = progress.clone();
                Work::Tempering(Box::new(Equilibrium::resume(
                    path,
                    options.tempering,
                    &state,
                    progress,
                )?))
            }
            (AisStage::Reverse, _) => {
                let samples = crate::state::get(&state, "visible")?;
                let betas = betas_along(&path, options.betas);
                let annealing = Annealing::reverse(machine, path, betas, samples)?;
                let mut annealing = annealing.of_chains(options.tempering.chains);
                annealing.restore(&state)?;
                Work::Reverse(Box::new(annealing))
            }
            (AisStage::Forward, _) => {
                let Work::Forward(mut annealing) = sides.work else { return Ok(None) };
                annealing.restore(&state)?;
                Work::Forward(annealing)
            }
            (AisStage::Tempering, None) => {
                let expected = "how far the tempering had come";
                return Err(Error::invalid("an estimation that goes on", expected, "none"));
            }
            (AisStage::Done, _) => Work::Done,
        };
        (sides.rng, sides.found) = (record.rng, record.found.clone());
        sides.samples = match tensors.get("samples") {
            Some(samples) => Some(samples.to_device(machine.device())?),
            None => None,
        };
        Ok(Some(sides))
    }
}

/// `found`, which must be a number to be quoted or kept.
fn finite(found: Estimate) -> Result<Estimate> {
    match found.value.is_finite() {
        true => Ok(found),
        false => {
            let expected = "energies that its type of numbers holds (learn from data of a smaller scale, or estimate it in f64)";
            Err(Error::invalid("an estimate of log Z", expected, found.value.to_string()))
        }
    }
}

fn parameters(machine: &dyn Boltzmann) -> State {
    machine.parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

/// Whether both hold the same names, and under each the same shape and numbers.
fn equal(left: &State, right: &State) -> Result<bool> {
    if !left.keys().eq(right.keys()) {
        return Ok(false);
    }
    for (left, right) in left.values().zip(right.values()) {
        let left = left.to_device(right.device())?;
        if left.dims() != right.dims() || left.dtype() != right.dtype() {
            return Ok(false);
        }
        let differs = left.ne(right)?.to_dtype(candle_core::DType::F32)?.sum_all()?;
        if differs.to_scalar::<f32>()? != 0.0 {
            return Ok(false);
        }
    }
    Ok(true)
}
