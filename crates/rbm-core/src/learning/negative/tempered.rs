//! Parallel tempering in training: chains that can leave the mode they are in.

use candle_core::Tensor;

use super::{NegativePhase, TRACES};
use crate::model::Boltzmann;
use crate::sampling::mixing::Traces;
use crate::sampling::{
    AnnealingPath, Chains, Kernel, Replicas, SwapTotals, TARGET_ACCEPTANCE, Tempering,
};
use crate::state::{
    State, counts, get, get_counts, get_numbers, numbers, with_prefix, without_prefix,
};
use crate::units::BaseUnits;
use crate::units::base_units::has_numbers;
use crate::{Layer, Mixing, Phase, Result, Rng, Stateful};

/// Levels of the first ladder, and the most that are taken unasked.
const FIRST_LEVELS: usize = 6;
const MAX_LEVELS: usize = 64;
/// After how many sweeps the ladder is spaced anew.
const ROUND: usize = 100;
/// How much of each mini-batch goes into the averages that β = 0 stands at.
const AVERAGES_RATE: f64 = 0.01;
/// A ladder of n levels that nothing has climbed for so many times n² sweeps, the time that diffusion takes, is broken.
const MAX_SILENCE: usize = 4;
/// What is saved of the replicas.
const REPLICAS: &str = "replicas";

/// Learning by parallel tempering (Desjardins et al. 2010; Cho, Raiko, Ilin 2010): every chain has a replica at each level of
/// a ladder of inverse temperatures that persists between updates, and the fantasies are those at β = 1.
///
/// β = 0 is the machine of independent units with the data's means, and variances of real-valued ones, which follow the mini-batches. Training has left
/// equilibrium when replicas no longer come up from there, or when the traces at β = 1 say so ([`Traces`]).
#[derive(Debug, Clone)]
pub struct TemperedPersistent {
    /// Sweeps between updates, at least 1.
    pub steps: usize,
    /// How many chains to run; as many as the first mini-batch has cases unless that is said.
    pub chains: Option<usize>,
    /// How many levels the ladder has; unless that is said, as many as make four swaps in ten accepted, found anew as learning goes on.
    pub levels: Option<usize>,
    climbing: Option<Climbing>,
    traces: Traces,
}

/// Replicas on their ladder.
#[derive(Debug, Clone)]
struct Climbing {
    tempering: Tempering,
    replicas: Replicas,
    /// What β = 0 stands at: of the visible units, and of the hidden ones.
    moments: [LayerMoments; 2],
    /// Swaps over each gap, summed over the sweeps of this round; and of those since the last report.
    round: SwapTotals,
    report: SwapTotals,
    /// Sweeps since a replica came up.
    silent: usize,
}

impl TemperedPersistent {
    /// `steps` sweeps of `chains` chains between updates, with `levels` levels.
    pub fn new(
        steps: usize,
        chains: impl Into<Option<usize>>,
        levels: impl Into<Option<usize>>,
    ) -> Self {
        let (chains, levels) = (chains.into(), levels.into());
        Self { steps, chains, levels, climbing: None, traces: Traces::default() }
    }

    /// The ladder, once there is one.
    pub fn ladder(&self) -> Option<&[f64]> {
        self.climbing.as_ref().map(|climbing| &climbing.tempering.betas[..])
    }

    fn start(&self, machine: &dyn Boltzmann, positive: &Phase, rng: &mut Rng) -> Result<Climbing> {
        let chains = self.chains.map_or_else(|| positive.cases(), Ok)?;
        let levels = self.levels.unwrap_or(FIRST_LEVELS);
        let moments = LayerMoments::of_phase(machine, positive)?;
        let path = path_from(machine, &moments)?;
        let tempering = Tempering::even(path, levels)?;
        let replicas = tempering.climb(machine, chains, 1, rng)?;
        let (round, report) = (SwapTotals::default(), SwapTotals::default());
        Ok(Climbing { tempering, replicas, moments, round, report, silent: 0 })
    }
}

/// Averages of the units of a layer, `(width,)`; of hidden units, of their means.
#[derive(Debug, Clone)]
struct LayerMoments {
    mean: Tensor,
    /// Of the squares, where there are units that are any number.
    square: Option<Tensor>,
}

impl LayerMoments {
    /// Those of a phase's visible units and of the hidden units that they cause.
    fn of_phase(machine: &dyn Boltzmann, phase: &Phase) -> Result<[Self; 2]> {
        let of = |layer: &dyn Layer, x: &Tensor| -> Result<Self> {
            let square = match has_numbers(layer)? {
                true => Some(phase.average(&x.sqr()?)?),
                false => None,
            };
            Ok(Self { mean: phase.average(x)?, square })
        };
        let hidden = machine.last().mean(&phase.hidden_inputs)?.detach();
        Ok([of(machine.rest(), &phase.visible)?, of(machine.last(), &hidden)?])
    }

    fn follow(&mut self, new: Self) -> Result<()> {
        // Of a training that began before there were any.
        if self.square.is_none() {
            self.square.clone_from(&new.square);
        }
        let squares = self.square.iter_mut().zip(&new.square);
        for (average, new) in std::iter::once((&mut self.mean, &new.mean)).chain(squares) {
            *average = ((&*average * (1.0 - AVERAGES_RATE))? + (new * AVERAGES_RATE)?)?;
        }
        Ok(())
    }

    fn variance(&self) -> Result<Option<Tensor>> {
        match &self.square {
            Some(square) => Ok(Some((square - self.mean.sqr()?)?.maximum(0.0)?)),
            None => Ok(None),
        }
    }
}

/// The path from units with these moments.
fn path_from(machine: &dyn Boltzmann, [rest, last]: &[LayerMoments; 2]) -> Result<AnnealingPath> {
    let (of_rest, of_last) = (rest.variance()?, last.variance()?);
    AnnealingPath::from_moments(
        machine,
        (&rest.mean, of_rest.as_ref()),
        (&last.mean, of_last.as_ref()),
    )
}

impl Climbing {
    /// Lets β = 0 follow the data and the machine.
    fn follow(&mut self, machine: &dyn Boltzmann, positive: &Phase) -> Result<()> {
        for (moments, new) in
            self.moments.iter_mut().zip(LayerMoments::of_phase(machine, positive)?)
        {
            moments.follow(new)?;
        }
        self.tempering.path = path_from(machine, &self.moments)?;
        Ok(())
    }

    fn sweep(&mut self, machine: &dyn Boltzmann, rng: &mut Rng) -> Result<()> {
        let swaps = self.tempering.step(machine, &mut self.replicas, rng)?;
        self.silent = if swaps.arrivals > 0 { 0 } else { self.silent + 1 };
        self.round.count(&swaps);
        self.report.count(&swaps);
        Ok(())
    }

    /// Spaces the ladder anew. Where the number of levels stays, so do the replicas.
    fn respace(&mut self, machine: &dyn Boltzmann, is_free: bool, rng: &mut Rng) -> Result<()> {
        let acceptance = std::mem::take(&mut self.round).acceptance();
        let levels = self.tempering.betas.len();
        let free = self
            .tempering
            .respaced(&acceptance, None, TARGET_ACCEPTANCE)
            .betas
            .len()
            .min(MAX_LEVELS);
        // One level too many is not worth the marks of where replicas have been.
        let is_off = free > levels || free + 1 < levels;
        let wanted = if is_free && is_off { free } else { levels };
        let spaced = self.tempering.respaced(&acceptance, Some(wanted), TARGET_ACCEPTANCE);
        if wanted != levels {
            self.replicas = spaced.move_over(machine, &self.tempering, &self.replicas, rng)?;
            (self.report, self.silent) = (SwapTotals::default(), 0);
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

impl NegativePhase for TemperedPersistent {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        let climbing = match self.climbing.take() {
            Some(climbing) => climbing,
            None => self.start(machine, positive, rng)?,
        };
        let climbing = self.climbing.insert(climbing);
        climbing.follow(machine, positive)?;
        for _ in 0..self.steps.max(1) {
            climbing.sweep(machine, rng)?;
        }
        let [visible, hidden_inputs] = climbing.top()?;
        self.traces.follow(machine, &visible, &hidden_inputs)?;
        if climbing.round.sweeps >= ROUND {
            climbing.respace(machine, self.levels.is_none(), rng)?;
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
                || climbing.silent > MAX_SILENCE * levels * levels,
            swap_acceptance: (report.sweeps > 0).then(|| report.acceptance()),
            round_trips: Some(report.arrivals),
            ..mixing
        }))
    }
}

impl Stateful for TemperedPersistent {
    fn state(&self) -> State {
        let traces = with_prefix(TRACES, self.traces.state());
        let Some(climbing) = &self.climbing else { return traces.collect() };
        let Climbing { tempering, replicas, moments: [visible, hidden], round, report, silent } =
            climbing;
        let averages = [
            ("visible_mean", Some(&visible.mean)),
            ("hidden_mean", Some(&hidden.mean)),
            ("visible_square", visible.square.as_ref()),
            ("hidden_square", hidden.square.as_ref()),
        ];
        let averages = averages.into_iter().filter_map(|(name, x)| Some((name.into(), x?.clone())));
        let sums = [round.sweeps, round.arrivals, report.sweeps, report.arrivals];
        traces
            .chain(with_prefix(REPLICAS, replicas.state()))
            .chain(averages)
            .chain(numbers("betas", &tempering.betas))
            .chain(numbers("round", &round.acceptance))
            .chain(numbers("report", &report.acceptance))
            .chain(counts("sums", &sums))
            .chain(counts("silent", &[*silent]))
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.traces.restore(&without_prefix(TRACES, state))?;
        self.climbing = None;
        let betas: Vec<f64> = get_numbers(state, "betas")?;
        if betas.is_empty() {
            return Ok(());
        }
        let replicas = Replicas::restored(&without_prefix(REPLICAS, state))?;
        let moments = [("visible_mean", "visible_square"), ("hidden_mean", "hidden_square")];
        let moments = moments.map(|(mean, square)| -> Result<_> {
            Ok(LayerMoments { mean: get(state, mean)?, square: state.get(square).cloned() })
        });
        let [visible, hidden] = moments;
        let moments = [visible?, hidden?];
        // Only until the machine is there to space it again.
        let [rest, last] =
            [&moments[0], &moments[1]].map(|moments| BaseUnits::of_field(moments.mean.clone()));
        let path = AnnealingPath { rest, last };
        let [round, round_arrivals, report, report_arrivals] = get_counts(state, "sums")?;
        let sums = |name, sweeps, arrivals| -> Result<_> {
            Ok(SwapTotals { acceptance: get_numbers(state, name)?, sweeps, arrivals })
        };
        let [silent] = get_counts(state, "silent")?;
        self.climbing = Some(Climbing {
            tempering: Tempering { path, betas },
            replicas,
            moments,
            round: sums("round", round, round_arrivals)?,
            report: sums("report", report, report_arrivals)?,
            silent,
        });
        Ok(())
    }
}
