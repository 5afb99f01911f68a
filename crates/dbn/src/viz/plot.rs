//! A chart: series of points over two axes, with a legend below it.

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
/// What margins, labels and the title take of a chart's width and height, in pixels.
const ACROSS: u32 = 126;
const ALONG: u32 = 130;
/// Below a chart stands its legend, row by row. In pixels: a row's height, the room below the last of them, and what stands left of a row, before
/// a name for its mark, and between two names.
const LEGEND_ROW: u32 = 26;
const LEGEND_FOOT: u32 = 10;
const LEGEND_LEFT: u32 = ACROSS - 20;
const LEGEND_MARK: u32 = 32;
const LEGEND_GAP: u32 = 26;

/// What a series is called, how it is drawn, and in which colour.
type LegendEntry<'a> = (&'a str, Mark, RGBColor);
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
    /// Points with their errors, beside the line that they are measured against.
    Measured,
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
    /// The least range of y, such as 0 to 1 for a share; and of x where there are [`Mark::Pairs`].
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
        // A map alone is square.
        let is_map = panels.len() == 1 && panels[0].has(Mark::Pairs);
        let across = if is_map { PANEL.0 } else { PANEL.1 * columns };
        let (height, width) = (PANEL.0 * rows, across);
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
        let (x, y) = self.ranges()?;
        let legend = self.legend(area, names)?;
        let rows = legend.len() as u32;
        let strip = LEGEND_ROW * rows + LEGEND_FOOT * rows.min(1);
        let (area, below) = area.split_vertically(area.dim_in_pixel().1.saturating_sub(strip));
        draw_legend(&below, &legend)?;
        // Where scales are the same, what the area is too wide stays free.
        let size = area.dim_in_pixel();
        let [width, height] = [(size.0, ACROSS), (size.1, ALONG)]
            .map(|(pixels, taken)| f64::from(pixels.saturating_sub(taken)));
        let spare = match self.has(Mark::Pairs) {
            true => (width - height * (x.end - x.start) / (y.end - y.start)).max(0.0) as i32,
            false => 0,
        };
        let area = &area.margin(0, 0, 0, spare);
        match self.is_log_x {
            true => {
                let ticks = ticks_of_factors(&x);
                let x = (x.start..x.end).log_scale().with_key_points(ticks);
                self.draw_over(area, x, y, |x| x.to_string(), names)
            }
            false => {
                let decimals = decimals(&x);
                self.draw_over(area, x, y, |x| label(x, decimals), names)
            }
        }
    }

    fn draw_over<X>(
        &self,
        area: &Area,
        x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
        y: Range<f64>,
        label_of_x: impl Fn(f64) -> String,
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
            .x_label_formatter(&|x| label_of_x(*x))
            .y_label_formatter(&|y| label(*y, y_decimals))
            .axis_desc_style((FONT, 20))
            .label_style((FONT, 17))
            .draw()?;
        for (series, colour) in self.coloured(names) {
            self.draw_series(&mut chart, series, colour)?;
        }
        Ok(area.present()?)
    }

    /// The series and their colours.
    fn coloured(&self, names: &[&str]) -> impl Iterator<Item = (&Series, RGBColor)> {
        self.series.iter().scan(0, |colour, series| {
            *colour = names.iter().position(|name| *name == series.name).unwrap_or(*colour);
            Some((series, COLOURS[*colour % COLOURS.len()]))
        })
    }

    /// The names of the series in rows that are not wider than the area.
    fn legend(
        &self,
        area: &Area,
        names: &[&str],
    ) -> std::result::Result<Vec<Vec<LegendEntry<'_>>>, Box<dyn std::error::Error>> {
        let width = area.dim_in_pixel().0.saturating_sub(LEGEND_LEFT);
        let mut rows: Vec<Vec<LegendEntry>> = Vec::new();
        let mut taken = width;
        for (series, colour) in self.coloured(names).filter(|(series, _)| !series.name.is_empty()) {
            let needed = LEGEND_MARK + LEGEND_GAP + text_width(area, &series.name)?;
            if taken + needed > width {
                rows.push(Vec::new());
                taken = 0;
            }
            taken += needed;
            if let Some(row) = rows.last_mut() {
                row.push((&series.name, series.mark, colour));
            }
        }
        Ok(rows)
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
        match series.mark {
            // A line through one point is none.
            Mark::Line if points.len() == 1 => {
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?
            }
            Mark::Line => chart.draw_series([line(&points, 2)])?,
            Mark::Points | Mark::Measured => {
                if series.mark == Mark::Points {
                    chart.draw_series([line(&points, 1)])?;
                }
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

    /// What the axes must show, with a margin.
    fn ranges(&self) -> std::result::Result<(Range<f64>, Range<f64>), &'static str> {
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
                points.extend(
                    self.y_range
                        .map(|(least, most)| [(least, least), (most, most)])
                        .into_iter()
                        .flatten(),
                );
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
        let x = if self.is_log_x { x0 / 1.2..x1 * 1.2 } else { x0 - x_room..x1 + x_room };
        Ok((x, low..high))
    }
}

/// Between three and nine ticks, evenly as it goes: powers of ten, these times 1, 2 and 5, all whole multiples of them, or tenths of these.
fn ticks_of_factors(range: &Range<f64>) -> Vec<f64> {
    let powers = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    // By a quotient: 0.2, and not 2 times a rounded 0.1.
    let at = |factor: u32, power: i32| match power < 1 {
        true => f64::from(factor) / 10f64.powi(1 - power),
        false => f64::from(factor) * 10f64.powi(power - 1),
    };
    let ticks = |factors: &[u32]| -> Vec<f64> {
        let all = powers.clone().flat_map(|power| factors.iter().map(move |x| at(*x, power)));
        all.filter(|tick| range.contains(tick)).collect()
    };
    let whole: Vec<u32> = (10..100).step_by(10).collect();
    let tenths: Vec<u32> = (10..100).collect();
    let finer = [&[10][..], &[10, 20, 50], &whole, &tenths].map(ticks);
    let all = finer.iter().find(|ticks| ticks.len() >= 3).unwrap_or(&finer[3]);
    let step = all.len().div_ceil(9).max(1);
    all.iter().copied().step_by(step).collect()
}

/// How many pixels a name in the legend takes.
fn text_width(area: &Area, text: &str) -> std::result::Result<u32, Box<dyn std::error::Error>> {
    Ok(area.estimate_text_size(text, &(FONT, 18).into_text_style(area))?.0)
}

/// Draws a legend: a mark and a name for each series.
fn draw_legend(area: &Area, rows: &[Vec<LegendEntry>]) -> DrawResult {
    area.fill(&WHITE)?;
    for (row, entries) in rows.iter().enumerate() {
        let y = (LEGEND_ROW * row as u32 + LEGEND_ROW / 2) as i32;
        let mut x = LEGEND_LEFT as i32;
        for (name, mark, colour) in entries {
            match mark {
                Mark::Dots | Mark::Pairs | Mark::Measured => {
                    area.draw(&Circle::new((x + 14, y), 5, colour.filled()))?
                }
                Mark::Steps => area.draw(&Rectangle::new(
                    [(x, y - 6), (x + 24, y + 6)],
                    colour.mix(0.4).filled(),
                ))?,
                Mark::Line | Mark::Points => {
                    area.draw(&PathElement::new(
                        vec![(x, y), (x + 24, y)],
                        colour.stroke_width(if *mark == Mark::Line { 3 } else { 1 }),
                    ))?;
                    if *mark == Mark::Points {
                        area.draw(&Circle::new((x + 12, y), 4, colour.filled()))?;
                    }
                }
            }
            let x_of_name = x + LEGEND_MARK as i32;
            area.draw(&Text::new(*name, (x_of_name, y - 5), (FONT, 18)))?;
            x = x_of_name + (text_width(area, name)? + LEGEND_GAP) as i32;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_factors_have_ticks() {
        let ticks = |low, high| ticks_of_factors(&(low..high));
        assert_eq!(ticks(0.2, 4.8), [0.2, 0.5, 1.0, 2.0]);
        assert_eq!(ticks(8.0, 12_000.0), [10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(ticks(25.0, 70.0), [30.0, 40.0, 50.0, 60.0]);
        assert_eq!(ticks(2500.0, 3600.0), [2500.0, 2700.0, 2900.0, 3100.0, 3300.0, 3500.0]);
        assert!(ticks(0.9, 1e13).len() <= 9);
    }

    #[test]
    fn a_zero_has_no_sign() {
        assert_eq!(
            [-0.0, -0.004, -0.05, 0.15].map(|at| label(at, 2)),
            ["0.00", "0.00", "-0.05", "0.15"]
        );
        assert_eq!([-0.0, -10.0].map(|at| label(at, 0)), ["0", "-10"]);
    }
}
