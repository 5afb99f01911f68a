//! What the Practical Guide says to watch while a machine learns (§5–8, §11). Watching never touches the training's
//! generator.
//!
//! What the numbers of a report say of a machine: that it has diverged, or that it has learned little.

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use super::{has_pseudo_likelihood, stochastic_pseudo_likelihood};
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::rows::blocks;
use crate::{Error, Rbm, Result, Rng, Rows, Units};

/// Mean |W| above which a machine counts as diverged.
const LARGEST_MEAN_WEIGHT: f64 = 1e3;

/// Fixed cases to look at in every epoch.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rbm_core::estimate::monitor::Monitor;
/// use rbm_core::{Rbm, Rng};
///
/// let cases = Tensor::new(&[[1f32, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu)?;
/// let rbm = Rbm::bernoulli(&cases, 4, &mut Rng::new(0))?;
/// let monitor = Monitor { train: cases.clone(), held_out: Some(cases), rng: Rng::new(1) };
/// let report = monitor.report(&rbm)?;
/// assert_eq!(report.free_energy_gap, Some(0.0)); // the same cases: no overfitting
/// assert!(report.warnings(&rbm.hidden().units()).is_empty());
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Monitor<C = Tensor> {
    /// Cases the machine learns from, `(n, visible)`.
    pub train: C,
    /// Cases it never learns from, `(m, visible)`.
    pub held_out: Option<C>,
    /// Chooses the units that the stochastic pseudo-likelihood looks at: the same in every epoch.
    pub rng: Rng,
}

/// The state of a machine in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Mean squared difference per visible unit between cases and their one-step mean reconstruction: from the means of the hidden units, and
    /// from the other visible ones where these are coupled. Use it, but don't trust it (Practical Guide §5).
    pub reconstruction_error: f64,
    /// The same of the columns' means in place of the reconstruction: a machine that has learned anything is better.
    pub means_error: f64,
    /// Stochastic pseudo-likelihood of the training cases, nats per case, where it is known.
    pub pseudo_likelihood: Option<f64>,
    /// Mean free energy of the training cases, in nats.
    pub free_energy: f64,
    /// Mean free energy of held-out less training cases, in nats: it grows with overfitting (§6).
    pub free_energy_gap: Option<f64>,
    /// Mean activity of the hidden units; 0 where there are none.
    pub hidden_activity: f64,
    /// [`Activity::dead_units`] of the hidden units.
    pub dead_units: usize,
    /// [`Activity::stuck_units`] of the hidden units.
    pub stuck_units: usize,
    /// Mean |W| over all couplings.
    pub mean_weight: f64,
}

/// How active the units of a layer are over cases.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Activity {
    /// The mean over units and cases.
    pub mean: f64,
    /// Units that are off (the mean in the lowest hundredth of its range) for nearly every case, and states or categories with less than a
    /// fiftieth of an even share; rectified units whose mean is below a hundredth.
    pub dead_units: usize,
    /// Units that are on (the mean in the highest hundredth of its range) for nearly every case; bounded units only.
    pub stuck_units: usize,
}

impl Activity {
    /// Of `units` with these means over cases, one for each column.
    pub fn of(units: &Units, means: &[f64]) -> Self {
        let shares = shares_of_range(units, means);
        let count = |is_so: fn(&Share) -> bool| shares.iter().filter(|share| is_so(share)).count();
        Self {
            mean: means.iter().sum::<f64>() / means.len().max(1) as f64,
            dead_units: count(|share| share.mean < 0.01 * share.even),
            stuck_units: count(|share| share.mean > 0.99),
        }
    }

    /// What is wrong with `size` units called `what` that have learned, a sentence each: more than a quarter of them dead or stuck.
    pub fn warnings(&self, what: &str, size: usize) -> Vec<String> {
        let counts = [
            (self.dead_units, "dead (off for nearly every case)"),
            (self.stuck_units, "stuck (on for nearly every case)"),
        ];
        let many = counts.into_iter().filter(|(count, _)| 4 * count > size);
        many.map(|(count, how)| format!("{count} of {size} {what} are {how}")).collect()
    }
}

impl<C: Rows> Monitor<C> {
    /// Looks at the machine, a block of cases at a time. The cases are the rest of the machine: all units but those of its last colour, which
    /// are the hidden ones.
    ///
    /// # Errors
    ///
    /// When there are no cases.
    pub fn report(&self, machine: &dyn Boltzmann) -> Result<Report> {
        let n = self.train.count();
        if n == 0 {
            return Err(Error::invalid("monitoring", "at least one case", "none"));
        }
        let mut rng = self.rng;
        let (units, hidden_units) = (machine.rest(), machine.last().units());
        let is_known = has_pseudo_likelihood(machine);
        let (mut reconstruction, mut pseudo_likelihood, mut active) =
            (0.0, 0.0, vec![0.0; hidden_units.width()]);
        let (mut energy, mut spread) = (0.0, Spread::default());
        for block in blocks(&self.train) {
            let block = block?;
            let rows = block.dim(0)? as f64;
            let inputs = machine.last_inputs(&block)?;
            energy += rows * mean(&machine.free_energy_given(&block, &inputs)?)?;
            spread.take_in(&block)?;
            let hidden = machine.last().mean(&inputs)?.detach();
            let mut inputs = machine.rest_inputs(&hidden)?;
            if let Some(within) = machine.inputs_within(&block)? {
                inputs = (inputs + within)?;
            }
            let reconstructed = units.mean_like(&inputs, &block)?.detach();
            reconstruction += rows * reconstruction_error(&block, &reconstructed)?;
            if !active.is_empty() {
                let sums = to_host(&crate::ops::sum_rows(&hidden)?)?.to_vec1::<f64>()?;
                active.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
            if is_known {
                pseudo_likelihood +=
                    rows * stochastic_pseudo_likelihood(machine, &block, &mut rng)?;
            }
        }
        let cases = n as f64;
        active.iter_mut().for_each(|total| *total /= cases);
        let activity = Activity::of(&hidden_units, &active);
        let energy = energy / cases;
        let gap = match &self.held_out {
            Some(held_out) => Some(mean_free_energy(machine, held_out)? - energy),
            None => None,
        };
        Ok(Report {
            reconstruction_error: reconstruction / cases,
            means_error: spread.variance(),
            pseudo_likelihood: is_known.then_some(pseudo_likelihood / cases),
            free_energy: energy,
            free_energy_gap: gap,
            hidden_activity: activity.mean,
            dead_units: activity.dead_units,
            stuck_units: activity.stuck_units,
            mean_weight: mean_weight(machine)?,
        })
    }
}

/// How far the columns of blocks of cases are spread about their means.
#[derive(Default)]
struct Spread {
    rows: f64,
    /// About the first row, so that the variance of a nearly constant column is not lost.
    first: Option<Tensor>,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn take_in(&mut self, block: &Tensor) -> Result<()> {
        let first = match self.first.take() {
            Some(first) => first,
            None => block.narrow(0, 0, 1)?.contiguous()?,
        };
        let moved = block.broadcast_sub(&first)?;
        let sum = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(to_host(&crate::ops::sum_rows(x)?)?.to_vec1::<f64>()?)
        };
        for (totals, sums) in
            [(&mut self.sums, sum(&moved)?), (&mut self.squares, sum(&moved.sqr()?)?)]
        {
            totals.resize(sums.len(), 0.0);
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        (self.rows, self.first) = (self.rows + block.dim(0)? as f64, Some(first));
        Ok(())
    }

    /// The mean of the columns' variances.
    fn variance(&self) -> f64 {
        let rows = self.rows.max(1.0);
        let columns = self.sums.iter().zip(&self.squares);
        let of = |(sum, square): (&f64, &f64)| (square / rows - (sum / rows).powi(2)).max(0.0);
        columns.map(of).sum::<f64>() / self.sums.len().max(1) as f64
    }
}

/// Where a unit stands in its range.
struct Share {
    /// From 0, the lowest, to 1, the highest.
    mean: f64,
    /// What an even share between its states would be, where that of two states is 1.
    even: f64,
}

/// Where between the ends of its range the mean of each bounded unit lies.
fn shares_of_range(units: &Units, means: &[f64]) -> Vec<Share> {
    let groups = units.groups().into_iter();
    groups
        .flat_map(|(columns, units)| {
            let (low, high) = units.range();
            let (low, width) = (f64::from(low), f64::from(high) - f64::from(low));
            // Rectified units count as those from 0 to 1 do, as far as dead ones are concerned.
            let width = if matches!(units, Units::Relu { .. }) { 1.0 } else { width };
            let bounded = if width.is_finite() { means.get(columns) } else { None };
            let even = match units {
                Units::Potts { states, .. } => 2.0 / *states as f64,
                Units::Multinomial { size, .. } => 2.0 / *size as f64,
                _ => 1.0,
            };
            let most = if matches!(units, Units::Relu { .. }) { 0.5 } else { f64::INFINITY };
            let share = move |mean: &f64| Share { mean: ((mean - low) / width).min(most), even };
            bounded.unwrap_or_default().iter().map(share)
        })
        .collect()
}

/// Mean |W| over all couplings.
fn mean_weight(machine: &dyn Boltzmann) -> Result<f64> {
    let couplings = machine.coupling_weights();
    if let [only] = &couplings[..] {
        return mean(&only.as_detached_tensor().abs()?);
    }
    let (mut total, mut count) = (0.0, 0);
    for weights in couplings {
        let elements = weights.elem_count();
        if elements > 0 {
            total += elements as f64 * mean(&weights.as_detached_tensor().abs()?)?;
            count += elements;
        }
    }
    Ok(total / count.max(1) as f64)
}

/// The mean free energy of `cases` `(n, visible)` in nats, a block at a time.
fn mean_free_energy(machine: &dyn Boltzmann, cases: &dyn Rows) -> Result<f64> {
    let mut total = 0.0;
    for block in blocks(cases) {
        let block = block?;
        total += block.dim(0)? as f64 * mean(&machine.free_energy(&block)?)?;
    }
    Ok(total / cases.count().max(1) as f64)
}

/// Mean squared difference per unit between `cases` and `reconstruction`, both `(n, width)`.
///
/// # Errors
///
/// When the two have different shapes or types.
pub fn reconstruction_error(cases: &Tensor, reconstruction: &Tensor) -> Result<f64> {
    mean(&(cases - reconstruction)?.sqr()?)
}

/// Mean |ΔW| / mean |W| of a step from `before` to `after`; about 1e-3 is healthy (Practical Guide §7).
///
/// # Errors
///
/// When the two have different shapes or types.
pub fn update_ratio(before: &Tensor, after: &Tensor) -> Result<f64> {
    let step = mean(&(after.detach() - before)?.abs()?)?;
    Ok(step / mean(&after.detach().abs()?)?.max(f64::MIN_POSITIVE))
}

pub(crate) fn diverged(what: String) -> Error {
    let hint = "lower the learning rate, clip the gradient, or decay the weights".into();
    Error::Diverged { place: "training".into(), what, hint }
}

/// Looks whether parameters are still finite.
///
/// # Errors
///
/// With a hint when a parameter is not finite, or a weight matrix has exploded.
pub fn check_parameters<'a>(parameters: impl IntoIterator<Item = &'a Var>) -> Result<()> {
    for var in parameters {
        let size = mean(&var.as_detached_tensor().abs()?)?;
        if !size.is_finite() {
            return Err(diverged("the parameters are no longer finite".into()));
        }
        if var.rank() == 2 && size > LARGEST_MEAN_WEIGHT {
            return Err(diverged(format!("the mean |weight| is {size:.3e}")));
        }
    }
    Ok(())
}

/// Looks whether a machine is still sound.
///
/// # Errors
///
/// With a hint when the machine's parameters are not finite, its weights have exploded, or its energy can no longer
/// be normalised.
pub fn check(machine: &dyn Boltzmann) -> Result<()> {
    for (name, var) in machine.parameters() {
        if !mean(&var.as_detached_tensor().abs()?)?.is_finite() {
            let units = match Rbm::of(machine) {
                Some(rbm) if rbm.is_unbounded()? => {
                    let (visible, hidden) = (rbm.visible().units(), rbm.hidden().units());
                    format!(" (too strong a coupling lets {visible} and {hidden} units run away)")
                }
                _ => String::new(),
            };
            return Err(diverged(format!("{name} are no longer finite{units}")));
        }
    }
    // Before the size of the weights, which only follows from it.
    machine.check_normalisable().map_err(|error| match error {
        Error::Invalid { what, expected, found } => {
            diverged(format!("{what}: expected {expected}, found {found}"))
        }
        other => other,
    })?;
    // Couplings of measurements may be large: their size is beside precisions, and has been looked at.
    let has_measurements = machine.has_interaction()
        && machine.rest().tails()?.iter().any(|tail| tail.precision.is_finite());
    match has_measurements {
        true => Ok(()),
        false => check_parameters(machine.coupling_weights()),
    }
}

pub(crate) fn mean(x: &Tensor) -> Result<f64> {
    Ok(to_host(&x.mean_all()?)?.to_scalar::<f64>()?)
}

/// How many times worse than knowing nothing a machine may be before it counts as diverged.
const ABSURD: f64 = 1e3;

/// How much worse than the columns' means a reconstruction is before it is worth a warning.
const TOLERANCE: f64 = 1.05;

impl Report {
    /// Looks at the numbers of an epoch.
    ///
    /// # Errors
    ///
    /// With a hint when the energies, the reconstruction or the pseudo-likelihood are so far from anything that
    /// learning can lead to that the machine has diverged, though its parameters are still numbers; `fantasies` are
    /// the machine's own chains, where it has some.
    pub fn check<'a>(
        &self,
        machine: &dyn Boltzmann,
        fantasies: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<()> {
        let (visible, hidden) = (machine.rest().units(), machine.last().units());
        let scale = 1.0 + self.means_error;
        let units = (visible.width() + hidden.width()) as f64;
        // Of continuous units the density at a case, which grows with their number and their spread.
        let even = match even_nats(&visible) {
            0.0 => (visible.width() as f64 * scale).max(1.0),
            nats => nats.max(1.0),
        };
        for (what, value, most) in [
            ("the error of the reconstruction", Some(self.reconstruction_error), scale * ABSURD),
            ("the pseudo-likelihood of the cases", self.pseudo_likelihood, even * ABSURD),
            (
                "the mean free energy of the cases",
                Some(self.free_energy),
                units * scale * ABSURD * ABSURD,
            ),
            ("the gap of the free energies", self.free_energy_gap, units * scale * ABSURD * ABSURD),
        ] {
            if let Some(value) = value.filter(|value| value.is_nan() || value.abs() > most) {
                return Err(diverged(format!("{what} is {value:.3e}")));
            }
        }
        for chains in fantasies {
            let size = mean(&chains.sqr()?)?;
            if size.is_nan()
                || size > scale * ABSURD * ABSURD * (1.0 + self.hidden_activity.powi(2))
            {
                return Err(diverged(format!("the mean square of the fantasies is {size:.3e}")));
            }
        }
        Ok(())
    }

    /// What is wrong with a machine that has learned, though it has not diverged, a sentence each: more than a quarter of the
    /// hidden units dead or stuck, or a reconstruction worse than the columns' means.
    pub fn warnings(&self, hidden: &Units) -> Vec<String> {
        let Self { hidden_activity: mean, dead_units, stuck_units, .. } = *self;
        let activity = Activity { mean, dead_units, stuck_units };
        let mut warnings = activity.warnings("hidden units", hidden.width());
        if self.reconstruction_error > TOLERANCE * self.means_error {
            warnings.push(format!(
                "the reconstruction is worse than the columns' means (squared error {:.3e} against {:.3e})",
                self.reconstruction_error, self.means_error
            ));
        }
        warnings
    }
}

/// Nats that it takes to guess a configuration of which nothing is known; none for continuous units.
fn even_nats(units: &Units) -> f64 {
    let groups = units.groups().into_iter();
    let nats = groups.map(|(_, units)| match units {
        Units::Bernoulli { size } | Units::Spin { size } => *size as f64 * 2f64.ln(),
        Units::Binomial { size, trials } => *size as f64 * (*trials as f64 + 1.0).ln(),
        Units::Potts { sites, states } => *sites as f64 * (*states as f64).ln(),
        // Of documents whose lengths are their own, that of a long one.
        Units::Multinomial { size, draws: 0 } => 1e3 * (*size as f64).ln(),
        Units::Multinomial { size, draws } => *draws as f64 * (*size as f64).ln(),
        _ => 0.0,
    });
    nats.sum()
}
