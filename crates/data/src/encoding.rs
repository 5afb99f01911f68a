//! What the values of cases become when rows are formed: scaled, zeros and ones, categories as units.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rbm_core::rng::Draw;
use rbm_core::{Error, Result, Rng, ops};
use serde::{Deserialize, Serialize};

use crate::columns::Columns;
use crate::standardise::Standardise;

const FORMS: &str = "none, threshold:NUMBER or sample:SEED";

/// How the values of cases become zeros and ones. As text `none`, `threshold:0.5` or `sample:7`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Binarise {
    /// They stay as they are.
    #[default]
    None,
    /// 1 where the scaled value is above this.
    Threshold(f32),
    /// Each value, in [0, 1], is drawn once and for all: 1 with that probability (Salakhutdinov, Murray 2008). Which bits a
    /// case gets depends on this seed, on the part and on the case's place in its file alone.
    Sample(u64),
}

impl fmt::Display for Binarise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Threshold(threshold) => write!(f, "threshold:{threshold}"),
            Self::Sample(seed) => write!(f, "sample:{seed}"),
        }
    }
}

impl FromStr for Binarise {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = match text.split_once(':') {
            None if text == "none" => Some(Self::None),
            Some(("threshold", number)) => {
                let number = number.parse().ok().filter(|number: &f32| number.is_finite());
                number.map(Self::Threshold)
            }
            Some(("sample", seed)) => seed.parse().ok().map(Self::Sample),
            _ => None,
        };
        read.ok_or_else(|| Error::invalid("binarise", FORMS, format!("{text:?}")))
    }
}

impl TryFrom<String> for Binarise {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Binarise> for String {
    fn from(binarise: Binarise) -> Self {
        binarise.to_string()
    }
}

/// The encoding of the cases of one part.
#[derive(Debug, Clone)]
pub(crate) enum Encoding {
    /// Each value is divided by this.
    Divided(f32),
    /// The columns of a table, categories as zeros and a one.
    Columns(Arc<Columns>),
    /// 1 for what is above this.
    Above(f32),
    /// Each value, a probability, is drawn. The bits of a case follow from this and the number of its row.
    Drawn(Rng),
    /// Each value, a whole number below this, becomes so many values, one of them 1.
    OneHot(usize),
}

impl Encoding {
    /// Codes of so many states, or zeros and ones, of the part with this number, if anything.
    pub(crate) fn of(one_hot: Option<usize>, binarise: Binarise, part: u64) -> Option<Self> {
        match (one_hot, binarise) {
            (Some(states), _) => Some(Self::OneHot(states)),
            (None, Binarise::Threshold(threshold)) => Some(Self::Above(threshold)),
            (None, Binarise::Sample(seed)) => Some(Self::Drawn(Rng::new(seed).split(part))),
            (None, Binarise::None) => None,
        }
    }

    /// The width of cases whose rows have `width` values.
    pub(crate) fn width(&self, width: usize) -> usize {
        match self {
            Self::OneHot(states) => width * states,
            Self::Columns(columns) => columns.width(),
            _ => width,
        }
    }

    /// The bounds of the values that it makes of some within `extent`, where that is known.
    pub(crate) fn extent(&self, extent: Option<(f32, f32)>) -> Option<(f32, f32)> {
        match self {
            Self::Divided(scale) => extent.map(|(low, high)| (low / scale, high / scale)),
            Self::Columns(_) => None,
            Self::Above(_) | Self::Drawn(_) | Self::OneHot(_) => Some((0.0, 1.0)),
        }
    }

    /// The rows `values` of `width` values each, which have these numbers in the source, encoded.
    fn apply(
        &self,
        mut values: Vec<f32>,
        width: usize,
        numbers: impl Iterator<Item = u32>,
    ) -> Vec<f32> {
        match self {
            Self::Columns(columns) => return columns.apply(&values),
            // Divided, not multiplied by the inverse, which rounds otherwise.
            Self::Divided(scale) => values.iter_mut().for_each(|x| *x /= scale),
            // What is missing stays so.
            Self::Above(threshold) => values
                .iter_mut()
                .filter(|x| !x.is_nan())
                .for_each(|x| *x = f32::from(u8::from(*x > *threshold))),
            Self::Drawn(rng) => {
                let missing: Vec<_> = (0..values.len()).filter(|&i| values[i].is_nan()).collect();
                for (row, number) in values.chunks_mut(width.max(1)).zip(numbers) {
                    ops::draw_bits(row, Draw { seed: rng.seed, stream: number.into() });
                }
                missing.into_iter().for_each(|i| values[i] = f32::NAN);
            }
            Self::OneHot(states) => {
                let mut bits = vec![0.0; values.len() * states];
                for (site, code) in bits.chunks_mut(*states).zip(&values) {
                    match code.is_nan() {
                        true => site.fill(f32::NAN),
                        false => site[*code as usize] = 1.0,
                    }
                }
                values = bits;
            }
        }
        values
    }
}

/// What is done to rows when they are formed, in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline {
    /// One after the other.
    pub encodings: Vec<Encoding>,
    /// What stands for a missing value `(width,)`.
    pub fill: Option<Arc<[f32]>>,
    /// How they are shifted and scaled.
    pub standardise: Option<Arc<Standardise>>,
}

impl Pipeline {
    /// The width of cases whose rows have `width` values.
    pub(crate) fn width(&self, width: usize) -> usize {
        self.encodings.iter().fold(width, |width, encoding| encoding.width(width))
    }

    /// The bounds of the values that it makes of some within `extent`, where that is known.
    pub(crate) fn extent(&self, extent: Option<(f32, f32)>) -> Option<(f32, f32)> {
        match &self.standardise {
            Some(_) => None,
            None => self.encodings.iter().fold(extent, |extent, encoding| encoding.extent(extent)),
        }
    }

    /// `rows` `(rows, width)`, which have these numbers in the source, with everything done to them.
    pub(crate) fn apply(
        &self,
        rows: Tensor,
        numbers: impl Iterator<Item = u32> + Clone,
    ) -> Result<Tensor> {
        let mut rows = rows;
        if !self.encodings.is_empty() || self.fill.is_some() {
            let (count, mut width) = rows.dims2()?;
            let mut values = rows.flatten_all()?.to_vec1::<f32>()?;
            for encoding in &self.encodings {
                values = encoding.apply(values, width, numbers.clone());
                width = encoding.width(width);
            }
            if let Some(fill) = &self.fill {
                for row in values.chunks_mut(width.max(1)) {
                    let missing = row.iter_mut().zip(fill.iter()).filter(|(x, _)| x.is_nan());
                    missing.for_each(|(x, fill)| *x = *fill);
                }
            }
            rows = Tensor::from_vec(values, (count, width), &Device::Cpu)?;
        }
        match &self.standardise {
            Some(standardise) => standardise.apply(&rows),
            None => Ok(rows),
        }
    }
}
