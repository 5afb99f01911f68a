//! Which part of given cases is held fast while the rest is filled in.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use dbn::datasets;
use rbm_core::Units;

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
    /// 1 where a value is held, else 0, `(rows.len(), width)`: for the cases with these numbers of `count`, which have the units
    /// `units` and are pictures of height and width `image` if they are any.
    pub fn mask(
        &self,
        rows: &[u32],
        count: usize,
        units: &Units,
        image: Option<(usize, usize)>,
    ) -> Result<Tensor> {
        let width = units.size();
        let mask = match (self, image) {
            (Self::Mask(path), _) => from_file(path, rows, count, width)?,
            (Self::Columns(ranges), _) => {
                // Where all are sites of the same states, these are what a user counts.
                let (count, states, what) = match units {
                    Units::Potts { sites, states } => (*sites, *states, "sites"),
                    _ => (width, 1, "columns"),
                };
                let last = ranges.iter().map(|range| range.end).max().unwrap_or(0);
                ensure!(
                    last <= count,
                    "--keep: expected {what} below {count}, found one before {last}"
                );
                let is_held = |i: usize| ranges.iter().any(|range| range.contains(&(i / states)));
                row(rows.len(), width, is_held)?
            }
            (Self::Half(_), None) => {
                let (what, count) = match units {
                    Units::Potts { sites, .. } => ("sites", *sites),
                    _ => ("columns", width),
                };
                bail!(
                    "--keep: expected {what}, as 0..{}, or a mask file: the data are no pictures",
                    count / 2
                )
            }
            (Self::Half(half), Some((height, columns))) => row(rows.len(), width, |i| {
                let (y, x) = (i / columns, i % columns);
                match half {
                    Half::Top => y < height.div_ceil(2),
                    Half::Bottom => y >= height.div_ceil(2),
                    Half::Left => x < columns.div_ceil(2),
                    Half::Right => x >= columns.div_ceil(2),
                }
            })?,
        };
        check_sites(&mask, units)?;
        Ok(mask)
    }
}

/// The same row for all.
fn row(rows: usize, width: usize, is_held: impl Fn(usize) -> bool) -> Result<Tensor> {
    let one: Vec<f32> = (0..width).map(|i| f32::from(u8::from(is_held(i)))).collect();
    Ok(Tensor::from_vec(one, (1, width), &Device::Cpu)?
        .broadcast_as((rows, width))?
        .contiguous()?)
}

/// Errors where a part only of the columns is held that are one unit together.
fn check_sites(mask: &Tensor, units: &Units) -> Result<()> {
    for row in mask.to_vec2::<f32>()? {
        for (columns, units) in units.groups() {
            let size = match units {
                Units::Potts { states, .. } => *states,
                Units::Multinomial { size, .. } => *size,
                _ => 1,
            };
            let mut start = columns.start;
            for site in row[columns].chunks(size) {
                let end = start + site.len();
                let is_whole = site.iter().all(|held| *held == site[0]);
                ensure!(
                    is_whole,
                    "--keep: columns {start}..{end} are one unit of {}: expected all of them or none",
                    units.kind()
                );
                start = end;
            }
        }
    }
    Ok(())
}

fn from_file(path: &Path, rows: &[u32], count: usize, width: usize) -> Result<Tensor> {
    let name = path.display().to_string();
    let options = datasets::Options {
        label_column: Some(datasets::LabelColumn::None),
        ..datasets::Options::default()
    };
    let mask =
        datasets::load(&name, &options)?.train.cases.tensor().with_context(|| name.clone())?;
    let (found, columns) = mask.dims2()?;
    ensure!(columns == width, "{name}: expected {width} values a row, found {columns}");
    ensure!(
        found == 1 || found == count,
        "{name}: expected a row, or one for each of {count} cases, found {found}"
    );
    let values = mask.flatten_all()?.to_vec1::<f32>()?;
    if let Some(at) = values.iter().position(|x| *x != 0.0 && *x != 1.0) {
        let (row, column) = (at / width + 1, at % width + 1);
        bail!(
            "{name}: row {row}, value {column}: expected 1 to hold or 0 to leave free, found {}",
            values[at]
        );
    }
    let rows: Vec<u32> = rows.iter().map(|&row| if found == 1 { 0 } else { row }).collect();
    Ok(mask.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}
