//! A ladder of machines that learning has passed through, each with samples of its own.
//!
//! Parallel trajectory tempering (Béreux, Decelle, Furtlehner, Rosset, Seoane 2025): neighbours on the way of learning are alike
//! enough to exchange configurations, and the way begins at independent units, which are sampled exactly. A machine that is
//! frozen does not change, so its samples stay samples of it however seldom they are moved.

use candle_core::{DType, Device, Tensor};
use rand::RngExt;

use super::AnnealingPath;
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::stats::relative_weights;
use crate::{Error, Gibbs, Result, Rng, ops};

/// A frozen machine and samples of it, `(rows, visible)`, rows a multiple of the ladder's chains.
#[derive(Debug)]
pub struct Level {
    /// The machine as it was.
    pub machine: Box<dyn Boltzmann>,
    /// Its samples, moved in place.
    pub visible: Tensor,
    /// F(v) of each.
    pub free_energy: Vec<f64>,
}

impl Level {
    /// A copy of `machine` with these samples `(rows, visible)`, looked at a few at a time.
    ///
    /// # Errors
    ///
    /// When the samples do not have the width and type of the machine.
    pub fn new(machine: &dyn Boltzmann, visible: Tensor, portion: usize) -> Result<Self> {
        let free_energy = free_energies(machine, &visible, portion)?;
        Ok(Self { machine: machine.duplicate()?, visible, free_energy })
    }
}

/// F(v) of each row, `portion` rows at a time.
fn free_energies(machine: &dyn Boltzmann, visible: &Tensor, portion: usize) -> Result<Vec<f64>> {
    let rows = visible.dim(0)?;
    let mut all = Vec::with_capacity(rows);
    for start in (0..rows).step_by(portion.max(1)) {
        let rows = visible.narrow(0, start, portion.min(rows - start))?.contiguous()?;
        all.extend(ScoredSamples::by(machine, rows)?.free_energy);
    }
    Ok(all)
}

/// Levels from independent units upwards.
#[derive(Debug)]
pub struct Trajectory {
    levels: Vec<Level>,
    chains: usize,
    /// Visits made to gaps between levels: the next one's turn.
    pub visits: usize,
}

/// Configurations `(rows, visible)` with the products vW `(rows, hidden)` and the free energies that a machine gives them.
#[derive(Debug, Clone)]
pub struct ScoredSamples {
    /// `(rows, visible)`.
    pub visible: Tensor,
    /// vW, `(rows, hidden)`.
    pub hidden_inputs: Tensor,
    /// F(v) of each row.
    pub free_energy: Vec<f64>,
}

impl ScoredSamples {
    /// `visible` as `machine` sees it.
    ///
    /// # Errors
    ///
    /// When the visible configurations do not have the machine's width and type.
    pub fn by(machine: &dyn Boltzmann, visible: Tensor) -> Result<Self> {
        let hidden_inputs = machine.last_inputs(&visible)?.detach();
        let free_energy = machine.free_energy_given(&visible, &hidden_inputs)?;
        let free_energy = to_host(&free_energy)?.to_vec1::<f64>()?;
        Ok(Self { visible, hidden_inputs, free_energy })
    }

    /// Row `i` from `other` where `takes[i]`, else as it is.
    fn merged(&self, other: &Self, takes: &[bool]) -> Result<Self> {
        let rows = takes.len();
        let order: Vec<u32> = takes
            .iter()
            .enumerate()
            .map(|(i, &take)| (i + rows * usize::from(take)) as u32)
            .collect();
        let order = Tensor::new(order, self.visible.device())?;
        let pick = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0)?.index_select(&order, 0);
        let pairs = self.free_energy.iter().zip(&other.free_energy).zip(takes);
        Ok(Self {
            visible: pick(&self.visible, &other.visible)?,
            hidden_inputs: pick(&self.hidden_inputs, &other.hidden_inputs)?,
            free_energy: pairs.map(|((own, new), &take)| if take { *new } else { *own }).collect(),
        })
    }
}

/// Two machines' configurations after they could change places, and how probable that was on average.
#[derive(Debug)]
pub struct Exchange {
    /// Of the first machine.
    pub first: ScoredSamples,
    /// Of the second.
    pub second: ScoredSamples,
    /// The mean acceptance.
    pub acceptance: f64,
}

/// Lets row i of two machines change places by Metropolis' rule on free energies: both distributions stay as they are.
///
/// # Errors
///
/// When the two have different numbers of rows.
pub fn exchange(
    (first, x): (&dyn Boltzmann, ScoredSamples),
    (second, y): (&dyn Boltzmann, ScoredSamples),
    rng: &mut Rng,
) -> Result<Exchange> {
    let (y_by_first, x_by_second) = (
        ScoredSamples::by(first, y.visible.clone())?,
        ScoredSamples::by(second, x.visible.clone())?,
    );
    let rows = x.free_energy.len();
    let chance = ops::uniform(rows, DType::F64, &Device::Cpu, rng)?.to_vec1::<f64>()?;
    let ratio = |i: usize| {
        x.free_energy[i] + y.free_energy[i] - y_by_first.free_energy[i] - x_by_second.free_energy[i]
    };
    let takes: Vec<bool> = (0..rows).map(|i| chance[i].ln() < ratio(i)).collect();
    let acceptance = (0..rows).map(|i| super::acceptance(ratio(i))).sum::<f64>() / rows as f64;
    let (first, second) = (x.merged(&y_by_first, &takes)?, y.merged(&x_by_second, &takes)?);
    Ok(Exchange { first, second, acceptance })
}

/// The mean acceptance of exchanges between a machine and another of which no samples are needed: `log_weights` are
/// F(v) − F_other(v) of samples v of the first. A sample of the other is one of these, weighted, so the mean over pairs is
/// Σ min(wᵢ, wⱼ) over i ≠ j, by (n − 1)·Σ w: one less the weights' Gini coefficient.
pub fn overlap(log_weights: &[f64]) -> f64 {
    let (mut weights, _) = relative_weights(log_weights);
    weights.sort_by(f64::total_cmp);
    let n = weights.len();
    let above: f64 = weights.iter().enumerate().map(|(i, w)| 2.0 * w * (n - 1 - i) as f64).sum();
    above / ((n.max(2) - 1) as f64 * weights.iter().sum::<f64>())
}

impl Trajectory {
    /// A ladder of one level: the units of `machine` by their own biases, without couplings, and `rows` exact samples.
    ///
    /// # Errors
    ///
    /// When a layer of one's own cannot be cloned, and as [`Trajectory::of`].
    pub fn new(machine: &dyn Boltzmann, chains: usize, rows: usize, rng: &mut Rng) -> Result<Self> {
        let bottom = machine.duplicate()?;
        for weights in bottom.coupling_weights() {
            weights.set(&weights.as_detached_tensor().zeros_like()?)?;
        }
        let path = AnnealingPath::from_biases(&*bottom)?;
        let visible = path.sample_at_zero(&*bottom, rows, rng)?;
        Self::of(vec![Level::new(&*bottom, visible, chains)?], chains)
    }

    /// A ladder of these levels.
    ///
    /// # Errors
    ///
    /// When there are none, or their rows are no multiple of `chains`.
    pub fn of(levels: Vec<Level>, chains: usize) -> Result<Self> {
        let rows =
            levels.iter().map(|level| Ok(level.visible.dim(0)?)).collect::<Result<Vec<_>>>()?;
        if chains == 0
            || rows.is_empty()
            || rows.iter().any(|rows| *rows == 0 || rows % chains != 0)
        {
            let expected = format!("levels with a multiple of {chains} rows each");
            return Err(Error::invalid("a trajectory", expected, format!("{rows:?}")));
        }
        Ok(Self { levels, chains, visits: 0 })
    }

    /// The levels, independent units first. What [`Level::visible`] holds are samples of each.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The newest level.
    ///
    /// # Errors
    ///
    /// When there is no level.
    pub fn newest(&self) -> Result<&Level> {
        self.levels.last().ok_or_else(|| Error::invalid("a trajectory", "a level", "none"))
    }

    /// How many rows of a level move at a time.
    pub fn chains(&self) -> usize {
        self.chains
    }

    /// Moves a random portion of a level's rows by a Gibbs step of its own, `(chains, visible)`, and says where it begins. At
    /// the bottom these are new exact samples.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn draw(&self, level: usize, rng: &mut Rng) -> Result<(ScoredSamples, usize)> {
        let Level { machine, visible, .. } = &self.levels[level];
        let start = self.chains * rng.random_range(0..visible.dim(0)? / self.chains);
        let portion = visible.narrow(0, start, self.chains)?.contiguous()?;
        let machine = &**machine;
        let hidden = machine.last().sample(&machine.last_inputs(&portion)?, rng)?;
        let like = machine.has_interaction().then_some(&portion);
        let visible = Gibbs::default().visible_given_hidden(machine, &hidden, like, rng)?;
        Ok((ScoredSamples::by(machine, visible)?, start))
    }

    /// Puts rows back where [`Trajectory::draw`] took them.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn put(&mut self, level: usize, start: usize, rows: &ScoredSamples) -> Result<()> {
        let Level { visible, free_energy, .. } = &mut self.levels[level];
        free_energy[start..start + rows.free_energy.len()].copy_from_slice(&rows.free_energy);
        Ok(visible.slice_set(&rows.visible.contiguous()?, 0, start)?)
    }

    /// Moves a portion of the rows of two neighbouring frozen levels and lets them change places; each gap in its turn. The gap
    /// and its acceptance; none where there is only one level.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn visit(&mut self, rng: &mut Rng) -> Result<Option<(usize, f64)>> {
        let gaps = self.levels.len() - 1;
        if gaps == 0 {
            return Ok(None);
        }
        let gap = self.visits % gaps;
        self.visits = (gap + 1) % gaps;
        Ok(Some((gap, self.cross(gap, rng)?)))
    }

    /// One visit to `gap`: its acceptance.
    fn cross(&mut self, gap: usize, rng: &mut Rng) -> Result<f64> {
        let ((x, x_start), (y, y_start)) = (self.draw(gap, rng)?, self.draw(gap + 1, rng)?);
        let [lower, upper] = [gap, gap + 1].map(|level| &*self.levels[level].machine);
        let Exchange { first, second, acceptance } = exchange((lower, x), (upper, y), rng)?;
        self.put(gap, x_start, &first)?;
        self.put(gap + 1, y_start, &second)?;
        Ok(acceptance)
    }

    /// F(v) − F_other(v) of all rows of the newest level, a portion at a time: what [`overlap`] asks for.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_weights(&self, other: &dyn Boltzmann) -> Result<Vec<f64>> {
        let Level { visible, free_energy, .. } = self.newest()?;
        let other = free_energies(other, visible, self.chains)?;
        Ok(free_energy.iter().zip(other).map(|(own, other)| own - other).collect())
    }

    /// Freezes a copy of `machine` as the newest level. Its samples are those of the last one, drawn again by their weights, and
    /// then moved: `sweeps` times all of them by a Gibbs step and an exchange with the level below, which keeps as many rows as
    /// there are chains. Where exchanges are accepted with a probability below `least` in the last sweep, the two are further
    /// apart than it seemed: the copy is given up. The acceptance.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn freeze(
        &mut self,
        machine: &dyn Boltzmann,
        sweeps: usize,
        least: f64,
        rng: &mut Rng,
    ) -> Result<f64> {
        let log_weights = self.log_weights(machine)?;
        let rows = log_weights.len();
        let order = resampled(&log_weights, rng.random_range(0.0..1.0));
        let order = Tensor::new(order, machine.device())?;
        let visible = self.newest()?.visible.index_select(&order, 0)?;
        self.levels.push(Level::new(machine, visible, self.chains)?);
        let (gap, portions) = (self.levels.len() - 2, rows / self.chains);
        let mut acceptance = 1.0;
        for _ in 0..sweeps {
            acceptance = 0.0;
            for _ in 0..portions {
                acceptance += self.cross(gap, rng)? / portions as f64;
            }
        }
        if acceptance < least {
            self.levels.pop();
            return Ok(acceptance);
        }
        let below = &mut self.levels[gap];
        below.visible = below.visible.narrow(0, 0, self.chains)?.copy()?;
        below.free_energy.truncate(self.chains);
        Ok(acceptance)
    }

    /// For every gap and each of as many rows as there are chains, log p*(above) − log p*(below) of the lower level's rows, and
    /// log p*(below) − log p*(above) of the upper level's: a sweep for Bennett's ratio.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_ratios(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for pair in self.levels.windows(2) {
            for (own, other, ratios) in [(0, 1, &mut up), (1, 0, &mut down)] {
                let rows = pair[own].visible.narrow(0, 0, self.chains)?.contiguous()?;
                let there = ScoredSamples::by(&*pair[other].machine, rows)?;
                let both = pair[own].free_energy.iter().zip(there.free_energy);
                ratios.extend(both.map(|(here, there)| here - there));
            }
        }
        Ok((up, down))
    }

    /// log Z of the bottom, in nats.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be read or copied.
    pub fn log_partition_at_bottom(&self) -> Result<f64> {
        let machine = &*self.levels[0].machine;
        AnnealingPath::from_biases(machine)?.log_partition_at_zero(machine)
    }
}

/// Row numbers drawn by their weights, as evenly as can be: `chance` between 0 and 1 places the comb (systematic resampling).
fn resampled(log_weights: &[f64], chance: f64) -> Vec<u32> {
    let (weights, _) = relative_weights(log_weights);
    let tooth = weights.iter().sum::<f64>() / weights.len() as f64;
    let (mut row, mut reached) = (0, weights.first().copied().unwrap_or(0.0));
    (0..weights.len())
        .map(|i| {
            while reached < (i as f64 + chance) * tooth && row + 1 < weights.len() {
                row += 1;
                reached += weights[row];
            }
            row as u32
        })
        .collect()
}
