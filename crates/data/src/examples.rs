//! A part of a data set: cases as rows, and the class of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use rbm_core::{Batches, Error, Result, Rows, rows};

use crate::columns::Columns;
use crate::encoding::{Binarise, Encoding};
use crate::matrix::place;
use crate::view::View;

/// The part of a data set: cases as rows, and their classes if known.
#[derive(Debug, Clone)]
pub struct Examples {
    /// The cases, `(n, width)`.
    pub cases: View,
    /// The class of each case, from 0; `n` of them.
    pub labels: Option<Vec<u32>>,
    /// What each case is called, where the source says it; `n` of them.
    pub names: Option<Arc<[String]>>,
    /// How much each case counts, where not all count as much; `n` of them, above 0.
    pub weights: Option<Arc<[f32]>>,
    /// What is to be predicted of each case, a measurement; `n` of them.
    pub targets: Option<Vec<f32>>,
}

impl Examples {
    /// `cases` `(n, width)`, brought to `f32` on the CPU, with `n` labels or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `cases` is not a matrix or the labels are not `n`.
    pub fn new(cases: Tensor, labels: Option<Vec<u32>>) -> Result<Self> {
        Self::of(View::of(&cases)?, labels)
    }

    /// `cases` with a label each, or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the labels are not as many as the cases.
    pub fn of(cases: View, labels: Option<Vec<u32>>) -> Result<Self> {
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
    /// As [`Examples::select`].
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
    /// As [`View::joined`].
    pub fn joined(first: &Self, second: &Self) -> Result<Self> {
        let labels = joined(first.labels.as_deref(), second.labels.as_deref());
        let targets = joined(first.targets.as_deref(), second.targets.as_deref());
        let names = joined(first.names.as_deref(), second.names.as_deref()).map(Arc::from);
        let weights = joined(first.weights.as_deref(), second.weights.as_deref()).map(Arc::from);
        let part = Self::of(View::joined(&first.cases, &second.cases)?, labels)?;
        Ok(Self { targets, names, weights, ..part })
    }

    /// Encodes the cases of this part of the source `name`. Errors for the first value that the encoding is not for.
    pub(crate) fn encode(&mut self, name: &str, encoding: Encoding) -> Result<()> {
        match &encoding {
            Encoding::Above(_) | Encoding::Divided(_) => {}
            // Where values may be missing, what is no category is taken for missing.
            Encoding::Columns(columns) if !self.cases.may_miss() => {
                columns.check(name, &self.cases)?;
            }
            Encoding::Columns(_) => {}
            Encoding::Drawn(_) => {
                let expected =
                    "a value in [0, 1] to draw bits by (divide by the maximum with --scale)";
                self.check_values(name, 0.0, 1.0, expected)?;
            }
            Encoding::OneHot(states) => check_codes(name, self, *states)?,
        }
        self.cases = self.cases.encoded(encoding);
        Ok(())
    }

    /// Errors for the first value outside [low, high] or not a number, by its place in the source `name`.
    pub(crate) fn check_values(
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
        for block in rows::blocks(&self.cases) {
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
    part: &Examples,
    low: f32,
    high: f32,
    units: &str,
) -> Result<()> {
    let expected = format!(
        "a value in [{low}, {high}] for {units} units (divide by the maximum with --scale, or choose Gaussian units)"
    );
    part.check_values(path_or_name, low, high, &expected)
}

/// The values of cases whose numbers `(rows, columns)` are as their file has them: divided by `scale`, then the categories of
/// `columns` or the codes of `one_hot` states as zeros and a one, or zeros and ones as `binarise` says.
///
/// # Errors
///
/// [`Error::Invalid`] for numbers that this is not for, and for bits that are drawn: these follow from a case's place in its file.
pub fn encoded(
    numbers: &Tensor,
    scale: f32,
    columns: Option<&Arc<Columns>>,
    one_hot: Option<usize>,
    binarise: Binarise,
) -> Result<Tensor> {
    if let Binarise::Sample(_) = binarise {
        let expected = "none or a threshold (read the file with candle_dbn_data::load, or leave the probabilities undrawn)";
        return Err(Error::invalid("binarise", expected, binarise.to_string()));
    }
    let source = "the data";
    let mut part = Examples::new(numbers.clone(), None)?;
    if scale != 1.0 {
        part.encode(source, Encoding::Divided(scale))?;
    }
    match columns.filter(|columns| !columns.is_plain()) {
        Some(columns) if part.width() != columns.0.len() => {
            let expected = format!("{} numbers a case, one a column", columns.0.len());
            return Err(Error::invalid(source, expected, part.width().to_string()));
        }
        Some(columns) => part.encode(source, Encoding::Columns(columns.clone()))?,
        None => {
            if let Some(states) = one_hot {
                part.encode(source, Encoding::OneHot(states))?;
            } else if let Binarise::Threshold(threshold) = binarise {
                part.encode(source, Encoding::Above(threshold))?;
            }
        }
    }
    part.cases.tensor()
}

fn check_codes(name: &str, part: &Examples, states: usize) -> Result<()> {
    let is_code = |x: &f32| x.is_nan() || x.fract() == 0.0 && (0.0..states as f32).contains(x);
    let mut start = 0;
    for block in rows::blocks(&part.cases) {
        let values = block?.flatten_all()?.to_vec1::<f32>()?;
        let width = part.cases.width();
        if let Some(at) = values.iter().position(|x| !is_code(x)) {
            let expected = format!("a code: a whole number from 0 to {}", states - 1);
            let place = place(start + at / width, at % width);
            return Err(Error::file(name, place, expected, values[at].to_string()));
        }
        start += values.len() / width;
    }
    Ok(())
}
