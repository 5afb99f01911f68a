//! Charts: series of points over two axes, and those that trainings and evaluations leave behind.

use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use rbm_core::{Error, Result};

use super::images::{FONT, have_font, write_png};

/// Height and width in pixels.
const SIZE: (usize, usize) = (640, 1000);
/// The same of one panel among others.
const PANEL: (usize, usize) = (420, 760);
/// Colours that are told apart by most colour-blind people too (Okabe and Ito 2008).
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    // Three more for as many as there are digits; the last of that palette, yellow, is too light on white.
    RGBColor(0, 0, 0),
    RGBColor(150, 150, 150),
    RGBColor(128, 64, 32),
    RGBColor(110, 60, 170),
];
/// How much wider an area of dots is than these, for the legend.
const LEGEND: f64 = 0.2;
/// What margins, labels and the title take of a chart's width and height, in pixels.
const ACROSS: u32 = 126;
const ALONG: u32 = 130;
/// What the legend takes of a chart's height: its frame, and each name.
const LEGEND_FRAME: f64 = 0.04;
const LEGEND_LINE: f64 = 0.053;

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b, X> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<X, RangedCoordf64>>;
type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A line through the points.
    Line,
    /// Points joined by a thin line, with their errors.
    Points,
    /// A dot at each point.
    Dots,
    /// A dot at each pair of what both axes count: their scales are the same.
    Pairs,
    /// A filled area from zero, a step as wide as the distance of the points.
    Steps,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is called; nameless series stay out of the legend, and keep the colour of the one before.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// x and y. Points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// The standard error of each y; empty for none.
    pub errors: Vec<f64>,
}

impl Series {
    /// A series without errors.
    pub fn new(name: impl Into<String>, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), mark, points, errors: Vec::new() }
    }
}

/// A chart.
#[derive(Debug, Clone, Default)]
pub struct Plot {
    /// What is shown.
    pub title: String,
    /// Of the horizontal axis, with its unit.
    pub x: String,
    /// Of the vertical axis, with its unit.
    pub y: String,
    /// Whether x grows by factors.
    pub is_log_x: bool,
    /// The least range of y, such as 0 to 1 for a share.
    pub y_range: Option<(f64, f64)>,
    /// What is drawn, the first at the bottom.
    pub series: Vec<Series>,
}

impl Plot {
    /// Writes the PNG file `path`.
    ///
    /// # Errors
    ///
    /// Where there is no point to draw.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let (height, width) = SIZE;
        let mut pixels = vec![0; 3 * height * width];
        {
            let backend = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32));
            let names = names(std::slice::from_ref(self));
            self.draw(&backend.into_drawing_area(), &names).map_err(|e| {
                Error::invalid("a chart", "points that can be drawn", e.to_string())
            })?;
        }
        write_png(path, SIZE, &pixels)
    }

    /// Writes `panels` to the PNG file `path`, two beside each other, row after row. A name has the same colour in all of them.
    ///
    /// # Errors
    ///
    /// Where one has no point to draw.
    pub fn write_panels(path: impl AsRef<Path>, panels: &[Self]) -> Result<()> {
        let path = path.as_ref();
        let columns = panels.len().clamp(1, 2);
        let rows = panels.len().div_ceil(columns).max(1);
        let (height, width) = (PANEL.0 * rows, PANEL.1 * columns);
        let mut pixels = vec![0; 3 * height * width];
        {
            let backend = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32));
            let area = backend.into_drawing_area();
            let names = names(panels);
            let drawn = || -> DrawResult {
                area.fill(&WHITE)?;
                let places = area.split_evenly((rows, columns));
                places
                    .iter()
                    .zip(panels)
                    .try_for_each(|(place, panel)| panel.draw(place, &names))?;
                Ok(area.present()?)
            };
            drawn().map_err(|e| {
                Error::invalid("a chart", "points that can be drawn", e.to_string())
            })?;
        }
        write_png(path, (height, width), &pixels)
    }

    fn draw(&self, area: &Area, names: &[&str]) -> DrawResult {
        have_font();
        area.fill(&WHITE)?;
        let (x, y, top) = self.ranges(f64::from(area.dim_in_pixel().1))?;
        // Where scales are the same, what the area is too wide stays free.
        let size = area.dim_in_pixel();
        let [width, height] = [(size.0, ACROSS), (size.1, ALONG)]
            .map(|(pixels, taken)| f64::from(pixels.saturating_sub(taken)));
        let spare = match self.has(Mark::Pairs) {
            true => (width - height * (x.end - x.start) / (y.end - y.start)).max(0.0) as i32,
            false => 0,
        };
        let area = &area.margin(0, 0, 0, spare);
        let x_decimals = if self.is_log_x { 0 } else { decimals(&x) };
        match self.is_log_x {
            true => self.draw_over(area, (x.start..x.end).log_scale(), (y, top), x_decimals, names),
            false => self.draw_over(area, x, (y, top), x_decimals, names),
        }
    }

    fn draw_over<X>(
        &self,
        area: &Area,
        x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
        (y, top): (Range<f64>, f64),
        x_decimals: usize,
        names: &[&str],
    ) -> DrawResult
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let y_decimals = decimals(&y);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 26))
            .margin(20)
            .x_label_area_size(56)
            .y_label_area_size(86)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE.mix(0.0))
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_label_formatter(&|x| label(*x, x_decimals))
            // Beside the legend there is nothing to read off.
            .y_label_formatter(&|y| if *y > top { String::new() } else { label(*y, y_decimals) })
            .axis_desc_style((FONT, 20))
            .label_style((FONT, 17))
            .draw()?;
        let mut colour = 0;
        for series in &self.series {
            colour = names.iter().position(|name| *name == series.name).unwrap_or(colour);
            self.draw_series(&mut chart, series, COLOURS[colour % COLOURS.len()])?;
        }
        if self.series.iter().any(|series| !series.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .label_font((FONT, 18))
                .draw()?;
        }
        Ok(area.present()?)
    }

    fn draw_series<X: Ranged<ValueType = f64>>(
        &self,
        chart: &mut Chart<X>,
        series: &Series,
        colour: RGBColor,
    ) -> DrawResult {
        let points = self.places(series);
        let line = |points: &[(f64, f64)], width| {
            PathElement::new(points.to_vec(), colour.stroke_width(width))
        };
        let drawn = match series.mark {
            // A line through one point is none.
            Mark::Line if points.len() == 1 => {
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?
            }
            Mark::Line => chart.draw_series([line(&points, 2)])?,
            Mark::Points => {
                chart.draw_series([line(&points, 1)])?;
                let errors = series.errors.iter().zip(&points).map(|(error, (x, y))| {
                    PathElement::new(vec![(*x, y - error), (*x, y + error)], colour.stroke_width(2))
                });
                chart.draw_series(errors)?;
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, colour.filled())))?
            }
            Mark::Dots | Mark::Pairs => {
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 2, colour.filled())))?
            }
            Mark::Steps => {
                let width = points.windows(2).map(|pair| pair[1].0 - pair[0].0).next();
                let half = width.unwrap_or(1.0) / 2.0;
                let bars = points.iter().map(|(x, y)| {
                    Rectangle::new([(x - half, 0.0), (x + half, *y)], colour.mix(0.25).filled())
                });
                chart.draw_series(bars)?;
                let corners = points.iter().flat_map(|(x, y)| [(x - half, *y), (x + half, *y)]);
                chart.draw_series([line(&corners.collect::<Vec<_>>(), 2)])?
            }
        };
        if !series.name.is_empty() {
            let is_dots = matches!(series.mark, Mark::Dots | Mark::Pairs);
            let (width, from) = if is_dots { (9, 13) } else { (3, 0) };
            drawn.label(&series.name).legend(move |(x, y)| {
                PathElement::new(vec![(x + from, y), (x + 22, y)], colour.stroke_width(width))
            });
        }
        Ok(())
    }

    /// Whether a series is drawn so.
    fn has(&self, mark: Mark) -> bool {
        self.series.iter().any(|series| series.mark == mark)
    }

    /// The points that can be drawn.
    fn places(&self, series: &Series) -> Vec<(f64, f64)> {
        let least = if self.is_log_x { f64::MIN_POSITIVE } else { f64::NEG_INFINITY };
        let can = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && *x >= least;
        series.points.iter().copied().filter(can).collect()
    }

    /// What the axes must show, with a margin; and where the marks end, below the legend.
    fn ranges(
        &self,
        height: f64,
    ) -> std::result::Result<(Range<f64>, Range<f64>, f64), &'static str> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for series in &self.series {
            let places = self.places(series);
            let errors = series.errors.iter().zip(&places);
            points.extend(errors.flat_map(|(error, (x, y))| [(*x, y - error), (*x, y + error)]));
            if series.mark == Mark::Steps {
                points.extend(places.iter().map(|(x, _)| (*x, 0.0)));
            }
            if series.mark == Mark::Pairs {
                points.extend(places.iter().map(|(x, y)| (*y, *x)));
            }
            points.extend(places);
        }
        let range = |values: &mut dyn Iterator<Item = f64>, margin: f64| {
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            // A single value stands in the middle of a range of its own size.
            let least = if high > low { 1e-9 } else { 0.5 };
            let room = ((high - low) * margin).max(least * high.abs().max(low.abs()).max(1e-3));
            (low <= high).then_some((low, high, room))
        };
        let x = range(&mut points.iter().map(|(x, _)| *x), 0.02);
        let y_margin = if self.has(Mark::Pairs) { 0.02 } else { 0.05 };
        let y = range(&mut points.iter().map(|(_, y)| *y), y_margin);
        let (Some((x0, x1, x_room)), Some((y0, y1, y_room))) = (x, y) else {
            return Err("no point");
        };
        let has_floor = self.has(Mark::Steps);
        let low = if has_floor { y0 } else { y0 - y_room };
        let (low, high) = match self.y_range {
            Some((least, most)) => (low.min(least), (y1 + y_room).max(most)),
            None => (low, y1 + y_room),
        };
        // Dots may be anywhere, so the legend has a place of its own beside them; of other marks it is above.
        let is_dots = self.has(Mark::Dots) || self.has(Mark::Pairs);
        let names = self.series.iter().filter(|series| !series.name.is_empty()).count();
        let top = high;
        let high = if is_dots || names == 0 || self.y_range.is_some() {
            high
        } else {
            // Of a lower chart the legend takes a larger part.
            let share =
                (LEGEND_FRAME + LEGEND_LINE * names as f64) * SIZE.0 as f64 / height.max(1.0);
            let share = share.min(0.5);
            low + (high - low) / (1.0 - share)
        };
        let legend = if is_dots && names > 0 { (x1 - x0) * LEGEND } else { 0.0 };
        let x = if self.is_log_x { x0 / 1.2..x1 * 1.2 } else { x0 - x_room..x1 + x_room + legend };
        Ok((x, low..high, top))
    }
}

/// The names of all series, each once.
fn names(plots: &[Plot]) -> Vec<&str> {
    let mut names = Vec::new();
    for series in plots.iter().flat_map(|plot| &plot.series) {
        if !series.name.is_empty() && !names.contains(&series.name.as_str()) {
            names.push(series.name.as_str());
        }
    }
    names
}

/// What stands at a place of an axis: a zero has no sign.
fn label(at: f64, decimals: usize) -> String {
    let text = format!("{at:.decimals$}");
    match text.trim_start_matches(['-', '0', '.']).is_empty() {
        true => text.trim_start_matches('-').to_owned(),
        false => text,
    }
}

/// The decimals that tell the labels of an axis apart: of a tenth of it.
fn decimals(range: &Range<f64>) -> usize {
    let tenth = (range.end - range.start).abs() / 10.0;
    (-tenth.log10()).ceil().clamp(0.0, 9.0) as usize
}

/// The most columns of a histogram.
const BINS: usize = 60;

/// The columns of a histogram in which a group of `count` cases is no comb: twice the cube root of it (the rule of Rice).
fn bins(count: usize) -> usize {
    ((2.0 * (count as f64).cbrt()).ceil() as usize).clamp(1, BINS)
}

/// Free energies of groups of cases, as histograms over each other: a machine that overfits gives its training cases
/// lower ones than others (Practical Guide §6), and samples of a machine that has learned look like either.
///
/// # Errors
///
/// Where no group has a case.
pub fn free_energies(
    path: impl AsRef<Path>,
    title: &str,
    groups: &[(&str, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let all = groups.iter().flat_map(|(_, values)| values).filter(|x| x.is_finite());
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
    // All groups have the columns of the smallest.
    let least = groups.iter().map(|(_, values)| values.len()).filter(|count| *count > 0).min();
    let bins = bins(least.unwrap_or(0));
    let width = ((high - low) / bins as f64).max(f64::MIN_POSITIVE);
    let histogram = |values: &[f64]| -> Vec<(f64, f64)> {
        let mut counts = vec![0usize; bins];
        for x in values.iter().filter(|x| x.is_finite()) {
            counts[(((x - low) / width) as usize).min(bins - 1)] += 1;
        }
        let share = |count: usize| 100.0 * count as f64 / values.len().max(1) as f64;
        let middle = |i: usize| low + (i as f64 + 0.5) * width;
        counts.iter().enumerate().map(|(i, count)| (middle(i), share(*count))).collect()
    };
    let series = groups.iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let name = format!("{name}: {} cases, mean {mean:.1}", values.len());
        Series::new(name, Mark::Steps, histogram(values))
    });
    Plot {
        title: title.into(),
        x: "free energy (nats)".into(),
        y: "share of the cases (%)".into(),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// What both directions of annealing say with so many inverse temperatures.
#[derive(Debug, Clone, Copy)]
pub struct Convergence {
    /// Inverse temperatures.
    pub betas: usize,
    /// Mean log p(v) by annealing forwards, and its standard error, nats.
    pub forward: (f64, f64),
    /// The same backwards.
    pub reverse: Option<(f64, f64)>,
}

/// The estimates of the log-likelihood, or of a lower bound on it, against the number of inverse temperatures: the two sides must meet.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn estimates(
    path: impl AsRef<Path>,
    rows: &[Convergence],
    exact: Option<f64>,
    is_bound: bool,
) -> Result<()> {
    let path = path.as_ref();
    let series = |name: &str, of: &dyn Fn(&Convergence) -> Option<(f64, f64)>| {
        let found = rows.iter().filter_map(|row| Some((row.betas as f64, of(row)?)));
        let (points, errors) = found.map(|(x, (y, error))| ((x, y), error)).unzip();
        Series { name: name.into(), mark: Mark::Points, points, errors }
    };
    let mut all = vec![
        series("forward annealing (too high, if anything)", &|row| Some(row.forward)),
        series("reverse annealing (too low, if anything)", &|row| row.reverse),
    ];
    if let Some(exact) = exact {
        let line = rows.iter().map(|row| (row.betas as f64, exact)).collect();
        all.push(Series::new("exact", Mark::Line, line));
    }
    all.retain(|series| !series.points.is_empty());
    Plot {
        title: match is_bound {
            false => "Log-likelihood from both sides".into(),
            true => "A lower bound on the log-likelihood, from both sides of log Z".into(),
        },
        x: "inverse temperatures".into(),
        y: match is_bound {
            false => "mean log p(v) (nats a case)".into(),
            true => "lower bound on the mean log p(v) (nats a case)".into(),
        },
        is_log_x: true,
        series: all,
        ..Plot::default()
    }
    .write(path)
}

/// The largest singular values of W against epochs: `rows` has an epoch and its values, the largest first. Each that leaves
/// the bulk is something learned (Decelle, Fissore, Furtlehner 2017).
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn singular_values(
    path: impl AsRef<Path>,
    title: &str,
    rows: &[(f64, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let count = rows.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
    let nth = |n: usize| rows.iter().map(|(epoch, values)| (*epoch, values[n])).collect();
    let series = (0..count).map(|n| Series::new("", Mark::Line, nth(n)));
    Plot {
        title: title.into(),
        x: "epoch".into(),
        y: "singular value of W".into(),
        y_range: Some((0.0, 0.0)),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// Learning curves, a panel each: what is shown, with its unit, and a series for each stage or kind of cases, its points over the
/// epochs of the whole training.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn learning(path: impl AsRef<Path>, panels: Vec<(String, Vec<Series>)>) -> Result<()> {
    let path = path.as_ref();
    let panel = |(y, series): (String, Vec<Series>)| Plot {
        x: "epoch of the training".into(),
        y,
        series,
        ..Plot::default()
    };
    Plot::write_panels(path, &panels.into_iter().map(panel).collect::<Vec<_>>())
}

/// How probable swaps are over each gap of a ladder of inverse temperatures.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn acceptance(path: impl AsRef<Path>, ladder: &[f64], acceptance: &[f64]) -> Result<()> {
    let path = path.as_ref();
    let middles = ladder.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let points = middles.zip(acceptance.iter().copied()).collect();
    let title = format!("Swaps along the ladder of {} inverse temperatures", ladder.len());
    let x = "inverse temperature β (each point in the middle of a gap)";
    swaps(path, title, x, vec![Series::new("", Mark::Points, points)])
}

/// How probable swaps were over each gap of a training's ladder, from its bottom up: `rows` has an epoch and its gaps.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn acceptance_by_epoch(
    path: impl AsRef<Path>,
    title: &str,
    rows: &[(usize, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let series = rows.iter().map(|(epoch, gaps)| {
        let points = (1..).map(f64::from).zip(gaps.iter().copied()).collect();
        Series::new(format!("epoch {epoch}"), Mark::Points, points)
    });
    swaps(path, title.into(), "gap of the ladder, from its bottom up", series.collect())
}

fn swaps(path: &Path, title: String, x: &str, series: Vec<Series>) -> Result<()> {
    let y_range = Some((0.0, 1.0));
    Plot { title, x: x.into(), y: "acceptance".into(), is_log_x: false, y_range, series }
        .write(path)
}

/// Codes of two numbers, a dot for each case in the colour of its group.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn codes(path: impl AsRef<Path>, groups: &[(String, Vec<(f64, f64)>)]) -> Result<()> {
    let path = path.as_ref();
    let count: usize = groups.iter().map(|(_, codes)| codes.len()).sum();
    let series = groups.iter().map(|(name, codes)| Series::new(name, Mark::Dots, codes.clone()));
    Plot {
        title: format!("Codes of {count} cases"),
        x: "first number of the code".into(),
        y: "second number of the code".into(),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// How pairs vary together in data and in samples, a dot for each, and the line on which both are the same.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn correlations(path: impl AsRef<Path>, what: &str, pairs: Vec<(f64, f64)>) -> Result<()> {
    let path = path.as_ref();
    let ends =
        pairs.iter().fold((0.0f64, 0.0f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let same = vec![(ends.0, ends.0), (ends.1, ends.1)];
    Plot {
        title: "What varies together".into(),
        x: "C_ij of the data".into(),
        y: "C_ij of samples".into(),
        series: vec![
            Series::new(what, Mark::Dots, pairs),
            Series::new("the same in both", Mark::Line, same),
        ],
        ..Plot::default()
    }
    .write(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_has_no_sign() {
        assert_eq!(
            [-0.0, -0.004, -0.05, 0.15].map(|at| label(at, 2)),
            ["0.00", "0.00", "-0.05", "0.15"]
        );
        assert_eq!([-0.0, -10.0].map(|at| label(at, 0)), ["0", "-10"]);
    }
}
