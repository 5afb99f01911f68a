//! Parallel tempering in training: chains that can leave the mode they are in.

use candle_core::{Device, Tensor};

use super::{NegativePhase, TRACES};
use crate::kernel::{Chains, End, Kernel, Path, Replicas, Swaps, Tempering};
use crate::mixing::Traces;
use crate::state::{State, below, prefixed, take};
use crate::{Error, Mixing, Phase, Rbm, Result, Rng, Stateful};

/// Levels of the first ladder, and the most that are taken unasked.
const FIRST: usize = 6;
const MOST: usize = 64;
/// After how many sweeps the ladder is spaced anew.
const ROUND: usize = 100;
/// The acceptance that it is spaced for.
const TARGET: f64 = 0.4;
/// How much of each mini-batch goes into the means that β = 0 stands at.
const MEANS_RATE: f64 = 0.01;
/// A ladder of n levels that nothing has climbed for so many times n² sweeps, the time that diffusion takes, is broken.
const SILENCE: usize = 4;

/// Learning by parallel tempering (Desjardins et al. 2010; Cho, Raiko, Ilin 2010): every chain has a replica at each level of
/// a ladder of inverse temperatures that persists between updates, and the fantasies are those at β = 1.
///
/// β = 0 is the machine of independent units with the data's means, which follow the mini-batches. Training has left
/// equilibrium when replicas no longer come up from there, or when the traces at β = 1 say so ([`Traces`]).
#[derive(Debug, Clone)]
pub struct Tempered {
    /// Sweeps between updates, at least 1.
    pub steps: usize,
    /// How many chains to run; 0 means as many as the first mini-batch has cases.
    pub chains: usize,
    /// How many levels the ladder has; 0 means as many as make four swaps in ten accepted, found anew as learning goes on.
    pub levels: usize,
    climbing: Option<Climbing>,
    traces: Traces,
}

/// Replicas on their ladder.
#[derive(Debug, Clone)]
struct Climbing {
    tempering: Tempering,
    replicas: Replicas,
    /// The means at β = 0, `(visible,)` and `(hidden,)`.
    means: [Tensor; 2],
    /// Acceptance over each gap, summed over the sweeps of this round; and of those since the last report.
    round: Acceptance,
    report: Acceptance,
    /// Sweeps since a replica came up.
    silent: usize,
}

/// Sums over sweeps. Numbers of `f32`, which every device can hold in a state.
#[derive(Debug, Clone, Default)]
struct Acceptance {
    gaps: Vec<f32>,
    sweeps: usize,
    arrivals: usize,
}

impl Acceptance {
    fn count(&mut self, swaps: &Swaps) {
        self.gaps.resize(swaps.acceptance.len(), 0.0);
        self.gaps.iter_mut().zip(&swaps.acceptance).for_each(|(sum, a)| *sum += *a as f32);
        self.sweeps += 1;
        self.arrivals += swaps.arrivals;
    }

    fn means(&self) -> Vec<f64> {
        self.gaps.iter().map(|sum| f64::from(*sum) / self.sweeps.max(1) as f64).collect()
    }
}

impl Tempered {
    /// `steps` sweeps of `chains` chains between updates, with `levels` levels.
    pub fn new(steps: usize, chains: usize, levels: usize) -> Self {
        Self { steps, chains, levels, climbing: None, traces: Traces::default() }
    }

    /// The ladder, once there is one.
    pub fn ladder(&self) -> Option<&[f64]> {
        self.climbing.as_ref().map(|climbing| &climbing.tempering.betas[..])
    }

    fn start(&self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Climbing> {
        let chains = if self.chains == 0 { positive.cases()? } else { self.chains };
        let levels = if self.levels == 0 { FIRST } else { self.levels };
        let means = means_of(rbm, positive)?;
        let path = Path::from_means(rbm, &means[0], &means[1])?;
        let tempering = representable(Tempering::even(path, levels)?);
        let replicas = tempering.climb(rbm, chains, 1, rng)?;
        let (round, report) = (Acceptance::default(), Acceptance::default());
        Ok(Climbing { tempering, replicas, means, round, report, silent: 0 })
    }
}

/// The means of a phase's visible units and of the hidden units that they cause.
fn means_of(rbm: &Rbm, phase: &Phase) -> Result<[Tensor; 2]> {
    let hidden = rbm.hidden().mean(&phase.hidden_inputs)?.detach();
    Ok([phase.average(&phase.visible)?, phase.average(&hidden)?])
}

/// The same ladder in numbers of `f32`, which a state keeps to the bit.
fn representable(mut tempering: Tempering) -> Tempering {
    tempering.betas.iter_mut().for_each(|beta| *beta = f64::from(*beta as f32));
    tempering
}

impl Climbing {
    /// Lets β = 0 follow the data and the machine.
    fn follow(&mut self, rbm: &Rbm, positive: &Phase) -> Result<()> {
        for (mean, new) in self.means.iter_mut().zip(means_of(rbm, positive)?) {
            *mean = ((&*mean * (1.0 - MEANS_RATE))? + (new * MEANS_RATE)?)?;
        }
        self.tempering.path = Path::from_means(rbm, &self.means[0], &self.means[1])?;
        Ok(())
    }

    fn sweep(&mut self, rbm: &Rbm, rng: &mut Rng) -> Result<()> {
        let swaps = self.tempering.step(rbm, &mut self.replicas, rng)?;
        self.silent = if swaps.arrivals > 0 { 0 } else { self.silent + 1 };
        self.round.count(&swaps);
        self.report.count(&swaps);
        Ok(())
    }

    /// Spaces the ladder anew. Where the number of levels stays, so do the replicas.
    fn respace(&mut self, rbm: &Rbm, is_free: bool, rng: &mut Rng) -> Result<()> {
        let acceptance = std::mem::take(&mut self.round).means();
        let levels = self.tempering.betas.len();
        let free = self.tempering.respaced(&acceptance, None, TARGET).betas.len().min(MOST);
        // One level too many is not worth the marks of where replicas have been.
        let is_off = free > levels || free + 1 < levels;
        let wanted = if is_free && is_off { free } else { levels };
        let spaced = representable(self.tempering.respaced(&acceptance, Some(wanted), TARGET));
        if wanted != levels {
            self.replicas = spaced.move_over(rbm, &self.tempering, &self.replicas, rng)?;
            (self.report, self.silent) = (Acceptance::default(), 0);
        }
        self.tempering = spaced;
        Ok(())
    }

    fn top(&self) -> Result<[Tensor; 2]> {
        let rows = self.replicas.ends.len();
        let chains = rows / self.tempering.betas.len();
        let top = |rows_of: &Tensor| rows_of.narrow(0, rows - chains, chains)?.contiguous();
        let Chains { visible, hidden_inputs, .. } = &self.replicas.rows;
        Ok([top(visible)?, top(hidden_inputs)?])
    }
}

impl NegativePhase for Tempered {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        let climbing = match self.climbing.take() {
            Some(climbing) => climbing,
            None => self.start(rbm, positive, rng)?,
        };
        let climbing = self.climbing.insert(climbing);
        climbing.follow(rbm, positive)?;
        for _ in 0..self.steps.max(1) {
            climbing.sweep(rbm, rng)?;
        }
        let [visible, hidden_inputs] = climbing.top()?;
        self.traces.follow(rbm, &visible, &hidden_inputs)?;
        if climbing.round.sweeps >= ROUND {
            climbing.respace(rbm, self.levels == 0, rng)?;
        }
        Ok(Phase { visible, hidden_inputs, log_weights: None })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        let Some(climbing) = &mut self.climbing else { return Ok(None) };
        let report = std::mem::take(&mut climbing.report);
        let levels = climbing.tempering.betas.len();
        let mixing = self.traces.report()?.unwrap_or_default();
        Ok(Some(Mixing {
            left_equilibrium: mixing.left_equilibrium
                || climbing.silent > SILENCE * levels * levels,
            swap_acceptance: (report.sweeps > 0).then(|| report.means()),
            round_trips: Some(report.arrivals),
            ..mixing
        }))
    }
}

impl Stateful for Tempered {
    fn state(&self) -> State {
        let mut state: State = prefixed(TRACES, self.traces.state()).collect();
        let Some(climbing) = &self.climbing else { return state };
        let Climbing { tempering, replicas, means: [visible, hidden], .. } = climbing;
        for (name, tensor) in [
            ("visible", &replicas.rows.visible),
            ("hidden_inputs", &replicas.rows.hidden_inputs),
            ("hidden", &replicas.rows.hidden),
            ("visible_mean", visible),
            ("hidden_mean", hidden),
        ] {
            state.insert(name.to_owned(), tensor.clone());
        }
        let mut numbers = |name: &str, numbers: Vec<f32>| {
            // A tensor without numbers is not there.
            let tensor = Tensor::new(&numbers[..], &Device::Cpu).ok();
            let tensor = tensor.filter(|tensor| tensor.elem_count() > 0);
            state.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        };
        numbers("betas", tempering.betas.iter().map(|beta| *beta as f32).collect());
        let mark = |end: &End| match end {
            End::Neither => 0.0,
            End::Bottom => 1.0,
            End::Top => 2.0,
        };
        numbers("ends", replicas.ends.iter().map(mark).collect());
        numbers("round", climbing.round.gaps.clone());
        numbers("report", climbing.report.gaps.clone());
        let counts = [
            // Only whether it is even matters.
            replicas.steps % 2,
            climbing.silent,
            climbing.round.sweeps,
            climbing.round.arrivals,
            climbing.report.sweeps,
            climbing.report.arrivals,
        ];
        numbers("counts", counts.map(|count| count as f32).to_vec());
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.traces.restore(&below(TRACES, state))?;
        self.climbing = None;
        if !state.contains_key("betas") {
            return Ok(());
        }
        let numbers = |name: &str| -> Result<Vec<f32>> { Ok(take(state, name)?.to_vec1()?) };
        let some = |name: &str| state.get(name).map_or(Ok(Vec::new()), |_| numbers(name));
        let counts: Vec<usize> = numbers("counts")?.into_iter().map(|n| n as usize).collect();
        let [steps, silent, round_sweeps, round_arrivals, sweeps, arrivals] = counts[..] else {
            let found = format!("{} numbers", counts.len());
            return Err(Error::invalid("state \"counts\"", "6 numbers", found));
        };
        let rows = Chains {
            visible: take(state, "visible")?,
            hidden_inputs: take(state, "hidden_inputs")?,
            hidden: take(state, "hidden")?,
        };
        let end = |mark: f32| match mark {
            1.0 => End::Bottom,
            2.0 => End::Top,
            _ => End::Neither,
        };
        let means = [take(state, "visible_mean")?, take(state, "hidden_mean")?];
        // Only until the machine is there to space it again.
        let path = Path { visible_field: means[0].clone(), hidden_field: means[1].clone() };
        let betas = numbers("betas")?.into_iter().map(f64::from).collect();
        self.climbing = Some(Climbing {
            tempering: Tempering { path, betas },
            replicas: Replicas {
                rows,
                ends: numbers("ends")?.into_iter().map(end).collect(),
                steps,
            },
            means,
            round: Acceptance {
                gaps: some("round")?,
                sweeps: round_sweeps,
                arrivals: round_arrivals,
            },
            report: Acceptance { gaps: some("report")?, sweeps, arrivals },
            silent,
        });
        Ok(())
    }
}
