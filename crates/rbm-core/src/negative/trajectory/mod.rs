//! Parallel trajectory tempering in training: what learning has passed through keeps its chains in equilibrium.

mod ladder;

use candle_core::Tensor;
use ladder::Ladder;

use crate::kernel::trajectory::{Trajectory, Weighed, overlap};
use crate::mixing::Traces;
use crate::negative::{CHAINS, NegativePhase, TRACES, Verdict};
use crate::state::{State, below, prefixed};
use crate::{Error, Gradient, Mixing, Phase, Rbm, Result, Rng, Stateful};

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
    /// How many chains to run; 0 means as many as the first mini-batch has cases.
    pub chains: usize,
    /// Samples of the newest copy, in units of chains; the copies below keep one each.
    pub reservoir: usize,
    /// How often the samples of a new copy are all moved before they count.
    pub settle: usize,
    /// The overlap below which a copy is frozen.
    pub freeze_below: f64,
    /// The overlap below which an update is undone.
    pub reject_below: f64,
    ladder: Option<Ladder>,
    /// A state that has been put back and waits for the machine.
    restored: Option<State>,
    /// The machine before the update.
    previous: Option<Rbm>,
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
    pub fn new(steps: usize, chains: usize) -> Self {
        Self {
            steps,
            chains,
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

    /// Goes on with this ladder, and with chains whose hidden units are `hidden` `(chains, hidden)`. Errors when they are not as
    /// many as the ladder says.
    pub fn begin(&mut self, trajectory: Trajectory, hidden: Tensor) -> Result<()> {
        let (expected, found) = (trajectory.chains(), hidden.dim(0)?);
        if found != expected {
            let what = "the chains of a trajectory";
            return Err(Error::invalid(what, expected.to_string(), found.to_string()));
        }
        self.ladder = Some(Ladder::new(trajectory, hidden));
        Ok(())
    }

    fn start(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<()> {
        let chains = if self.chains == 0 { positive.cases()? } else { self.chains };
        let rows = chains * self.reservoir.max(1);
        let trajectory = Trajectory::new(rbm, chains, rows, rng)?;
        let overlap = overlap(&trajectory.log_weights(rbm)?);
        if overlap < self.freeze_below {
            let expected = "a machine that begins near independent units (smaller first weights)";
            let found = format!("swaps with them are accepted with probability {overlap:.3}");
            return Err(Error::invalid("parallel trajectory tempering", expected, found));
        }
        let visible = trajectory.newest()?.visible.narrow(0, 0, chains)?.contiguous()?;
        let hidden = rbm.sample_hidden(&visible, rng)?;
        self.begin(trajectory, hidden)
    }
}

impl NegativePhase for ParallelTrajectory {
    fn fantasy(&mut self, rbm: &Rbm, positive: &Phase, rng: &mut Rng) -> Result<Phase> {
        if let Some(state) = self.restored.take() {
            self.ladder = Some(Ladder::of(&state, rbm)?);
        }
        if self.ladder.is_none() {
            self.start(rbm, positive, rng)?;
        }
        match &self.previous {
            Some(previous) => previous.set(rbm)?,
            None => self.previous = Some(rbm.try_clone()?),
        }
        let Some(ladder) = &mut self.ladder else {
            return Err(Error::invalid("parallel trajectory tempering", "a ladder", "none"));
        };
        let Weighed { visible, hidden_inputs, .. } = ladder.step(rbm, self.steps, rng)?;
        self.traces.follow(rbm, &visible, &hidden_inputs)?;
        Ok(Phase { visible, hidden_inputs, log_weights: None })
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn learned(&mut self, rbm: &Rbm, _: &Gradient, rng: &mut Rng) -> Result<Verdict> {
        let (Some(mut ladder), Some(previous)) = (self.ladder.take(), &self.previous) else {
            return Ok(Verdict::Kept);
        };
        let since = ladder.since + 1;
        let mut is_undone = false;
        let online = ladder.online;
        if since >= ladder.look || online < self.freeze_below {
            let overlap = ladder.overlap(rbm)?.min(online);
            let decision = self.decide(overlap, since);
            let mut is_frozen = decision == Decision::Freeze;
            is_undone = decision == Decision::Reject;
            if is_undone && since > 1 {
                // It may not be this step alone that went too far.
                is_frozen = ladder.overlap(previous)?.min(online) < self.freeze_below;
            }
            if decision != Decision::Accept {
                tracing::debug!(overlap, since, is_frozen, is_undone, "trajectory");
            }
            if is_frozen {
                let is_reached = ladder.freeze(previous, (self.settle, self.reject_below), rng)?;
                // The step that led out of the old copy's reach may lead out of the new one's as well.
                let is_too_far = |overlap| self.decide(overlap, 1) == Decision::Reject;
                is_undone = !is_reached || is_too_far(ladder.overlap(rbm)?);
            }
            if decision == Decision::Accept {
                ladder.look_later(since, overlap, self.freeze_below);
            }
        }
        if is_undone {
            rbm.set(previous)?;
            (ladder.undone, ladder.pace) = (ladder.undone + 1, 0.5 * ladder.pace);
            ladder.look = ladder.since + 1;
        } else {
            ladder.since += 1;
        }
        self.ladder = Some(ladder);
        Ok(if is_undone { Verdict::Undone } else { Verdict::Kept })
    }

    fn pace(&self) -> f64 {
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
        let ladder = self.ladder.as_ref().map(Ladder::state).or_else(|| self.restored.clone());
        ladder.into_iter().flatten().chain(prefixed(TRACES, self.traces.state())).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.traces.restore(&below(TRACES, state))?;
        self.ladder = None;
        self.restored = state.contains_key(CHAINS).then(|| state.clone());
        Ok(())
    }
}
