//! What the values of cases become when rows are formed: scaled, zeros and ones, categories as units.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rbm_core::rng::Draw;
use rbm_core::{Error, Result, Rng, Rows, data, ops};

use super::stored::place;
use super::{Binarise, Columns, Options, Part};

/// The encoding of the cases of one part.
#[derive(Debug, Clone)]
pub(super) enum Encoding {
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
    /// What `options` ask for of the part with this number, if anything.
    pub(super) fn of(options: &Options, part: u64) -> Option<Self> {
        match (options.one_hot, options.binarise) {
            (Some(states), _) => Some(Self::OneHot(states)),
            (None, Binarise::Threshold(threshold)) => Some(Self::Above(threshold)),
            (None, Binarise::Sample(seed)) => Some(Self::Drawn(Rng::new(seed).split(part))),
            (None, Binarise::None) => None,
        }
    }

    /// Errors for the first value of `part`, a part of the source `name`, that it is not for.
    pub(super) fn check(&self, name: &str, part: &Part) -> Result<()> {
        match self {
            Self::Above(_) | Self::Divided(_) => Ok(()),
            Self::Columns(columns) => columns.check(name, part),
            Self::Drawn(_) => {
                let expected =
                    "a value in [0, 1] to draw bits by (divide by the maximum with --scale)";
                part.check_values(name, 0.0, 1.0, expected)
            }
            Self::OneHot(states) => check_codes(name, part, *states),
        }
    }

    /// The width of cases whose rows have `width` values.
    pub(super) fn width(&self, width: usize) -> usize {
        match self {
            Self::OneHot(states) => width * states,
            Self::Columns(columns) => columns.width(),
            _ => width,
        }
    }

    /// The bounds of the values that it makes of some within `extent`, where that is known.
    pub(super) fn extent(&self, extent: Option<(f32, f32)>) -> Option<(f32, f32)> {
        match self {
            Self::Divided(scale) => extent.map(|(low, high)| (low / scale, high / scale)),
            Self::Columns(_) => None,
            Self::Above(_) | Self::Drawn(_) | Self::OneHot(_) => Some((0.0, 1.0)),
        }
    }

    /// `rows` `(rows, width)`, which have these numbers in the source, encoded.
    pub(super) fn apply(
        &self,
        rows: &Tensor,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<Tensor> {
        let (count, width) = rows.dims2()?;
        if let Self::Columns(columns) = self {
            return columns.apply(rows);
        }
        let mut values = rows.flatten_all()?.to_vec1::<f32>()?;
        match self {
            Self::Columns(_) => {}
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
        Ok(Tensor::from_vec(values, (count, self.width(width)), &Device::Cpu)?)
    }
}

/// The values of cases whose numbers `(rows, columns)` are as their file has them: divided by `scale`, then the categories of
/// `columns` or the codes of `one_hot` states as zeros and a one, or zeros and ones as `binarise` says.
///
/// # Errors
///
/// [`Error::Invalid`] for numbers that this is not for, and for bits that are drawn: these follow from a case's place in its file.
pub(crate) fn encoded(
    numbers: &Tensor,
    scale: f32,
    columns: Option<&Arc<Columns>>,
    one_hot: usize,
    binarise: Binarise,
) -> Result<Tensor> {
    if let Binarise::Sample(_) = binarise {
        let expected = "none or a threshold (read the file with datasets::load, or leave the probabilities undrawn)";
        return Err(Error::invalid("binarise", expected, binarise.to_string()));
    }
    let source = "the data";
    let mut part = Part::new(numbers.clone(), None)?;
    if scale != 1.0 {
        part.apply(source, Encoding::Divided(scale))?;
    }
    match columns.filter(|columns| !columns.is_plain()) {
        Some(columns) if part.width() != columns.0.len() => {
            let expected = format!("{} numbers a case, one a column", columns.0.len());
            return Err(Error::invalid(source, expected, part.width().to_string()));
        }
        Some(columns) => part.apply(source, Encoding::Columns(columns.clone()))?,
        None if one_hot > 0 => part.apply(source, Encoding::OneHot(one_hot))?,
        None => {
            if let Binarise::Threshold(threshold) = binarise {
                part.apply(source, Encoding::Above(threshold))?;
            }
        }
    }
    part.cases.tensor()
}

fn check_codes(name: &str, part: &Part, states: usize) -> Result<()> {
    let is_code = |x: &f32| x.is_nan() || x.fract() == 0.0 && (0.0..states as f32).contains(x);
    let mut start = 0;
    for block in data::blocks(&part.cases) {
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
