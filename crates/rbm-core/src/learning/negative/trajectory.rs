//! Parallel trajectory tempering in training: what learning has passed through keeps its chains in equilibrium.
//!
//! The chains of a training on their ladder of frozen machines.

use candle_core::Tensor;

use super::{CHAINS, NegativePhase, RESTS, StepOutcome, TRACES};
use crate::model::Boltzmann;
use crate::sampling::mixing::Traces;
use crate::sampling::trajectory::{Exchange, Level, ScoredSamples, Trajectory, exchange, overlap};
use crate::state::{
    State, counts, get, get_counts, get_numbers, numbers, with_prefix, without_prefix,
};
use crate::{Error, Gibbs, Gradient, Mixing, Phase, Result, Rng, Stateful};

/// Learning with the trajectory's own ladder (Béreux, Decelle, Furtlehner, Seoane 2026).
///
/// Chains follow the machine and exchange configurations with samples of a frozen copy of it, these with samples of the copy
/// before, and so on down to independent units. The overlap of the machine with the newest copy is the lesser of two: what
/// the copy's samples say, which chains that lag behind would flatter, and what exchanges come to, as the copy's samples may
/// know nothing of where the machine has gone. Where it has fallen below [`ParallelTrajectory::freeze_below`], the machine as it
/// was before the update is frozen; an update that goes too far, below [`ParallelTrajectory::reject_below`] or past the first
/// threshold at once, is undone and the rate halved; it doubles with each new copy. A copy whose own samples turn out to be out
/// of reach is given up, and learning goes back to the one before. One gap between frozen copies is visited in each step, so that a step costs the same however long the ladder is.
///
/// Learning must begin near independent units.
#[derive(Debug)]
pub struct ParallelTrajectory {
    /// k, the Gibbs steps of the chains between updates, at least 1.
    pub steps: usize,
    /// How many chains to run; as many as the first mini-batch has cases unless that is said.
    pub chains: Option<usize>,
    /// Samples of the newest copy, in units of chains; the copies below keep one each.
    pub reservoir: usize,
    /// How often the samples of a new copy are all moved before they count.
    pub settle: usize,
    /// The overlap below which a copy is frozen.
    pub freeze_below: f64,
    /// The overlap below which an update is undone.
    pub reject_below: f64,
    ladder: Option<TrajectoryChains>,
    /// A state that has been put back and waits for the machine.
    restored: Option<State>,
    /// The machine before the update.
    previous: Option<Box<dyn Boltzmann>>,
    traces: Traces,
}

/// What becomes of an update, by the overlap after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: go on.
    Accept,
    /// A copy is frozen.
    Freeze,
    /// The update is undone.
    Reject,
}

impl ParallelTrajectory {
    /// `steps` Gibbs steps of `chains` chains between updates, ten samples a chain, copies at 0.3, no update below 0.1.
    pub fn new(steps: usize, chains: impl Into<Option<usize>>) -> Self {
        Self {
            steps,
            chains: chains.into(),
            reservoir: 10,
            settle: 5,
            freeze_below: 0.3,
            reject_below: 0.1,
            ladder: None,
            restored: None,
            previous: None,
            traces: Traces::default(),
        }
    }

    /// What becomes of an update after which the overlap is `overlap`, the last of `since` since the newest copy: one that
    /// leaves a copy's reach at its first step cannot be helped by another copy of the same.
    pub fn decide(&self, overlap: f64, since: usize) -> Decision {
        if overlap >= self.freeze_below {
            Decision::Accept
        } else if overlap >= self.reject_below && since > 1 {
            Decision::Freeze
        } else {
            Decision::Reject
        }
    }

    /// The frozen machines with their samples; none before the first step.
    pub fn trajectory(&self) -> Option<&Trajectory> {
        self.ladder.as_ref().map(|ladder| &ladder.trajectory)
    }

    /// Goes on with this ladder, and with chains whose hidden units are `hidden` `(chains, hidden)`.
    ///
    /// # Errors
    ///
    /// When they are not as many as the ladder says.
    pub fn begin(&mut self, trajectory: Trajectory, hidden: Tensor) -> Result<()> {
        let (expected, found) = (trajectory.chains(), hidden.dim(0)?);
        if found != expected {
            let what = "the chains of a trajectory";
            return Err(Error::invalid(what, expected.to_string(), found.to_string()));
        }
        self.ladder = Some(TrajectoryChains::new(trajectory, hidden));
        Ok(())
    }

    fn start(&mut self, machine: &dyn Boltzmann, positive: &Phase, rng: &mut Rng) -> Result<()> {
        let chains = self.chains.map_or_else(|| positive.cases(), Ok)?;
        let rows = chains * self.reservoir.max(1);
        let trajectory = Trajectory::new(machine, chains, rows, rng)?;
        let overlap = overlap(&trajectory.log_weights(machine)?);
        if overlap < self.freeze_below {
            let expected = "a machine that begins near independent units (smaller first weights)";
            let found = format!("swaps with them are accepted with probability {overlap:.3}");
            return Err(Error::invalid("parallel trajectory tempering", expected, found));
        }
        let visible = trajectory.newest()?.visible.narrow(0, 0, chains)?.contiguous()?;
        let hidden = machine.last().sample(&machine.last_inputs(&visible)?, rng)?;
        self.begin(trajectory, hidden)?;
        if let Some(ladder) = self.ladder.as_mut().filter(|_| machine.has_interaction()) {
            ladder.visible = Some(visible);
        }
        Ok(())
    }
}

impl NegativePhase for ParallelTrajectory {
    fn fantasy(
        &mut self,
        machine: &dyn Boltzmann,
        positive: &Phase,
        rng: &mut Rng,
    ) -> Result<Phase> {
        if let Some(state) = self.restored.take() {
            self.ladder = Some(TrajectoryChains::of(&state, machine)?);
        }
        if self.ladder.is_none() {
            self.start(machine, positive, rng)?;
        }
        match &self.previous {
            Some(previous) => previous.copy_from(machine)?,
            None => self.previous = Some(machine.duplicate()?),
        }
        let Some(ladder) = &mut self.ladder else {
            return Err(Error::invalid("parallel trajectory tempering", "a ladder", "none"));
        };
        let ScoredSamples { visible, hidden_inputs, .. } = ladder.step(machine, self.steps, rng)?;
        self.traces.follow(machine, &visible, &hidden_inputs)?;
        Ok(Phase { visible, hidden_inputs, log_weights: None })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn after_step(
        &mut self,
        machine: &dyn Boltzmann,
        _: &Gradient,
        rng: &mut Rng,
    ) -> Result<StepOutcome> {
        let (Some(mut ladder), Some(previous)) = (self.ladder.take(), &self.previous) else {
            return Ok(StepOutcome::Kept);
        };
        let since = ladder.since + 1;
        let mut is_undone = false;
        let online = ladder.online;
        if since >= ladder.look || online < self.freeze_below {
            let overlap = ladder.overlap(machine)?.min(online);
            let decision = self.decide(overlap, since);
            let mut is_frozen = decision == Decision::Freeze;
            is_undone = decision == Decision::Reject;
            if is_undone && since > 1 {
                // It may not be this step alone that went too far.
                is_frozen = ladder.overlap(&**previous)?.min(online) < self.freeze_below;
            }
            if decision != Decision::Accept {
                tracing::debug!(overlap, since, is_frozen, is_undone, "trajectory");
            }
            if is_frozen {
                let is_reached =
                    ladder.freeze(&**previous, (self.settle, self.reject_below), rng)?;
                // The step that led out of the old copy's reach may lead out of the new one's as well.
                let is_too_far = |overlap| self.decide(overlap, 1) == Decision::Reject;
                is_undone = !is_reached || is_too_far(ladder.overlap(machine)?);
            }
            if decision == Decision::Accept {
                ladder.look_later(since, overlap, self.freeze_below);
            }
        }
        if is_undone {
            machine.copy_from(&**previous)?;
            (ladder.undone, ladder.pace) = (ladder.undone + 1, 0.5 * ladder.pace);
            ladder.look = ladder.since + 1;
        } else {
            ladder.since += 1;
        }
        self.ladder = Some(ladder);
        Ok(if is_undone { StepOutcome::Undone } else { StepOutcome::Kept })
    }

    fn learning_rate_factor(&self) -> f64 {
        let saved = || self.restored.as_ref()?.get("pace")?.to_vec1::<f64>().ok()?.first().copied();
        self.ladder.as_ref().map(|ladder| ladder.pace).or_else(saved).unwrap_or(1.0)
    }

    fn mixing(&mut self) -> Result<Option<Mixing>> {
        let Some(ladder) = &mut self.ladder else { return Ok(None) };
        let undone = std::mem::take(&mut ladder.undone);
        let mixing = self.traces.report()?.unwrap_or_default();
        Ok(Some(Mixing {
            swap_acceptance: Some(ladder.acceptance.clone()),
            undone: Some(undone),
            pace: Some(ladder.pace),
            ..mixing
        }))
    }
}

impl Stateful for ParallelTrajectory {
    fn state(&self) -> State {
        let ladder =
            self.ladder.as_ref().map(TrajectoryChains::state).or_else(|| self.restored.clone());
        ladder.into_iter().flatten().chain(with_prefix(TRACES, self.traces.state())).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.traces.restore(&without_prefix(TRACES, state))?;
        self.ladder = None;
        self.restored = state.contains_key(CHAINS).then(|| state.clone());
        Ok(())
    }
}

/// How much of a new acceptance goes into its running mean.
const ACCEPTANCE_RATE: f64 = 0.1;
/// The names of a level's samples and of their free energies.
const SAMPLES: &str = "samples";
const ENERGIES: &str = "free_energies";

/// The chains and their ladder.
#[derive(Debug)]
pub(super) struct TrajectoryChains {
    pub(super) trajectory: Trajectory,
    /// `(chains, hidden)`.
    pub(super) hidden: Tensor,
    /// `(chains, visible)`, where visible units are coupled with each other.
    pub(super) visible: Option<Tensor>,
    /// Updates since the newest copy.
    pub(super) since: usize,
    /// At how many of them to look at the overlap again.
    pub(super) look: usize,
    /// The running mean of how probable exchanges with the newest copy are; it follows quickly.
    pub(super) online: f64,
    /// Updates undone since the last report.
    pub(super) undone: usize,
    /// The part of the learning rate that is made use of, a power of ½.
    pub(super) pace: f64,
    /// Running means over each gap, the machine's own last.
    pub(super) acceptance: Vec<f64>,
}

fn blend(mean: &mut f64, new: f64) {
    *mean += ACCEPTANCE_RATE * (new - *mean);
}

/// Errors unless there are `expected` numbers under `name` in a state.
fn check(name: &str, expected: usize, numbers: &[f64]) -> Result<()> {
    if numbers.len() == expected {
        return Ok(());
    }
    let (expected, found) = (format!("{expected} numbers"), numbers.len().to_string());
    Err(Error::invalid(format!("state {name:?}"), expected, found))
}

impl TrajectoryChains {
    /// Before the first step on `trajectory`.
    pub(super) fn new(trajectory: Trajectory, hidden: Tensor) -> Self {
        let acceptance = vec![1.0; trajectory.levels().len()];
        Self {
            trajectory,
            hidden,
            visible: None,
            since: 0,
            look: 1,
            online: 1.0,
            undone: 0,
            pace: 1.0,
            acceptance,
        }
    }

    /// The chains after `steps` Gibbs steps and an exchange with samples of the newest copy.
    pub(super) fn step(
        &mut self,
        machine: &dyn Boltzmann,
        steps: usize,
        rng: &mut Rng,
    ) -> Result<ScoredSamples> {
        if let Some((gap, acceptance)) = self.trajectory.visit(rng)? {
            blend(&mut self.acceptance[gap], acceptance);
        }
        let gibbs = Gibbs::default();
        for _ in 1..steps {
            let like = self.visible.as_ref();
            let chains = gibbs.step_from_like(machine, &self.hidden, like, rng)?;
            self.hidden = chains.hidden;
            self.visible = self.visible.is_some().then_some(chains.visible);
        }
        let visible =
            gibbs.visible_given_hidden(machine, &self.hidden, self.visible.as_ref(), rng)?;
        let newest = self.trajectory.levels().len() - 1;
        let (met, start) = self.trajectory.draw(newest, rng)?;
        let copy = &*self.trajectory.newest()?.machine;
        let Exchange { first, second, acceptance } =
            exchange((copy, met), (machine, ScoredSamples::by(machine, visible)?), rng)?;
        self.trajectory.put(newest, start, &first)?;
        blend(&mut self.acceptance[newest], acceptance);
        self.online = 0.5 * (self.online + acceptance);
        self.hidden = machine.last().sample(&second.hidden_inputs, rng)?;
        self.visible = self.visible.is_some().then(|| second.visible.clone());
        Ok(second)
    }

    /// The overlap of `machine` with the newest copy.
    pub(super) fn overlap(&self, machine: &dyn Boltzmann) -> Result<f64> {
        Ok(overlap(&self.trajectory.log_weights(machine)?))
    }

    /// Puts off the next look at the overlap: by half the updates in which it would fall to `least` if it went on falling as it
    /// has until now, and by no more than there have been.
    pub(super) fn look_later(&mut self, since: usize, overlap: f64, least: f64) {
        let updates = 0.5 * (overlap - least) * since as f64 / (1.0 - overlap).max(1e-3);
        self.look = since + (updates as usize).clamp(1, since.max(1));
    }

    /// Freezes a copy of `previous`, which the chains have just sampled. Where it is not to be had ([`Trajectory::freeze`]),
    /// `previous` goes back to the newest copy, and the chains to samples of that. Whether it was.
    pub(super) fn freeze(
        &mut self,
        previous: &dyn Boltzmann,
        (settle, least): (usize, f64),
        rng: &mut Rng,
    ) -> Result<bool> {
        let is_reached = self.trajectory.freeze(previous, settle, least, rng)? >= least;
        (self.since, self.look, self.online) = (0, 1, 1.0);
        if is_reached {
            self.acceptance.push(1.0);
            self.pace = (2.0 * self.pace).min(1.0);
        } else {
            let Level { machine, visible, .. } = self.trajectory.newest()?;
            previous.copy_from(&**machine)?;
            let rows = visible.narrow(0, 0, self.trajectory.chains())?.contiguous()?;
            self.hidden = machine.last().sample(&machine.last_inputs(&rows)?, rng)?;
            self.visible = self.visible.is_some().then_some(rows);
        }
        Ok(is_reached)
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::from([(CHAINS.to_owned(), self.hidden.clone())]);
        if let Some(visible) = &self.visible {
            state.insert(RESTS.to_owned(), visible.clone());
        }
        for (i, Level { machine, visible, free_energy }) in
            self.trajectory.levels().iter().enumerate()
        {
            let parameters = machine.parameters().into_iter();
            state.extend(
                parameters
                    .map(|(name, var)| (name, var.as_detached_tensor()))
                    .chain([(SAMPLES.to_owned(), visible.clone())])
                    .chain(numbers(ENERGIES, free_energy))
                    .map(|(name, tensor)| (format!("level.{i}.{name}"), tensor)),
            );
        }
        let whole = [self.since, self.look, self.trajectory.visits, self.undone];
        let numbers = [
            counts("counts", &whole),
            numbers("pace", &[self.pace, self.online]),
            numbers("acceptance", &self.acceptance),
        ];
        state.extend(numbers.into_iter().flatten());
        state
    }

    /// The ladder of a state, for machines like `machine`.
    pub(super) fn of(state: &State, machine: &dyn Boltzmann) -> Result<Self> {
        let mut levels = Vec::new();
        loop {
            let state = without_prefix(&format!("level.{}", levels.len()), state);
            if state.is_empty() {
                break;
            }
            let (frozen, visible) = (machine.duplicate()?, get(&state, SAMPLES)?);
            for (name, var) in frozen.parameters() {
                var.set(&get(&state, &name)?)?;
            }
            let free_energy: Vec<f64> = get_numbers(&state, ENERGIES)?;
            check(ENERGIES, visible.dim(0)?, &free_energy)?;
            levels.push(Level { machine: frozen, visible, free_energy });
        }
        let (hidden, acceptance) = (get(state, CHAINS)?, get_numbers(state, "acceptance")?);
        check("acceptance", levels.len(), &acceptance)?;
        let mut trajectory = Trajectory::of(levels, hidden.dim(0)?)?;
        let [since, look, visits, undone] = get_counts(state, "counts")?;
        trajectory.visits = visits;
        let paces: Vec<f64> = get_numbers(state, "pace")?;
        check("pace", 2, &paces)?;
        let (pace, online) = (paces[0], paces[1]);
        let visible = state.contains_key(RESTS).then(|| get(state, RESTS)).transpose()?;
        Ok(Self { trajectory, hidden, visible, since, look, online, undone, pace, acceptance })
    }
}
