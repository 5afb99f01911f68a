//! Which part of given cases is held fast while the rest is filled in.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_dbn::data::{self, Columns};
use rbm_core::Units;

use crate::output::Usage;

/// So many names of columns are listed in an error.
const SHOWN: usize = 20;

/// A part of each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClampMask {
    /// A half of a picture.
    Half(Half),
    /// Columns of the data, or sites, by their numbers from 0.
    Columns(Vec<Range<usize>>),
    /// Columns of a table by their names.
    Named(Vec<String>),
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

impl FromStr for ClampMask {
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
            _ if text.trim().is_empty() || text.contains("..") => bail!(
                "expected top, bottom, left, right, columns as 0..392, their names, or a .npy or .csv file"
            ),
            _ => Self::Named(text.split(',').map(|name| name.trim().to_owned()).collect()),
        })
    }
}

/// The layer of the data, as users count its values.
pub struct DataLayer<'a> {
    pub units: Units,
    /// The columns of a table.
    pub columns: Option<&'a Columns>,
    /// Height and width, where the data are pictures.
    pub image: Option<(usize, usize)>,
}

impl ClampMask {
    /// 1 where a value is held, else 0, `(rows.len(), width)`: for the cases with these numbers of `count`.
    pub fn mask(&self, rows: &[u32], count: usize, layer: &DataLayer) -> Result<Tensor> {
        let DataLayer { units, columns, image } = layer;
        let (width, columns) = (units.width(), *columns);
        let mask = match (self, *image) {
            (Self::Mask(path), _) => from_file(path, rows, count, width)?,
            (Self::Named(names), _) => {
                let held = columns_named(names, columns).map_err(Usage::of)?;
                row(rows.len(), width, |i| held.iter().any(|range| range.contains(&i)))?
            }
            (Self::Columns(ranges), _) => {
                let (places, what) = places(units, columns);
                let last = ranges.iter().map(|range| range.end).max().unwrap_or(0);
                ensure!(
                    last <= places.len(),
                    "--keep: expected {what} below {}, found one before {last}",
                    places.len()
                );
                let held: Vec<_> = ranges.iter().flat_map(|range| &places[range.clone()]).collect();
                row(rows.len(), width, |i| held.iter().any(|range| range.contains(&i)))?
            }
            (Self::Half(_), None) => {
                let (places, what) = places(units, columns);
                bail!(
                    "--keep: expected {what}, by name or as 0..{}, or a mask file: the data are no pictures",
                    places.len() / 2
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

/// The values that the columns of these names become.
fn columns_named(names: &[String], columns: Option<&Columns>) -> Result<Vec<Range<usize>>> {
    let names_of = |columns: &Columns| columns.0.iter().any(|column| column.name.is_some());
    let Some(columns) = columns.filter(|columns| names_of(columns)) else {
        bail!(
            "--keep: expected top, bottom, left or right of a picture, or numbers as 0..2, found {:?}: the model knows no names of columns",
            names.join(",")
        );
    };
    let ranges = columns.ranges();
    let find = |name: &String| {
        let at = columns.find(name).with_context(|| {
            let known: Vec<_> = columns.value_names().into_iter().take(SHOWN).collect();
            let known = known.join(", ");
            format!(
                "--keep: expected columns that the model learned from, found {name:?} (its values are {known})"
            )
        })?;
        Ok(ranges[at].clone())
    };
    names.iter().map(find).collect()
}

/// The values that each column or site becomes which a user counts, and what these are called.
fn places(units: &Units, columns: Option<&Columns>) -> (Vec<Range<usize>>, &'static str) {
    match (units, columns) {
        (_, Some(columns)) => (columns.ranges(), "columns"),
        (&Units::Potts { sites, states }, None) => {
            ((0..sites).map(|site| site * states..(site + 1) * states).collect(), "sites")
        }
        _ => ((0..units.width()).map(|i| i..i + 1).collect(), "columns"),
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
    let options = data::ReadOptions {
        label_column: Some(data::LabelColumn::None),
        ..data::ReadOptions::default()
    };
    let mask = data::load(&name, &options)?.train.cases.tensor().with_context(|| name.clone())?;
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
