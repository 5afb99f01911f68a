//! The chains of a training on their ladder of frozen machines.

use candle_core::Tensor;

use crate::kernel::trajectory::{Exchange, Level, Trajectory, Weighed, exchange, overlap};
use crate::negative::CHAINS;
use crate::state::{State, below, counts, numbers, take, take_counts, take_numbers};
use crate::{Error, Gibbs, Rbm, Result, Rng};

/// How much of a new acceptance goes into its running mean.
const ACCEPTANCE_RATE: f64 = 0.1;
/// The names of a level's samples and of their free energies.
const SAMPLES: &str = "samples";
const ENERGIES: &str = "free_energies";

/// The chains and their ladder.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) trajectory: Trajectory,
    /// `(chains, hidden)`.
    pub(super) hidden: Tensor,
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

impl Ladder {
    /// Before the first step on `trajectory`.
    pub(super) fn new(trajectory: Trajectory, hidden: Tensor) -> Self {
        let acceptance = vec![1.0; trajectory.levels().len()];
        Self {
            trajectory,
            hidden,
            since: 0,
            look: 1,
            online: 1.0,
            undone: 0,
            pace: 1.0,
            acceptance,
        }
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
        blend(&mut self.acceptance[newest], acceptance);
        self.online = 0.5 * (self.online + acceptance);
        self.hidden = rbm.hidden().sample(&second.hidden_inputs, rng)?;
        Ok(second)
    }

    /// The overlap of `rbm` with the newest copy.
    pub(super) fn overlap(&self, rbm: &Rbm) -> Result<f64> {
        Ok(overlap(&self.trajectory.log_weights(rbm)?))
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
        previous: &Rbm,
        (settle, least): (usize, f64),
        rng: &mut Rng,
    ) -> Result<bool> {
        let is_reached = self.trajectory.freeze(previous, settle, least, rng)? >= least;
        (self.since, self.look, self.online) = (0, 1, 1.0);
        if is_reached {
            self.acceptance.push(1.0);
            self.pace = (2.0 * self.pace).min(1.0);
        } else {
            let Level { rbm, visible, .. } = self.trajectory.newest()?;
            previous.set(rbm)?;
            let rows = visible.narrow(0, 0, self.trajectory.chains())?.contiguous()?;
            self.hidden = rbm.sample_hidden(&rows, rng)?;
        }
        Ok(is_reached)
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::from([(CHAINS.to_owned(), self.hidden.clone())]);
        for (i, Level { rbm, visible, free_energy }) in self.trajectory.levels().iter().enumerate()
        {
            let parameters = rbm.parameters().into_iter();
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
            let free_energy: Vec<f64> = take_numbers(&state, ENERGIES)?;
            check(ENERGIES, visible.dim(0)?, &free_energy)?;
            levels.push(Level { rbm: frozen, visible, free_energy });
        }
        let (hidden, acceptance) = (take(state, CHAINS)?, take_numbers(state, "acceptance")?);
        check("acceptance", levels.len(), &acceptance)?;
        let mut trajectory = Trajectory::of(levels, hidden.dim(0)?)?;
        let [since, look, visits, undone] = take_counts(state, "counts")?;
        trajectory.visits = visits;
        let paces: Vec<f64> = take_numbers(state, "pace")?;
        check("pace", 2, &paces)?;
        let (pace, online) = (paces[0], paces[1]);
        Ok(Self { trajectory, hidden, since, look, online, undone, pace, acceptance })
    }
}
