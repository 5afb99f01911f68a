//! The embedded data set: 1,797 handwritten digits of 8×8 pixels.

use std::path::Path;

use rbm_core::Result;

use crate::bytes;
use crate::examples::Examples;
use crate::formats::csv;
use crate::labels::LabelColumn;
use crate::options::ReadOptions;

/// The name by which [`super::load`] knows the data set.
pub(crate) const NAME: &str = "digits";

/// Height and width of a case in pixels.
pub(crate) const IMAGE: (usize, usize) = (8, 8);

pub(crate) const LARGEST_PIXEL: f32 = 16.0;

// See data/ATTRIBUTION.md.
static FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// The digits: cases `(1797, 64)`, pixels from 0 to 16 divided by `scale` (16 if `None`), and the digit as the label.
pub(crate) fn load(scale: Option<f32>) -> Result<Examples> {
    let path = Path::new(NAME);
    let text = bytes::gunzip(path, FILE, "the embedded digits")?;
    let options = ReadOptions { label_column: Some(LabelColumn::Last), ..ReadOptions::default() };
    let table = csv::parse(path, text, &options)?;
    Ok(table.into_part(path, Some(scale.unwrap_or(LARGEST_PIXEL)))?.0)
}
