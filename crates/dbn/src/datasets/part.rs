//! A part of a data set: cases as rows, and the class of each.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result};

/// The part of a data set: cases as rows, and their classes if known.
#[derive(Debug, Clone)]
pub struct Part {
    /// The cases, `(n, width)`, `f32`, on the CPU.
    pub cases: Tensor,
    /// The class of each case, from 0; `n` of them.
    pub labels: Option<Vec<u32>>,
}

impl Part {
    /// `cases` `(n, width)`, brought to `f32` on the CPU, with `n` labels or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `cases` is not a matrix or the labels are not `n`.
    pub fn new(cases: Tensor, labels: Option<Vec<u32>>) -> Result<Self> {
        let &[rows, _] = cases.dims() else {
            return Err(Error::invalid(
                "cases",
                "a matrix (n, width)",
                format!("shape {:?}", cases.dims()),
            ));
        };
        if let Some(labels) = &labels
            && labels.len() != rows
        {
            let expected = format!("one for each of {rows} cases");
            return Err(Error::invalid("labels", expected, format!("{} labels", labels.len())));
        }
        let cases = cases.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Self { cases, labels })
    }

    /// The number of cases.
    pub fn len(&self) -> usize {
        self.cases.dims().first().copied().unwrap_or(0)
    }

    /// Whether there is no case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values of a case.
    pub fn width(&self) -> usize {
        self.cases.dims().get(1).copied().unwrap_or(0)
    }

    /// The cases `indices`, from 0 and in the order given, with their labels.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `indices` is empty or names a case that there is not.
    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        let cases = self.len();
        if indices.is_empty() {
            return Err(Error::invalid("indices", "at least one", "none"));
        }
        if let Some(index) = indices.iter().find(|&&index| index as usize >= cases) {
            return Err(Error::invalid(
                "index",
                format!("below {cases}, the number of cases"),
                index.to_string(),
            ));
        }
        let rows = Tensor::new(indices, self.cases.device())?;
        let labels = self.labels.as_ref().map(|labels| {
            indices.iter().filter_map(|&index| labels.get(index as usize).copied()).collect()
        });
        Self::new(self.cases.index_select(&rows, 0)?, labels)
    }
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
    for case in 0..part.len() {
        let values = part.cases.get(case)?.to_vec1::<f32>()?;
        if let Some(value) = values.iter().position(|x| !(low..=high).contains(x)) {
            let expected = format!(
                "a value in [{low}, {high}] for {units} units (divide by the maximum with --scale, or choose Gaussian units)"
            );
            return Err(Error::file(
                path_or_name,
                place(case, value),
                expected,
                values[value].to_string(),
            ));
        }
    }
    Ok(())
}

/// The matrix `(n, width)` of `values`, row after row, each divided by `scale`; at least one row and one column.
pub(super) fn matrix(
    path: &Path,
    mut values: Vec<f32>,
    width: usize,
    scale: Option<f32>,
) -> Result<Tensor> {
    if values.is_empty() || width == 0 {
        return Err(Error::file(path, "cases", "at least one case of at least one value", "none"));
    }
    if let Some(scale) = scale {
        values.iter_mut().for_each(|x| *x /= scale);
    }
    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
        let found = values[at].to_string();
        return Err(Error::file(path, place(at / width, at % width), "a finite number", found));
    }
    let shape = (values.len() / width, width);
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

fn place(case: usize, value: usize) -> String {
    format!("case {}, value {}", case + 1, value + 1)
}
