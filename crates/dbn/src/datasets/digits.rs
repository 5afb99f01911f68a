//! The embedded data set: 1,797 handwritten digits of 8×8 pixels.

use std::path::Path;

use rbm_core::Result;

use super::labels::LabelColumn;
use super::{Options, Part, bytes, csv};

/// The name by which [`super::load`] knows the data set.
pub(super) const NAME: &str = "digits";

/// Height and width of a case in pixels.
pub(super) const IMAGE: (usize, usize) = (8, 8);

pub(super) const LARGEST_PIXEL: f32 = 16.0;

// See data/ATTRIBUTION.md.
static FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// The digits: cases `(1797, 64)`, pixels from 0 to 16 divided by `scale` (16 if `None`), and the digit as the label.
pub(super) fn load(scale: Option<f32>) -> Result<Part> {
    let path = Path::new(NAME);
    let text = bytes::gunzip(path, FILE, "the embedded digits")?;
    let options = Options { label_column: Some(LabelColumn::Last), ..Options::default() };
    let table = csv::parse(path, text, &options)?;
    Ok(table.into_part(path, Some(scale.unwrap_or(LARGEST_PIXEL)))?.0)
}
