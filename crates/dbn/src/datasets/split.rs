//! Setting cases apart for testing, by the data alone.

use std::collections::BTreeMap;

use rbm_core::{Error, Result};

use super::Part;

/// `part` without, and only, every `one_in`-th case of each class (of all cases where there are no labels), both in the
/// order of the data: the last of each whole group of `one_in` is held out. No seed is involved, so that everybody who has
/// the data has the same split.
///
/// # Errors
///
/// [`Error::Invalid`] where `one_in` is below 2, or larger than every class, so that nothing would be held out.
pub fn hold_out(part: &Part, one_in: usize) -> Result<(Part, Part)> {
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

/// [`hold_out`] where it can be done; where `one_in` is below 2, or no class has so many cases, all of them stay together.
pub fn split(part: Part, one_in: usize) -> Result<(Part, Option<Part>)> {
    let mut sizes: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    for case in 0..part.len() {
        let class = part.labels.as_ref().and_then(|labels| labels.get(case)).copied();
        *sizes.entry(class).or_insert(0) += 1;
    }
    if one_in < 2 || sizes.values().all(|&size| size < one_in) {
        return Ok((part, None));
    }
    let (rest, held_out) = hold_out(&part, one_in)?;
    Ok((rest, Some(held_out)))
}
