//! A data set: its parts, what is known of it, and which cases are set apart for testing.
//!
//! A part has cases as rows, and the class of each. Which cases are set apart follows from the data alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use rbm_core::{Batches, Error, Result, Rng, Rows, rows};

use crate::alphabet::Alphabet;
use crate::columns::Columns;
use crate::encoding::{Binarise, Encoding};
use crate::labels;
use crate::matrix::place;
use crate::view::View;

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

/// A data set as a training takes it.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What is learned from.
    pub train: Examples,
    /// What decides between trainings, and when to stop.
    pub validation: Option<Examples>,
    /// What no decision sees.
    pub held_out: Option<Examples>,
}

impl Dataset {
    /// The parts that the source itself sets apart; where it does not, every `hold_out_one_in`-th case (of each class) is held
    /// out, and every `validate_one_in`-th of the others is for validation, if any. Of a population, all cases are learned from.
    ///
    /// # Errors
    ///
    /// As [`hold_out`].
    pub fn parts(
        self,
        hold_out_one_in: Option<usize>,
        validate_one_in: Option<usize>,
    ) -> Result<Parts> {
        let Self { train, validation, held_out, is_population, .. } = self;
        if is_population {
            return Ok(Parts { train, validation: None, held_out: None });
        }
        let (train, held_out) = match held_out {
            Some(held_out) => (train, Some(held_out)),
            None => split(train, hold_out_one_in)?,
        };
        let (train, validation) = match validation {
            Some(validation) => (train, Some(validation)),
            None => split(train, validate_one_in)?,
        };
        Ok(Parts { train, validation, held_out })
    }
}

impl Parts {
    /// The same, where the cases for validation are learned from too.
    ///
    /// # Errors
    ///
    /// As [`Examples::joined`].
    pub fn learning_all(self) -> Result<Self> {
        let train = match &self.validation {
            Some(validation) => Examples::joined(&self.train, validation)?,
            None => self.train,
        };
        Ok(Self { train, validation: None, held_out: self.held_out })
    }
}

/// `part` without, and only, every `one_in`-th case of each class (of all cases where there are no labels), both in the
/// order of the data: the last of each whole group of `one_in` is held out. No seed is involved, so that everybody who has
/// the data has the same split.
///
/// ```
/// let digits = candle_dbn_data::load("digits", &Default::default())?;
/// let (train, test) = candle_dbn_data::hold_out(&digits.train, 5)?;
/// assert_eq!((train.len(), test.len()), (1442, 355));
/// # Ok::<(), rbm_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] where `one_in` is below 2, or larger than every class, so that nothing would be held out.
pub fn hold_out(part: &Examples, one_in: usize) -> Result<(Examples, Examples)> {
    if one_in < 2 {
        return Err(Error::invalid(
            "one_in",
            "at least 2, so that cases are left to learn from",
            one_in.to_string(),
        ));
    }
    let mut seen = BTreeMap::new();
    let mut kept = Vec::new();
    let mut held_out = Vec::new();
    for case in 0..part.len() {
        let class = part.labels.as_ref().and_then(|labels| labels.get(case));
        let count = seen.entry(class).or_insert(0);
        *count += 1;
        if *count % one_in == 0 { held_out.push(case as u32) } else { kept.push(case as u32) }
    }
    if held_out.is_empty() {
        let largest = seen.values().max().copied().unwrap_or(0);
        let expected = format!("at most {largest}, the number of cases in the largest class");
        return Err(Error::invalid("one_in", expected, one_in.to_string()));
    }
    Ok((part.select(&kept)?, part.select(&held_out)?))
}

/// The numbers of `count` of the cases with these `labels`, in rising order, as many of each class as of any other as far as
/// they go: what is left over, and what a class has too few of, are random cases of the other classes.
///
/// # Errors
///
/// [`Error::Invalid`] where there are fewer cases than `count`.
pub fn choose_balanced(labels: &[u32], count: usize, rng: &mut Rng) -> Result<Vec<u32>> {
    if count > labels.len() {
        let expected = format!("at most the {} training cases", labels.len());
        return Err(Error::invalid("cases to learn from", expected, count.to_string()));
    }
    let order = Batches::new(labels.len(), 1).shuffled(rng);
    let order: Vec<u32> = order.indices().flatten().copied().collect();
    let mut seen = BTreeMap::new();
    // The first cases of every class, then the second ones, and so on; within each in random order.
    let turn = |case: &u32| {
        let turn = seen.entry(labels[*case as usize]).or_insert(0usize);
        *turn += 1;
        *turn
    };
    let turns: Vec<_> = order.iter().map(turn).collect();
    let mut chosen: Vec<_> = turns.into_iter().zip(order).collect();
    chosen.sort_by_key(|(turn, _)| *turn);
    let mut chosen: Vec<_> = chosen.into_iter().take(count).map(|(_, case)| case).collect();
    chosen.sort_unstable();
    Ok(chosen)
}

/// [`hold_out`] where it can be done: where `one_in` is none, or no class has so many cases, all of them stay together.
///
/// # Errors
///
/// As [`hold_out`].
pub fn split(part: Examples, one_in: Option<usize>) -> Result<(Examples, Option<Examples>)> {
    let Some(one_in) = one_in else { return Ok((part, None)) };
    let mut sizes: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    for case in 0..part.len() {
        let class = part.labels.as_ref().and_then(|labels| labels.get(case)).copied();
        *sizes.entry(class).or_insert(0) += 1;
    }
    if sizes.values().all(|&size| size < one_in) {
        return Ok((part, None));
    }
    let (rest, held_out) = hold_out(&part, one_in)?;
    Ok((rest, Some(held_out)))
}
