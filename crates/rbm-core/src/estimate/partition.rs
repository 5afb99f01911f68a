//! log Z from both sides, step by step: forwards, in equilibrium, backwards.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Annealing, Equilibrium, Estimate, TemperingConfig, TemperingProgress, betas};
use crate::sampling::AnnealingPath;
use crate::state::{State, with_prefix, without_prefix};
use crate::{Error, Rbm, Result, Rng, Stateful};

/// How much to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Chains of annealed importance sampling, in each direction; at least 2.
    pub chains: usize,
    /// Inverse temperatures of each; at least 2.
    pub betas: usize,
    /// Whether to come from the other side too; without it there is no way to tell how wrong the answer is.
    pub both: bool,
    /// Of the tempering that equilibrium samples come from.
    pub effort: TemperingConfig,
    /// Where all randomness comes from.
    pub seed: u64,
}

impl Default for Options {
    /// 100 chains, 14,500 inverse temperatures (Salakhutdinov and Murray 2008), from both sides.
    fn default() -> Self {
        Self { chains: 100, betas: 14_500, both: true, effort: TemperingConfig::default(), seed: 0 }
    }
}

/// What is being done.
#[derive(Debug, Clone)]
enum Stage {
    Forward(Box<Annealing>),
    Equilibrium(Box<Equilibrium>),
    Reverse(Box<Annealing>),
    Done,
}

/// Everything of a checkpoint that is not a tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    options: Options,
    rng: Rng,
    found: Found,
    stage: String,
    standing: Option<TemperingProgress>,
}

/// What has been found so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
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

/// The estimation of a machine's log Z from both sides, for machines that are too large to be enumerated.
///
/// ```
/// use candle_core::{DType, Device};
/// use rbm_core::model::init::Init;
/// use rbm_core::sampling::AnnealingPath;
/// use rbm_core::estimate::{TemperingConfig, Options, BidirectionalAis, log_partition};
/// use rbm_core::{Rbm, Rng, Units};
///
/// let rbm = Rbm::new(&Units::bernoulli(8), &Units::bernoulli(6), DType::F32, &Device::Cpu)?;
/// Init { weight_deviation: 0.5, hidden_bias: 0.0 }.draw_weights(&rbm, &mut Rng::new(1))?;
/// let effort = TemperingConfig { chains: 10, samples: 50, ..TemperingConfig::default() };
/// let options = Options { chains: 50, betas: 100, both: true, effort, seed: 0 };
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
    rbm: &'a Rbm,
    path: AnnealingPath,
    options: Options,
    stage: Stage,
    rng: Rng,
    found: Found,
    samples: Option<Tensor>,
}

impl<'a> BidirectionalAis<'a> {
    /// Before the first step. `path` should begin near the data: [`AnnealingPath::from_cases`].
    ///
    /// # Errors
    ///
    /// As [`Annealing::forward`], and for tempering with fewer than 2 chains or samples.
    pub fn new(rbm: &'a Rbm, path: AnnealingPath, options: Options) -> Result<Self> {
        if options.both && (options.effort.chains < 2 || options.effort.samples < 2) {
            let found = format!("{} and {}", options.effort.chains, options.effort.samples);
            return Err(Error::invalid("tempering", "at least 2 chains and 2 samples", found));
        }
        let mut rng = Rng::new(options.seed).split(0x0414_9535);
        let forward =
            Annealing::forward(rbm, path.clone(), betas(options.betas), options.chains, &mut rng)?;
        let stage = Stage::Forward(Box::new(forward));
        Ok(Self { rbm, path, options, stage, rng, found: Found::default(), samples: None })
    }

    /// What is being done, in a word or two.
    pub fn stage(&self) -> &'static str {
        match &self.stage {
            Stage::Forward(_) => "forward annealing",
            Stage::Equilibrium(_) => "tempering",
            Stage::Reverse(_) => "reverse annealing",
            Stage::Done => "done",
        }
    }

    /// How much of the stage is done, from 0 to 1.
    pub fn share_done(&self) -> f64 {
        match &self.stage {
            Stage::Forward(annealing) | Stage::Reverse(annealing) => {
                let (done, all) = annealing.progress();
                done as f64 / all.max(1) as f64
            }
            Stage::Equilibrium(equilibrium) => equilibrium.share_done(),
            Stage::Done => 1.0,
        }
    }

    /// Whether everything asked for has been found.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// What has been found so far.
    pub fn found(&self) -> &Found {
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
        let Self { rbm, path, options, rng, found, samples, .. } = self;
        let next = match &mut self.stage {
            Stage::Forward(annealing) => {
                annealing.step(rbm, rng)?;
                if !annealing.is_done() {
                    return Ok(());
                }
                found.forward = Some(annealing.log_partition(rbm)?);
                if options.both {
                    let equilibrium = Equilibrium::new(rbm, path.clone(), options.effort, rng)?;
                    Stage::Equilibrium(Box::new(equilibrium))
                } else {
                    Stage::Done
                }
            }
            Stage::Equilibrium(equilibrium) => {
                equilibrium.step(rbm, rng)?;
                if !equilibrium.is_done() {
                    return Ok(());
                }
                found.bridge = Some(equilibrium.log_partition(rbm)?);
                found.acceptance = equilibrium.acceptance();
                let standing = equilibrium.standing();
                found.ladder.clone_from(&standing.betas);
                (found.arrivals, found.sweeps) = (standing.arrivals, standing.sweeps);
                let drawn = samples.insert(equilibrium.samples()?).clone();
                let annealing = Annealing::reverse(rbm, path.clone(), betas(options.betas), drawn)?;
                let annealing = annealing.of_chains(options.effort.chains);
                Stage::Reverse(Box::new(annealing))
            }
            Stage::Reverse(annealing) => {
                annealing.step(rbm, rng)?;
                if !annealing.is_done() {
                    return Ok(());
                }
                found.reverse = Some(annealing.log_partition(rbm)?);
                Stage::Done
            }
            Stage::Done => return Ok(()),
        };
        self.stage = next;
        Ok(())
    }

    /// Everything that is needed to go on: tensors by name, and the rest.
    ///
    /// # Errors
    ///
    /// When a tensor cannot be copied to the CPU.
    pub fn checkpoint(&self) -> Result<(State, Record)> {
        let (state, standing) = match &self.stage {
            Stage::Forward(annealing) | Stage::Reverse(annealing) => (annealing.state(), None),
            Stage::Equilibrium(equilibrium) => {
                let (state, standing) = equilibrium.checkpoint()?;
                (state, Some(standing))
            }
            Stage::Done => (State::new(), None),
        };
        let record = Record {
            options: self.options,
            rng: self.rng,
            found: self.found.clone(),
            stage: self.stage().to_owned(),
            standing,
        };
        let fields = [("visible", &self.path.visible_field), ("hidden", &self.path.hidden_field)];
        let tensors = with_prefix("stage", state)
            .chain(fields.map(|(name, field)| (format!("path.{name}"), field.clone())))
            .chain(with_prefix("rbm", parameters(self.rbm)))
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
        rbm: &'a Rbm,
        path: AnnealingPath,
        options: Options,
        tensors: &State,
        record: &Record,
    ) -> Result<Option<Self>> {
        let saved = without_prefix("path", tensors);
        let fields = [("visible", &path.visible_field), ("hidden", &path.hidden_field)]
            .map(|(name, field)| (name.to_owned(), field.clone()));
        let is_same = record.options == options
            && equal(&saved, &State::from(fields))?
            && equal(&without_prefix("rbm", tensors), &parameters(rbm))?;
        if !is_same {
            return Ok(None);
        }
        let mut sides = Self::new(rbm, path.clone(), options)?;
        let state = without_prefix("stage", tensors);
        let state: State = state
            .into_iter()
            .map(|(name, x)| {
                let stays = x.dtype() != rbm.dtype();
                Ok((name, if stays { x } else { x.to_device(rbm.device())? }))
            })
            .collect::<Result<_>>()?;
        sides.stage = match (record.stage.as_str(), &record.standing) {
            ("tempering", Some(standing)) => {
                let standing = standing.clone();
                Stage::Equilibrium(Box::new(Equilibrium::resume(
                    path,
                    options.effort,
                    &state,
                    standing,
                )?))
            }
            ("reverse annealing", _) => {
                let samples = crate::state::take(&state, "visible")?;
                let betas = betas(options.betas);
                let annealing = Annealing::reverse(rbm, path, betas, samples)?;
                let mut annealing = annealing.of_chains(options.effort.chains);
                annealing.restore(&state)?;
                Stage::Reverse(Box::new(annealing))
            }
            ("forward annealing", _) => {
                let Stage::Forward(mut annealing) = sides.stage else { return Ok(None) };
                annealing.restore(&state)?;
                Stage::Forward(annealing)
            }
            _ => Stage::Done,
        };
        (sides.rng, sides.found) = (record.rng, record.found.clone());
        sides.samples = match tensors.get("samples") {
            Some(samples) => Some(samples.to_device(rbm.device())?),
            None => None,
        };
        Ok(Some(sides))
    }
}

fn parameters(rbm: &Rbm) -> State {
    rbm.parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
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
