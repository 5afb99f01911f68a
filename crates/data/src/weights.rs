//! How much each case counts: sequences of one family are not drawn independently of each other.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use rbm_core::{Error, Result, rows};
use serde::{Deserialize, Serialize};

use crate::dataset::Examples;

const FORMS: &str = "none, or identity:SHARE with a share above 0 and at most 1, as identity:0.8";
/// How many columns are compared before what is equal in them is added up: as many as a byte can count.
const COMPARED: usize = 255;

/// How much each case counts. As text `none` or `identity:0.8`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Weights {
    /// All as much.
    #[default]
    None,
    /// One over the number of cases, itself among them, that have the same code as it in at least this share of the columns: 0.8 for
    /// alignments (Morcos et al. 2011).
    Identity(f64),
}

impl Weights {
    /// Gives every case of `part`, codes of so many `states` in the source, its weight; says in `notes` what all come to.
    pub(crate) fn give_to(
        self,
        part: &mut Examples,
        states: usize,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        if self == Self::None {
            return Ok(());
        }
        let plain = Examples { cases: part.cases.plain(), ..part.clone() };
        if let Some(weights) = self.of(&plain, states)? {
            notes.push(format!(
                "weights {self}: {} cases are worth {:.1} (M_eff)",
                part.len(),
                effective(&weights)
            ));
            part.weights = Some(weights.into());
        }
        Ok(())
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Identity(share) => write!(f, "identity:{share}"),
        }
    }
}

impl FromStr for Weights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let share = text.strip_prefix("identity:").and_then(|share| share.parse::<f64>().ok());
        match share.filter(|share| *share > 0.0 && *share <= 1.0) {
            Some(share) => Ok(Self::Identity(share)),
            None if text == "none" => Ok(Self::None),
            None => Err(Error::invalid("weights", FORMS, format!("{text:?}"))),
        }
    }
}

impl TryFrom<String> for Weights {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Weights> for String {
    fn from(weights: Weights) -> Self {
        weights.to_string()
    }
}

impl Weights {
    /// The weight of each case of `part`, whose values are codes: whole numbers below `states`. None where all count as much.
    pub(crate) fn of(self, part: &Examples, states: usize) -> Result<Option<Vec<f32>>> {
        let Self::Identity(share) = self else { return Ok(None) };
        let width = part.width().max(1);
        let least = least_equal(width, share);
        Ok(Some(match states <= 1 << 8 {
            true => weigh(&codes::<u8>(part, |x| x as u8)?, width, least),
            false => weigh(&codes::<u16>(part, |x| x as u16)?, width, least),
        }))
    }
}

/// In how many of `width` columns two cases must agree.
fn least_equal(width: usize, share: f64) -> usize {
    // 0.8 · 10 is 8 in ten columns, whatever its rounding.
    (share * width as f64 - 1e-9).ceil().max(0.0) as usize
}

/// All values of the part, row after row.
fn codes<T>(part: &Examples, read: impl Fn(f32) -> T) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(part.len() * part.width());
    for block in rows::blocks(&part.cases) {
        all.extend(block?.flatten_all()?.to_vec1::<f32>()?.into_iter().map(&read));
    }
    Ok(all)
}

/// One over how many rows agree with each row in at least `least` columns. Every pair is looked at, by all threads: n²·width
/// comparisons.
fn weigh<T: PartialEq + Sync>(codes: &[T], width: usize, least: usize) -> Vec<f32> {
    let neighbours = |row: &[T]| {
        codes.chunks_exact(width).filter(|other| count_equal(row, other) >= least).count()
    };
    codes.par_chunks_exact(width).map(|row| 1.0 / neighbours(row).max(1) as f32).collect()
}

fn count_equal<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let pieces = a.chunks(COMPARED).zip(b.chunks(COMPARED));
    let equal = pieces.map(|(a, b)| {
        let one = |(a, b): (&T, &T)| u8::from(a == b);
        usize::from(a.iter().zip(b).map(one).fold(0u8, u8::wrapping_add))
    });
    equal.sum()
}

/// The sum of the weights: how many independent cases they are worth.
pub(crate) fn effective(weights: &[f32]) -> f64 {
    weights.iter().map(|&weight| f64::from(weight)).sum()
}
