//! Parallel tempering: replicas at every inverse temperature, which change places.
//!
//! Swendsen and Wang 1986; for restricted Boltzmann machines Desjardins et al. 2010 and Cho, Raiko, Ilin 2010. Where
//! couplings are weak a replica moves freely; what it finds climbs the ladder by swaps that leave the distribution of every
//! level as it is. The ladder is spaced so that all gaps are equally easy (Syed, Bouchard-Côté, Deligiannidis, Doucet 2022).
//!
//! The replicas of parallel tempering: where they stand, and which end of the ladder they come from.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{AnnealingPath, Chains, Kernel, beta_column};
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::state::{State, counts, get, get_counts, get_numbers, numbers};
use crate::{Error, Result, Rng, ops};

/// The acceptance that ladders are spaced for: near 0.23 is best for one chain of swaps, more costs little and mixes well.
pub const TARGET_ACCEPTANCE: f64 = 0.4;
/// The least share of rejected swaps that a gap counts with when the ladder is spaced anew.
const LEAST_REJECTION: f64 = 1e-3;

/// Tempering along a path, with a ladder of inverse temperatures.
///
/// ```
/// use candle_core::{DType, Device};
/// use rbm_core::model::init::Init;
/// use rbm_core::sampling::{AnnealingPath, TARGET_ACCEPTANCE, Tempering};
/// use rbm_core::{Kernel, Rbm, Rng, Units};
///
/// let mut rng = Rng::new(0);
/// let rbm = Rbm::new(&Units::bernoulli(8), &Units::bernoulli(6), DType::F32, &Device::Cpu)?;
/// Init { weight_deviation: 1.0, hidden_bias: 0.0 }.draw_weights(&rbm, &mut rng)?;
///
/// // Five levels from independent units (β = 0) to the machine (β = 1), 20 chains.
/// let tempering = Tempering::even(AnnealingPath::from_biases(&rbm)?, 5)?;
/// let mut replicas = tempering.climb(&rbm, 20, 10, &mut rng)?;
/// let swaps = tempering.step(&rbm, &mut replicas, &mut rng)?;
/// assert_eq!(swaps.acceptance.len(), 4);
/// assert_eq!(tempering.top(&replicas)?.dims(), [20, 8]); // samples of the machine
///
/// // A ladder whose gaps are equally easy, as far as this sweep can tell.
/// let spaced = tempering.respaced(&swaps.acceptance, None, TARGET_ACCEPTANCE);
/// assert_eq!((spaced.betas.first(), spaced.betas.last()), (Some(&0.0), Some(&1.0)));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tempering {
    /// What is tempered.
    pub path: AnnealingPath,
    /// The ladder, ascending from 0 to 1.
    pub betas: Vec<f64>,
}

/// What a step tells.
#[derive(Debug, Clone)]
pub struct Swaps {
    /// How probable a swap is over each gap, on average over chains.
    pub acceptance: Vec<f64>,
    /// How many replicas reached β = 1 that had been at β = 0 since they were there last.
    pub arrivals: usize,
    /// log p*(level above) − log p*(own level) of each replica before the swaps, rows as in [`Replicas`], top level left out.
    pub up: Vec<f64>,
    /// log p*(level below) − log p*(own level) of each replica before the swaps, bottom level left out.
    pub down: Vec<f64>,
}

/// Swaps summed over sweeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SwapTotals {
    /// Sweeps made.
    pub sweeps: usize,
    /// Replicas that came to β = 1 from β = 0.
    pub arrivals: usize,
    /// Acceptance over each gap, summed.
    pub(crate) acceptance: Vec<f64>,
}

impl SwapTotals {
    /// Takes in a sweep.
    pub fn count(&mut self, swaps: &Swaps) {
        self.sweeps += 1;
        self.arrivals += swaps.arrivals;
        self.acceptance.resize(swaps.acceptance.len(), 0.0);
        self.acceptance.iter_mut().zip(&swaps.acceptance).for_each(|(sum, a)| *sum += a);
    }

    /// The acceptance over each gap, on average over the sweeps.
    pub fn acceptance(&self) -> Vec<f64> {
        let sweeps = self.sweeps.max(1) as f64;
        self.acceptance.iter().map(|sum| sum / sweeps).collect()
    }
}

impl Tempering {
    /// A ladder of `levels` evenly spaced inverse temperatures.
    ///
    /// # Errors
    ///
    /// With fewer than two.
    pub fn even(path: AnnealingPath, levels: usize) -> Result<Self> {
        if levels < 2 {
            let found = levels.to_string();
            return Err(Error::invalid("a ladder", "at least 2 inverse temperatures", found));
        }
        let last = levels - 1;
        Ok(Self { path, betas: (0..levels).map(|i| i as f64 / last as f64).collect() })
    }

    /// Replicas of `chains` chains that climb from β = 0: each level starts where the level below it stands after `steps`
    /// Gibbs steps at its own inverse temperature.
    ///
    /// # Errors
    ///
    /// When the machine does not fit the path.
    pub fn climb(
        &self,
        machine: &dyn Boltzmann,
        chains: usize,
        steps: usize,
        rng: &mut Rng,
    ) -> Result<Replicas> {
        let mut visible = self.path.sample_at_zero(machine, chains, rng)?;
        let mut levels = Vec::with_capacity(self.betas.len());
        for &beta in &self.betas {
            let betas = beta_column(machine, &vec![beta; chains])?;
            let mut chains = self.path.chains(machine, visible, &betas, rng)?;
            for _ in 0..steps {
                chains = self.path.step(machine, (&chains.visible, &chains.hidden), &betas, rng)?;
            }
            visible = chains.visible.clone();
            levels.push(visible.clone());
        }
        self.init(machine, Tensor::cat(&levels, 0)?, rng)
    }

    /// Replicas that stand on this ladder where `replicas` stand on that of `from`: each level takes those of the level with
    /// the nearest inverse temperature.
    ///
    /// # Errors
    ///
    /// When the machine does not fit the path.
    pub fn move_over(
        &self,
        machine: &dyn Boltzmann,
        from: &Self,
        replicas: &Replicas,
        rng: &mut Rng,
    ) -> Result<Replicas> {
        let chains = replicas.ends.len() / from.betas.len().max(1);
        let nearest = |beta: f64| -> usize {
            let distance = |i: &usize| (from.betas[*i] - beta).abs();
            (0..from.betas.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
        };
        let levels = self.betas.iter().map(|&beta| nearest(beta) * chains);
        let rows: Vec<u32> =
            levels.flat_map(|start| (start..start + chains).map(|row| row as u32)).collect();
        let rows = Tensor::new(rows, machine.device())?;
        self.init(machine, replicas.rows.visible.index_select(&rows, 0)?, rng)
    }

    /// The ladder of `levels` levels over which all gaps would be equally easy, as far as the acceptance over the present gaps
    /// can tell. Without `levels`, as many as make the acceptance `target` on average.
    pub fn respaced(&self, acceptance: &[f64], levels: Option<usize>, target: f64) -> Self {
        let rejection = acceptance.iter().map(|a| (1.0 - a).max(LEAST_REJECTION));
        let barrier: Vec<f64> = std::iter::once(0.0)
            .chain(rejection.scan(0.0, |sum, r| {
                *sum += r;
                Some(*sum)
            }))
            .collect();
        let height = barrier.last().copied().unwrap_or(0.0);
        let levels = levels.unwrap_or((height / (1.0 - target)).ceil() as usize + 1).max(2);
        let at = |height: f64| {
            let gap = barrier.windows(2).position(|pair| height <= pair[1]);
            let gap = gap.unwrap_or(barrier.len().saturating_sub(2));
            let share = (height - barrier[gap]) / (barrier[gap + 1] - barrier[gap]);
            self.betas[gap] + share * (self.betas[gap + 1] - self.betas[gap])
        };
        let mut betas: Vec<_> =
            (0..levels).map(|i| at(height * i as f64 / (levels - 1) as f64)).collect();
        (betas[0], betas[levels - 1]) = (0.0, 1.0);
        Self { path: self.path.clone(), betas }
    }

    /// The rows of the replicas at β = 1, `(chains, visible)`.
    ///
    /// # Errors
    ///
    /// When the replicas are of another ladder.
    pub fn top(&self, replicas: &Replicas) -> Result<Tensor> {
        let chains = replicas.ends.len() / self.betas.len();
        Ok(replicas.rows.visible.narrow(0, replicas.ends.len() - chains, chains)?)
    }

    /// The inverse temperature of each row, of the level `shift` above or below where there is one.
    fn column(&self, machine: &dyn Boltzmann, chains: usize, shift: isize) -> Result<Tensor> {
        let top = self.betas.len() - 1;
        let level = |i: usize| i.saturating_add_signed(shift).min(top);
        let betas: Vec<f64> =
            (0..=top).flat_map(|i| std::iter::repeat_n(self.betas[level(i)], chains)).collect();
        beta_column(machine, &betas)
    }
}

impl Kernel for Tempering {
    type State = Replicas;
    type Info = Swaps;

    /// Replicas at `visible`, `(levels · chains, visible)`, the rows of level 0 first.
    fn init(&self, machine: &dyn Boltzmann, visible: Tensor, rng: &mut Rng) -> Result<Replicas> {
        let (rows, levels) = (visible.dim(0)?, self.betas.len());
        if levels < 2 || rows == 0 || !rows.is_multiple_of(levels) {
            let expected = format!("the same number of rows for each of {levels} levels");
            return Err(Error::invalid("replicas", expected, format!("{rows} rows")));
        }
        let betas = self.column(machine, rows / levels, 0)?;
        let rows_of = self.path.chains(machine, visible, &betas, rng)?;
        Ok(Replicas { rows: rows_of, ends: vec![End::Neither; rows], steps: 0 })
    }

    fn step(
        &self,
        machine: &dyn Boltzmann,
        replicas: &mut Replicas,
        rng: &mut Rng,
    ) -> Result<Swaps> {
        let (levels, rows) = (self.betas.len(), replicas.ends.len());
        let chains = rows / levels;
        let betas = self.column(machine, chains, 0)?;
        let (visible, products) = self.path.reconstruct(
            machine,
            (&replicas.rows.visible, &replicas.rows.hidden),
            &betas,
            rng,
        )?;
        let above = self.column(machine, chains, 1)?;
        let below = self.column(machine, chains, -1)?;
        let levels_of = [&betas, &above, &below];
        let weights = self.path.log_weights(machine, &visible, &products, levels_of)?;
        let [own, above, below] = weights.map(|weights| to_host(&weights));
        let own = own?;
        let up = (above?.narrow(0, 0, rows - chains)? - own.narrow(0, 0, rows - chains)?)?;
        let down =
            (below?.narrow(0, chains, rows - chains)? - own.narrow(0, chains, rows - chains)?)?;
        let (up, down) = (up.to_vec1::<f64>()?, down.to_vec1::<f64>()?);
        let ratio: Vec<f64> = up.iter().zip(&down).map(|(up, down)| up + down).collect();
        let acceptance = ratio
            .chunks(chains)
            .map(|gap| gap.iter().map(|r| super::acceptance(*r)).sum::<f64>() / chains as f64)
            .collect();

        let chance = ops::uniform(rows, DType::F64, &Device::Cpu, rng)?.to_vec1::<f64>()?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        for gap in (replicas.steps % 2..levels - 1).step_by(2) {
            for row in gap * chains..(gap + 1) * chains {
                if chance[row].ln() < ratio[row] {
                    order.swap(row, row + chains);
                }
            }
        }
        let arrivals = replicas.arrange(&order, chains);
        let order = Tensor::new(order, machine.device())?;
        let visible = visible.index_select(&order, 0)?;
        let hidden_inputs = products.index_select(&order, 0)?;
        let hidden = self.path.sample_hidden(machine, &hidden_inputs, &betas, rng)?;
        replicas.rows = Chains { visible, hidden_inputs, hidden };
        replicas.steps += 1;
        Ok(Swaps { acceptance, arrivals, up, down })
    }
}

/// One replica for each level and chain; the rows of a level follow each other, level 0 (β = 0) first.
#[derive(Debug, Clone)]
pub struct Replicas {
    /// All replicas, `(levels · chains, …)`.
    pub rows: Chains,
    /// Which end of the ladder each replica was at last.
    pub ends: Vec<End>,
    /// Steps made: even ones try to swap levels 0 and 1, 2 and 3, …; odd ones 1 and 2, 3 and 4, ….
    pub steps: usize,
}

/// The end of the ladder where a replica was last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Neither yet.
    Neither = 0,
    /// β = 0, where every replica is drawn anew.
    Bottom = 1,
    /// β = 1, having been at β = 0 before.
    Top = 2,
}

impl End {
    /// The end that a state has written as `mark`.
    fn of(mark: u8) -> Option<Self> {
        [Self::Neither, Self::Bottom, Self::Top].into_iter().find(|end| *end as u8 == mark)
    }
}

impl Replicas {
    /// Lets the marks follow the replicas that have changed places, and counts those that arrive at β = 1 from β = 0.
    pub(super) fn arrange(&mut self, order: &[u32], chains: usize) -> usize {
        let mut ends: Vec<_> = order.iter().map(|&from| self.ends[from as usize]).collect();
        let rows = ends.len();
        ends[..chains].fill(End::Bottom);
        let mut arrivals = 0;
        for end in &mut ends[rows - chains..] {
            arrivals += usize::from(*end == End::Bottom);
            if *end == End::Bottom {
                *end = End::Top;
            }
        }
        self.ends = ends;
        arrivals
    }

    /// Everything as named tensors, which share storage with the living ones.
    pub fn state(&self) -> State {
        let Chains { visible, hidden_inputs, hidden } = &self.rows;
        let rows = [("visible", visible), ("hidden_inputs", hidden_inputs), ("hidden", hidden)];
        let ends: Vec<_> = self.ends.iter().map(|end| *end as u8).collect();
        rows.map(|(name, rows)| (name.to_owned(), rows.clone()))
            .into_iter()
            .chain(numbers("ends", &ends))
            .chain(counts("steps", &[self.steps]))
            .collect()
    }

    /// The way back from [`Replicas::state`].
    ///
    /// # Errors
    ///
    /// When a tensor is missing, or there are not as many marks as replicas.
    pub fn restored(state: &State) -> Result<Self> {
        let rows = Chains {
            visible: get(state, "visible")?,
            hidden_inputs: get(state, "hidden_inputs")?,
            hidden: get(state, "hidden")?,
        };
        let marks: Vec<u8> = get_numbers(state, "ends")?;
        let ends: Vec<_> = marks.iter().filter_map(|mark| End::of(*mark)).collect();
        let count = |tensor: &Tensor| tensor.dims().first().copied();
        let all = [&rows.visible, &rows.hidden_inputs, &rows.hidden];
        if ends.len() != marks.len() || all.iter().any(|tensor| count(tensor) != Some(ends.len())) {
            let found = format!("{} ends of {} marks", ends.len(), marks.len());
            let expected = format!("one for each of {:?}", all.map(count));
            return Err(Error::invalid("replicas", expected, found));
        }
        let [steps] = get_counts(state, "steps")?;
        Ok(Self { rows, ends, steps })
    }
}
