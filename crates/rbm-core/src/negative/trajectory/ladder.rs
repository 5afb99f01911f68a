//! The chains of a training on their ladder of frozen machines.

use candle_core::{Device, Tensor};

use crate::kernel::trajectory::{Exchange, Level, Trajectory, Weighed, exchange, overlap};
use crate::negative::CHAINS;
use crate::state::{State, below, take};
use crate::{Error, Gibbs, Rbm, Result, Rng};

/// How much of a new acceptance goes into its running mean.
const ACCEPTANCE_RATE: f32 = 0.1;
/// An overlap below so many times the least that is wanted is looked at again with all the samples there are.
const CLOSE: f64 = 1.5;
/// The name of a level's samples.
const SAMPLES: &str = "samples";

/// The chains and their ladder.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) trajectory: Trajectory,
    /// `(chains, hidden)`.
    pub(super) hidden: Tensor,
    /// Which of the newest copy's samples the chains met last.
    pub(super) start: usize,
    /// Updates since the newest copy.
    pub(super) since: usize,
    /// Updates undone since the last report.
    pub(super) undone: usize,
    /// The part of the learning rate that is made use of, a power of ½.
    pub(super) pace: f32,
    /// Running means over each gap, the machine's own last; numbers of `f32`, which every device can hold in a state.
    pub(super) acceptance: Vec<f32>,
}

fn blend(mean: &mut f32, new: f64) {
    *mean += ACCEPTANCE_RATE * (new as f32 - *mean);
}

impl Ladder {
    /// Before the first step on `trajectory`.
    pub(super) fn new(trajectory: Trajectory, hidden: Tensor) -> Self {
        let acceptance = vec![1.0; trajectory.levels().len()];
        Self { trajectory, hidden, start: 0, since: 0, undone: 0, pace: 1.0, acceptance }
    }

    /// The chains after `steps` Gibbs steps and an exchange with samples of the newest copy.
    pub(super) fn step(&mut self, rbm: &Rbm, steps: usize, rng: &mut Rng) -> Result<Weighed> {
        if let Some((gap, acceptance)) = self.trajectory.visit(rng)? {
            blend(&mut self.acceptance[gap], acceptance);
        }
        let gibbs = Gibbs::default();
        for _ in 1..steps {
            self.hidden = gibbs.resume(rbm, &self.hidden, rng)?.hidden;
        }
        let visible = rbm.visible().sample(&rbm.visible_inputs(&self.hidden)?, rng)?;
        let newest = self.trajectory.levels().len() - 1;
        let (met, start) = self.trajectory.draw(newest, rng)?;
        let copy = &self.trajectory.newest()?.rbm;
        let Exchange { first, second, acceptance } =
            exchange((copy, met), (rbm, Weighed::by(rbm, visible)?), rng)?;
        self.trajectory.put(newest, start, &first)?;
        self.start = start;
        blend(&mut self.acceptance[newest], acceptance);
        self.hidden = rbm.hidden().sample(&second.hidden_inputs, rng)?;
        Ok(second)
    }

    /// The overlap of `rbm` with the newest copy, by the samples that the chains met last, or by all where it is close to
    /// `least`.
    pub(super) fn overlap(&self, rbm: &Rbm, least: f64) -> Result<f64> {
        let Level { rbm: copy, visible } = self.trajectory.newest()?;
        let rows = visible.narrow(0, self.start, self.trajectory.chains())?.contiguous()?;
        let (own, other) = (Weighed::by(copy, rows.clone())?, Weighed::by(rbm, rows)?);
        let weights = own.free_energy.iter().zip(other.free_energy).map(|(own, other)| own - other);
        let quick = overlap(&weights.collect::<Vec<_>>());
        if quick >= CLOSE * least {
            Ok(quick)
        } else {
            Ok(overlap(&self.trajectory.log_weights(rbm)?))
        }
    }

    /// Freezes a copy of `previous`, which the chains have just sampled.
    pub(super) fn freeze(&mut self, previous: &Rbm, settle: usize, rng: &mut Rng) -> Result<()> {
        self.trajectory.freeze(previous, settle, rng)?;
        self.acceptance.push(1.0);
        (self.start, self.since, self.pace) = (0, 0, (2.0 * self.pace).min(1.0));
        Ok(())
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::from([(CHAINS.to_owned(), self.hidden.clone())]);
        for (i, Level { rbm, visible }) in self.trajectory.levels().iter().enumerate() {
            let parameters = rbm.parameters().into_iter();
            state.extend(
                parameters
                    .map(|(name, var)| (name, var.as_detached_tensor()))
                    .chain([(SAMPLES.to_owned(), visible.clone())])
                    .map(|(name, tensor)| (format!("level.{i}.{name}"), tensor)),
            );
        }
        let counts = [self.start, self.since, self.trajectory.visits, self.undone];
        let counts = counts.map(|count| count as f32);
        let numbers =
            [("counts", &counts[..]), ("pace", &[self.pace]), ("acceptance", &self.acceptance[..])];
        let tensor = |(name, numbers): (&str, &[f32])| {
            Some((name.to_owned(), Tensor::new(numbers, &Device::Cpu).ok()?))
        };
        state.extend(numbers.into_iter().filter_map(tensor));
        state
    }

    /// The ladder of a state, for machines like `rbm`.
    pub(super) fn of(state: &State, rbm: &Rbm) -> Result<Self> {
        let mut levels = Vec::new();
        loop {
            let state = below(&format!("level.{}", levels.len()), state);
            if state.is_empty() {
                break;
            }
            let (frozen, visible) = (rbm.try_clone()?, take(&state, SAMPLES)?);
            for (name, var) in frozen.parameters() {
                var.set(&take(&state, &name)?)?;
            }
            levels.push(Level { rbm: frozen, visible });
        }
        let hidden = take(state, CHAINS)?;
        let mut trajectory = Trajectory::of(levels, hidden.dim(0)?)?;
        let numbers = |name: &str| -> Result<Vec<f32>> { Ok(take(state, name)?.to_vec1()?) };
        let counts: Vec<usize> = numbers("counts")?.into_iter().map(|n| n as usize).collect();
        let ([start, since, visits, undone], [pace]) = (&counts[..], &numbers("pace")?[..]) else {
            let found = format!("{} numbers", counts.len());
            return Err(Error::invalid("state \"counts\"", "4 numbers, and a pace", found));
        };
        trajectory.visits = *visits;
        let acceptance = numbers("acceptance")?;
        let (start, since, undone, pace) = (*start, *since, *undone, *pace);
        Ok(Self { trajectory, hidden, start, since, undone, pace, acceptance })
    }
}
