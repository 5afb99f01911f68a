//! Data that are part of the program: 1,797 handwritten digits of 8×8 pixels, and whole populations, small made-up problems whose best
//! log-likelihood is known exactly.
//!
//! The rows of a population are all there are, each as probable as its share of them: nothing is held out, and no machine can do better
//! than the entropy, log(rows) nats a row where no row comes twice.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use rbm_core::{Error, Result};

use crate::bytes;
use crate::dataset::Examples;
use crate::formats::csv;
use crate::labels::LabelColumn;
use crate::options::ReadOptions;

const FORMS: &str = "bars-and-stripes:N, bars-and-stripes:N:all (N from 1 to 12), shifting-bar:N, shifting-bar:N:LENGTH \
                     (LENGTH below N, N to 4096) or labelled-shifter:N (N from 3 to 12)";

/// A population, by what it is made of. As text `bars-and-stripes:4`, `bars-and-stripes:4:all`, `shifting-bar:9`,
/// `shifting-bar:9:8`, `labelled-shifter:8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Population {
    /// Pictures whose columns, or whose rows, are each all on or all off (MacKay 2003).
    BarsAndStripes {
        /// Height and width.
        side: usize,
        /// Whether the empty and the full picture count twice, as bars and as stripes.
        is_drawn_twice: bool,
    },
    /// A ring of units of which `length` neighbours are on, at every place (Melchior, Fischer, Wiskott 2016).
    ShiftingBar {
        /// Units.
        size: usize,
        /// Those that are on.
        length: usize,
    },
    /// Every pattern of bits, the pattern shifted around by one to the left, not at all or to the right, and which of the
    /// three it was (Fischer, Igel 2010; Hinton, Sejnowski 1986).
    LabelledShifter {
        /// Bits of the pattern.
        bits: usize,
    },
}

impl Population {
    const BARS_AND_STRIPES: &str = "bars-and-stripes";
    const SHIFTING_BAR: &str = "shifting-bar";
    const LABELLED_SHIFTER: &str = "labelled-shifter";

    /// Whether `source` begins like a population's name.
    pub(crate) fn is_named(source: &str) -> bool {
        let kind = source.split(':').next().unwrap_or_default();
        [Self::BARS_AND_STRIPES, Self::SHIFTING_BAR, Self::LABELLED_SHIFTER].contains(&kind)
    }

    /// Every row.
    pub(crate) fn part(self) -> Result<Examples> {
        let rows: Vec<Vec<bool>> = match self {
            Self::BarsAndStripes { side, is_drawn_twice } => bars_and_stripes(side, is_drawn_twice),
            Self::ShiftingBar { size, length } => {
                let row = |from| (0..size).map(move |at| (at + size - from) % size < length);
                (0..size).map(|from| row(from).collect()).collect()
            }
            Self::LabelledShifter { bits } => labelled_shifter(bits),
        };
        let shape = (rows.len(), rows.first().map_or(0, Vec::len));
        let values = rows.into_iter().flatten().map(|on| f32::from(u8::from(on)));
        Examples::new(Tensor::from_iter(values, &Device::Cpu)?.reshape(shape)?, None)
    }

    /// Height and width, where a row is a picture.
    pub(crate) fn image(self) -> Option<(usize, usize)> {
        match self {
            Self::BarsAndStripes { side, .. } => Some((side, side)),
            _ => None,
        }
    }
}

/// All stripes, then all bars, the empty and the full one among them or not.
fn bars_and_stripes(side: usize, is_drawn_twice: bool) -> Vec<Vec<bool>> {
    let last = (1 << side) - 1;
    let (all, others) = (0..=last, if is_drawn_twice { 0..=last } else { 1..=last - 1 });
    let row = |pattern: usize, line: fn(usize, usize) -> usize| {
        (0..side * side).map(|at| pattern >> line(at, side) & 1 == 1).collect()
    };
    let stripes = all.map(|pattern| row(pattern, |at, side| at / side));
    let bars = others.map(|pattern| row(pattern, |at, side| at % side));
    stripes.chain(bars).collect()
}

fn labelled_shifter(bits: usize) -> Vec<Vec<bool>> {
    let rows = (0..1 << bits).flat_map(|pattern: usize| (0..3).map(move |shift| (pattern, shift)));
    rows.map(|(pattern, shift)| {
        // 0, 1 and 2 are one to the left, none and one to the right.
        let shifted = (0..bits).map(|at| pattern >> ((at + bits + 1 - shift) % bits) & 1 == 1);
        let plain = (0..bits).map(|at| pattern >> at & 1 == 1);
        plain.chain(shifted).chain((0..3).map(|label| label == shift)).collect()
    })
    .collect()
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BarsAndStripes { side, is_drawn_twice } => {
                let all = if is_drawn_twice { ":all" } else { "" };
                write!(f, "{}:{side}{all}", Self::BARS_AND_STRIPES)
            }
            Self::ShiftingBar { size, length: 1 } => write!(f, "{}:{size}", Self::SHIFTING_BAR),
            Self::ShiftingBar { size, length } => {
                write!(f, "{}:{size}:{length}", Self::SHIFTING_BAR)
            }
            Self::LabelledShifter { bits } => write!(f, "{}:{bits}", Self::LABELLED_SHIFTER),
        }
    }
}

impl FromStr for Population {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("source of the data", FORMS, format!("{text:?}"));
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (population, is_allowed) = match *text.split(':').collect::<Vec<_>>() {
            [Self::BARS_AND_STRIPES, side] => {
                let side = number(side)?;
                (Self::BarsAndStripes { side, is_drawn_twice: false }, (1..=12).contains(&side))
            }
            [Self::BARS_AND_STRIPES, side, "all"] => {
                let side = number(side)?;
                (Self::BarsAndStripes { side, is_drawn_twice: true }, (1..=12).contains(&side))
            }
            [Self::SHIFTING_BAR, size] => {
                let size = number(size)?;
                (Self::ShiftingBar { size, length: 1 }, (2..=4096).contains(&size))
            }
            [Self::SHIFTING_BAR, size, length] => {
                let (size, length) = (number(size)?, number(length)?);
                let is_allowed = (2..=4096).contains(&size) && (1..size).contains(&length);
                (Self::ShiftingBar { size, length }, is_allowed)
            }
            [Self::LABELLED_SHIFTER, bits] => {
                let bits = number(bits)?;
                (Self::LabelledShifter { bits }, (3..=12).contains(&bits))
            }
            _ => return Err(wrong()),
        };
        if is_allowed { Ok(population) } else { Err(wrong()) }
    }
}

/// The name by which [`load`](crate::load) knows the data set.
pub(crate) const DIGITS: &str = "digits";

/// Height and width of a case in pixels.
pub(crate) const DIGITS_IMAGE: (usize, usize) = (8, 8);

pub(crate) const LARGEST_PIXEL: f32 = 16.0;

// See data/ATTRIBUTION.md.
static FILE: &[u8] = include_bytes!("../data/digits.csv.gz");

/// The digits: cases `(1797, 64)`, pixels from 0 to 16 divided by `scale` (16 if `None`), and the digit as the label.
pub(crate) fn digits(scale: Option<f32>) -> Result<Examples> {
    let path = Path::new(DIGITS);
    let text = bytes::gunzip(path, FILE, "the embedded digits")?;
    let options = ReadOptions { label_column: Some(LabelColumn::Last), ..ReadOptions::default() };
    let table = csv::parse(path, text, &options)?;
    Ok(table.into_part(path, Some(scale.unwrap_or(LARGEST_PIXEL)))?.0)
}
