//! A data set: its parts, and what is known of it.

use std::sync::Arc;

use candle_core::Tensor;
use rbm_core::{Error, Result};

use crate::alphabet::Alphabet;
use crate::columns::Columns;
use crate::examples::Examples;
use crate::labels;

/// A data set as it was read.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The source's own name, or that of its file or folder, without its ending.
    pub name: String,
    /// The cases to learn from.
    pub train: Examples,
    /// The cases that the source itself sets apart for validation (`NAME.valid.data`).
    pub validation: Option<Examples>,
    /// The cases that the source itself sets apart for testing (`NAME.test.data`, the `t10k` files of an IDX folder); else
    /// see [`Dataset::parts`].
    pub held_out: Option<Examples>,
    /// Whether the cases are sparse rows of whole numbers of which some are above 1: counts.
    pub is_counts: bool,
    /// Whether the cases are all there are, and not a sample of them: nothing is held out then.
    pub is_population: bool,
    /// The number of classes, one more than the largest label; `None` where there are no labels.
    pub classes: Option<usize>,
    /// What the classes are called, one name each; `None` where they are called by their numbers.
    pub class_names: Option<Vec<String>>,
    /// What the column of the labels is called, if there is one.
    pub label: Option<String>,
    /// What the column of the target is called, if there is one.
    pub target: Option<String>,
    /// What the columns hold, where they have names or were told apart.
    pub columns: Option<Arc<Columns>>,
    /// What every number of the source was divided by.
    pub scale: f32,
    /// What the indices of sparse rows count from.
    pub first_index: Option<u32>,
    /// Height and width in pixels, where the source says that its cases are pictures.
    pub image: Option<(usize, usize)>,
    /// The letters of the states, where the cases are aligned sequences.
    pub alphabet: Option<Alphabet>,
    /// What was guessed, left out or converted while reading, a sentence each: whoever reads says it once.
    pub notes: Vec<String>,
}

impl Dataset {
    /// The cases `train` to learn from, without a name, and nothing else.
    pub fn of(train: Examples) -> Self {
        Self {
            name: String::new(),
            train,
            validation: None,
            held_out: None,
            is_counts: false,
            is_population: false,
            classes: None,
            class_names: None,
            label: None,
            target: None,
            columns: None,
            scale: 1.0,
            first_index: None,
            image: None,
            alphabet: None,
            notes: Vec::new(),
        }
    }

    /// The cases `(n, width)`, or pictures `(n, height, width)`, to learn from, and their `labels` `(n,)`, whole numbers, if they have
    /// any. They stay in memory, as `f32` on the CPU. Held-out cases of one's own are a field: [`Dataset::held_out`]; otherwise a
    /// training sets some apart.
    ///
    /// ```
    /// use candle_core::Tensor;
    /// use candle_dbn_data::{Dataset, Examples};
    ///
    /// let device = candle_core::Device::Cpu;
    /// let train = Tensor::new(&[[0f32, 1.0], [1.0, 0.0], [1.0, 1.0]], &device)?;
    /// let labels = Tensor::new(&[0u32, 1, 1], &device)?;
    /// let test = Examples::new(Tensor::new(&[[0f32, 0.0]], &device)?, Some(vec![0]))?;
    /// let data = Dataset { held_out: Some(test), ..Dataset::from_tensors(&train, Some(&labels))? };
    /// assert_eq!((data.train.len(), data.classes), (3, Some(2)));
    /// # Ok::<(), rbm_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for other shapes, and for numbers that are not finite: what is missing has no place in a tensor (fill it in, or
    /// read a file).
    pub fn from_tensors(cases: &Tensor, labels: Option<&Tensor>) -> Result<Self> {
        let (cases, image) = match *cases.dims() {
            [count, height, width] => {
                (cases.reshape((count, height * width))?, Some((height, width)))
            }
            _ => (cases.clone(), None),
        };
        let labels = labels.map(labels::of_tensor).transpose()?;
        let (labels, mut class_names) = match labels {
            Some((labels, names)) => (Some(labels), names),
            None => (None, None),
        };
        let mut train = Examples::new(cases, labels)?;
        if train.is_empty() || train.width() == 0 {
            let found = format!("{} of {} values", train.len(), train.width());
            return Err(Error::invalid("cases", "at least one with a value", found));
        }
        let expected = "finite numbers (what is missing: fill it in, or read a file)";
        let (low, high) = (f32::MIN, f32::MAX);
        train.check_values("cases", low, high, expected).map_err(|error| match error {
            Error::File { place, expected, found, .. } => {
                Error::invalid(format!("cases: {place}"), expected, found)
            }
            other => other,
        })?;
        let mut notes = Vec::new();
        if let (Some(labels), None) = (&mut train.labels, &class_names) {
            class_names = labels::compact(&mut [labels], &mut notes);
        }
        let largest = train.labels.iter().flatten().max();
        let classes = largest.map(|&largest| largest as usize + 1);
        Ok(Self { name: "tensors".into(), classes, class_names, image, notes, ..Self::of(train) })
    }

    /// All parts: those to learn from, held out and for validation, as far as there are any.
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Examples> {
        let others = [self.held_out.as_mut(), self.validation.as_mut()];
        std::iter::once(&mut self.train).chain(others.into_iter().flatten())
    }
}
