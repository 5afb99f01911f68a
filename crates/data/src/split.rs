//! Setting cases apart for testing, by the data alone.

use std::collections::BTreeMap;

use rbm_core::{Batches, Error, Result, Rng};

use crate::dataset::Dataset;
use crate::examples::Examples;

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
