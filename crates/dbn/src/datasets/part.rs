//! A part of a data set: cases as rows, and the class of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use rbm_core::{Batches, Error, Result, Rows, data};

use super::encoding::Encoding;
use super::stored::place;
use super::weights::{self, Weights};
use super::{Cases, Options};

/// The part of a data set: cases as rows, and their classes if known.
#[derive(Debug, Clone)]
pub struct Part {
    /// The cases, `(n, width)`.
    pub cases: Cases,
    /// The class of each case, from 0; `n` of them.
    pub labels: Option<Vec<u32>>,
    /// What each case is called, where the source says it; `n` of them.
    pub names: Option<Arc<[String]>>,
    /// How much each case counts, where not all count as much; `n` of them, above 0.
    pub weights: Option<Arc<[f32]>>,
    /// What is to be predicted of each case, a measurement; `n` of them.
    pub targets: Option<Vec<f32>>,
}

impl Part {
    /// `cases` `(n, width)`, brought to `f32` on the CPU, with `n` labels or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `cases` is not a matrix or the labels are not `n`.
    pub fn new(cases: Tensor, labels: Option<Vec<u32>>) -> Result<Self> {
        Self::of(Cases::of(&cases)?, labels)
    }

    /// `cases` with a label each, or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the labels are not as many as the cases.
    pub fn of(cases: Cases, labels: Option<Vec<u32>>) -> Result<Self> {
        if let Some(labels) = &labels
            && labels.len() != cases.count()
        {
            let expected = format!("one for each of {} cases", cases.count());
            return Err(Error::invalid("labels", expected, format!("{} labels", labels.len())));
        }
        Ok(Self { cases, labels, targets: None, names: None, weights: None })
    }

    /// The number of cases.
    pub fn len(&self) -> usize {
        self.cases.count()
    }

    /// Whether there is no case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values of a case.
    pub fn width(&self) -> usize {
        self.cases.width()
    }

    /// The cases `indices`, from 0 and in the order given, with their labels, names and weights. No case is copied.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `indices` is empty or names a case that there is not.
    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        let cases = self.cases.select(indices)?;
        let labels = self.labels.as_ref().map(|labels| chosen(labels, indices));
        let targets = self.targets.as_ref().map(|targets| chosen(targets, indices));
        let names = self.names.as_ref().map(|names| chosen(names, indices).into());
        let weights = self.weights.as_ref().map(|weights| chosen(weights, indices).into());
        Ok(Self { targets, names, weights, ..Self::of(cases, labels)? })
    }

    /// At most `most` of the cases, in their order: the first of each class, as many of each as can be; where there are no labels,
    /// from all over them, evenly.
    ///
    /// # Errors
    ///
    /// As [`Part::select`].
    pub fn limited(&self, most: usize) -> Result<Self> {
        let count = self.len();
        if most >= count {
            return Ok(self.clone());
        }
        let Some(labels) = &self.labels else {
            let evenly = (0..most).map(|i| (i as u64 * count as u64 / most as u64) as u32);
            return self.select(&evenly.collect::<Vec<_>>());
        };
        let mut seen = BTreeMap::new();
        let mut ranks: Vec<(u32, u32)> = Vec::with_capacity(count);
        for (case, label) in (0..).zip(labels) {
            let rank: &mut u32 = seen.entry(*label).or_default();
            ranks.push((*rank, case));
            *rank += 1;
        }
        ranks.sort_unstable();
        let mut chosen: Vec<_> = ranks.iter().take(most).map(|(_, case)| *case).collect();
        chosen.sort_unstable();
        self.select(&chosen)
    }

    /// The numbers of `count` cases that stand for all of them: from all over them, evenly, and where not all count as much, as
    /// often as they count. A mean over these is one over all.
    pub fn representative(&self, count: usize) -> Vec<u32> {
        match &self.weights {
            None => self.cases.spread(count),
            Some(weights) => Batches::drawn(weights, count.min(self.len()), 1, 0.5)
                .indices()
                .flatten()
                .copied()
                .collect(),
        }
    }

    /// The cases of `first`, then those of `second`, with their labels, names and weights where both have some.
    ///
    /// # Errors
    ///
    /// As [`Cases::joined`].
    pub fn joined(first: &Self, second: &Self) -> Result<Self> {
        let labels = joined(first.labels.as_deref(), second.labels.as_deref());
        let targets = joined(first.targets.as_deref(), second.targets.as_deref());
        let names = joined(first.names.as_deref(), second.names.as_deref()).map(Arc::from);
        let weights = joined(first.weights.as_deref(), second.weights.as_deref()).map(Arc::from);
        let part = Self::of(Cases::joined(&first.cases, &second.cases)?, labels)?;
        Ok(Self { targets, names, weights, ..part })
    }

    /// Encodes the cases of this part, the one with this number of the source `name`. Errors for the first value that the
    /// encoding is not for.
    pub(super) fn encode(&mut self, name: &str, options: &Options, number: u64) -> Result<()> {
        match Encoding::of(options, number) {
            Some(encoding) => self.apply(name, encoding),
            None => Ok(()),
        }
    }

    /// Encodes the cases of this part of the source `name`. Errors for the first value that the encoding is not for.
    pub(super) fn apply(&mut self, name: &str, encoding: Encoding) -> Result<()> {
        encoding.check(name, self)?;
        self.cases = self.cases.encoded(encoding);
        Ok(())
    }

    /// Gives every case the weight that `options` ask for, by the codes that it has in the source; says in `notes` what all come to.
    pub(super) fn weigh(&mut self, options: &Options, notes: &mut Vec<String>) -> Result<()> {
        let Some(states) = options.one_hot.filter(|_| options.weights != Weights::None) else {
            return Ok(());
        };
        let plain = Self { cases: self.cases.plain(), ..self.clone() };
        if let Some(weights) = options.weights.of(&plain, states)? {
            notes.push(format!(
                "weights {}: {} cases are worth {:.1} (M_eff)",
                options.weights,
                self.len(),
                weights::effective(&weights)
            ));
            self.weights = Some(weights.into());
        }
        Ok(())
    }

    /// Errors for the first value outside [low, high] or not a number, by its place in the source `name`.
    pub(super) fn check_values(
        &self,
        name: &str,
        low: f32,
        high: f32,
        expected: &str,
    ) -> Result<()> {
        let may_miss = self.cases.may_miss();
        let is_inside = |&x: &f32| (low..=high).contains(&x) || may_miss && x.is_nan();
        let extent = self.cases.extent();
        if extent.is_some_and(|(lowest, highest)| is_inside(&lowest) && is_inside(&highest)) {
            return Ok(());
        }
        let mut start = 0;
        for block in data::blocks(&self.cases) {
            let values = block?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(at) = values.iter().position(|x| !is_inside(x)) {
                let place = place(start + at / self.width(), at % self.width());
                return Err(Error::file(name, place, expected, values[at].to_string()));
            }
            start += values.len() / self.width().max(1);
        }
        Ok(())
    }
}

/// Those with these numbers, as far as there are any.
fn chosen<T: Clone>(of: &[T], indices: &[u32]) -> Vec<T> {
    indices.iter().filter_map(|&index| of.get(index as usize).cloned()).collect()
}

/// Those of both parts, where both have some.
fn joined<T: Clone>(first: Option<&[T]>, second: Option<&[T]>) -> Option<Vec<T>> {
    Some([first?, second?].concat())
}

/// Checks that every value of `part` is in `[low, high]`, as `units` ("Bernoulli") need it; `path_or_name` is the source.
///
/// # Errors
///
/// [`Error::File`] for the first value outside or not a number, naming its case and its place in it, both from 1.
pub fn check_range(
    path_or_name: &str,
    part: &Part,
    low: f32,
    high: f32,
    units: &str,
) -> Result<()> {
    let expected = format!(
        "a value in [{low}, {high}] for {units} units (divide by the maximum with --scale, or choose Gaussian units)"
    );
    part.check_values(path_or_name, low, high, &expected)
}
