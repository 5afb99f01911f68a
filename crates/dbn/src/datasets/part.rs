//! A part of a data set: cases as rows, and the class of each.

use candle_core::Tensor;
use rbm_core::{Error, Result, Rows, data};

use super::encoding::Encoding;
use super::stored::place;
use super::{Cases, Options};

/// The part of a data set: cases as rows, and their classes if known.
#[derive(Debug, Clone)]
pub struct Part {
    /// The cases, `(n, width)`.
    pub cases: Cases,
    /// The class of each case, from 0; `n` of them.
    pub labels: Option<Vec<u32>>,
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
        Ok(Self { cases, labels, targets: None })
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

    /// The cases `indices`, from 0 and in the order given, with their labels. No case is copied.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `indices` is empty or names a case that there is not.
    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        let cases = self.cases.select(indices)?;
        let labels = self.labels.as_ref().map(|labels| chosen(labels, indices));
        let targets = self.targets.as_ref().map(|targets| chosen(targets, indices));
        Ok(Self { targets, ..Self::of(cases, labels)? })
    }

    /// The cases of `first`, then those of `second`, with their labels where both have some.
    ///
    /// # Errors
    ///
    /// As [`Cases::joined`].
    pub fn joined(first: &Self, second: &Self) -> Result<Self> {
        let labels = joined(&first.labels, &second.labels);
        let targets = joined(&first.targets, &second.targets);
        let part = Self::of(Cases::joined(&first.cases, &second.cases)?, labels)?;
        Ok(Self { targets, ..part })
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

fn chosen<T: Copy>(of: &[T], indices: &[u32]) -> Vec<T> {
    indices.iter().filter_map(|&index| of.get(index as usize).copied()).collect()
}

fn joined<T: Clone>(first: &Option<Vec<T>>, second: &Option<Vec<T>>) -> Option<Vec<T>> {
    Some([first.as_deref()?, second.as_deref()?].concat())
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
