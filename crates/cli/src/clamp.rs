//! Which part of given cases is held fast while the rest is filled in.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use dbn::datasets;

/// A part of each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// A half of a picture.
    Half(Half),
    /// Columns of the data.
    Columns(Vec<Range<usize>>),
    /// A file of ones and zeros.
    Mask(PathBuf),
}

/// The halves of a picture; the middle row or column of an odd number belongs to the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Top,
    Bottom,
    Left,
    Right,
}

impl FromStr for Keep {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let columns = |part: &str| -> Option<Range<usize>> {
            let (start, end) = part.split_once("..")?;
            let range: Range<usize> = start.trim().parse().ok()?..end.trim().parse().ok()?;
            (!range.is_empty()).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(columns).collect();
        Ok(match (text, ranges) {
            ("top", _) => Self::Half(Half::Top),
            ("bottom", _) => Self::Half(Half::Bottom),
            ("left", _) => Self::Half(Half::Left),
            ("right", _) => Self::Half(Half::Right),
            (_, Some(ranges)) => Self::Columns(ranges),
            _ if text.ends_with(".npy") || text.ends_with(".csv") => Self::Mask(text.into()),
            _ => bail!(
                "expected top, bottom, left, right, columns as 0..392, or a .npy or .csv file"
            ),
        })
    }
}

impl Keep {
    /// 1 where a value is held, else 0: `(rows, width)` for cases of `width` values, pictures of height and width `image`.
    pub fn mask(&self, rows: usize, width: usize, image: (usize, usize)) -> Result<Tensor> {
        let is_held = |column: usize| match self {
            Self::Half(half) => {
                let (y, x) = (column / image.1, column % image.1);
                match half {
                    Half::Top => y < image.0.div_ceil(2),
                    Half::Bottom => y >= image.0.div_ceil(2),
                    Half::Left => x < image.1.div_ceil(2),
                    Half::Right => x >= image.1.div_ceil(2),
                }
            }
            Self::Columns(ranges) => ranges.iter().any(|range| range.contains(&column)),
            Self::Mask(_) => false,
        };
        match self {
            Self::Mask(path) => from_file(path, rows, width),
            Self::Columns(ranges) if ranges.iter().any(|range| range.end > width) => {
                bail!("--keep: expected columns up to {width}, found {self:?}")
            }
            _ => {
                let one: Vec<f32> = (0..width).map(|i| f32::from(u8::from(is_held(i)))).collect();
                let row = Tensor::from_vec(one, (1, width), &Device::Cpu)?;
                Ok(row.broadcast_as((rows, width))?.contiguous()?)
            }
        }
    }
}

fn from_file(path: &Path, rows: usize, width: usize) -> Result<Tensor> {
    let name = path.display().to_string();
    let options =
        datasets::Options { label_column: Some(datasets::LabelColumn::None), ..Default::default() };
    let part = datasets::load(&name, &options)?.train;
    datasets::check_range(&name, &part, 0.0, 1.0, "a mask")?;
    let mask = part.cases.tensor().with_context(|| name.clone())?;
    let (found, columns) = mask.dims2()?;
    ensure!(columns == width, "{name}: expected {width} values a row, found {columns}");
    ensure!(
        found == 1 || found >= rows,
        "{name}: expected a row, or one for each of {rows} cases, found {found}"
    );
    let mask = if found == 1 {
        mask.broadcast_as((rows, width))?.contiguous()?
    } else {
        mask.narrow(0, 0, rows)?
    };
    // What is neither 0 nor 1 is held where it is nearer to 1.
    Ok(mask.ge(0.5)?.to_dtype(candle_core::DType::F32)?)
}
