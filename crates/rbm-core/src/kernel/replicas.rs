//! The replicas of parallel tempering: where they stand, and which end of the ladder they come from.

use candle_core::Tensor;

use super::Chains;
use crate::state::{State, counts, numbers, take, take_counts, take_numbers};
use crate::{Error, Result};

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

    /// The way back from [`Replicas::state`]. Errors when a tensor is missing, or there are not as many marks as replicas.
    pub fn restored(state: &State) -> Result<Self> {
        let rows = Chains {
            visible: take(state, "visible")?,
            hidden_inputs: take(state, "hidden_inputs")?,
            hidden: take(state, "hidden")?,
        };
        let marks: Vec<u8> = take_numbers(state, "ends")?;
        let ends: Vec<_> = marks.iter().filter_map(|mark| End::of(*mark)).collect();
        let count = |tensor: &Tensor| tensor.dims().first().copied();
        let all = [&rows.visible, &rows.hidden_inputs, &rows.hidden];
        if ends.len() != marks.len() || all.iter().any(|tensor| count(tensor) != Some(ends.len())) {
            let found = format!("{} ends of {} marks", ends.len(), marks.len());
            let expected = format!("one for each of {:?}", all.map(count));
            return Err(Error::invalid("replicas", expected, found));
        }
        let [steps] = take_counts(state, "steps")?;
        Ok(Self { rows, ends, steps })
    }
}
