//! One chart: series of points over two axes.

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
            self.draw(&backend.into_drawing_area()).map_err(|e| {
                Error::invalid("a chart", "points that can be drawn", e.to_string())
            })?;
        }
        write_png(path, SIZE, &pixels)
    }

    /// Writes `panels` to the PNG file `path`, two beside each other, row after row.
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
            let drawn = || -> DrawResult {
                area.fill(&WHITE)?;
                let places = area.split_evenly((rows, columns));
                places.iter().zip(panels).try_for_each(|(place, panel)| panel.draw(place))?;
                Ok(area.present()?)
            };
            drawn().map_err(|e| {
                Error::invalid("a chart", "points that can be drawn", e.to_string())
            })?;
        }
        write_png(path, (height, width), &pixels)
    }

    fn draw(&self, area: &Area) -> DrawResult {
        have_font();
        area.fill(&WHITE)?;
        let (x, y) = self.ranges(f64::from(area.dim_in_pixel().1))?;
        let x_decimals = if self.is_log_x { 0 } else { decimals(&x) };
        match self.is_log_x {
            true => self.draw_over(area, (x.start..x.end).log_scale(), y, x_decimals),
            false => self.draw_over(area, x, y, x_decimals),
        }
    }

    fn draw_over<X>(
        &self,
        area: &Area,
        x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
        y: Range<f64>,
        x_decimals: usize,
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
            .x_label_formatter(&|x| format!("{x:.x_decimals$}"))
            .y_label_formatter(&|y| format!("{y:.y_decimals$}"))
            .axis_desc_style((FONT, 20))
            .label_style((FONT, 17))
            .draw()?;
        let mut colour = 0;
        for (i, series) in self.series.iter().enumerate() {
            colour += usize::from(i > 0 && !series.name.is_empty());
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
            Mark::Dots => {
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
            let is_dots = series.mark == Mark::Dots;
            let (width, from) = if is_dots { (9, 13) } else { (3, 0) };
            drawn.label(&series.name).legend(move |(x, y)| {
                PathElement::new(vec![(x + from, y), (x + 22, y)], colour.stroke_width(width))
            });
        }
        Ok(())
    }

    /// The points that can be drawn.
    fn places(&self, series: &Series) -> Vec<(f64, f64)> {
        let least = if self.is_log_x { f64::MIN_POSITIVE } else { f64::NEG_INFINITY };
        let can = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && *x >= least;
        series.points.iter().copied().filter(can).collect()
    }

    /// What the axes must show, with a margin.
    fn ranges(&self, height: f64) -> std::result::Result<(Range<f64>, Range<f64>), &'static str> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for series in &self.series {
            let places = self.places(series);
            let errors = series.errors.iter().zip(&places);
            points.extend(errors.flat_map(|(error, (x, y))| [(*x, y - error), (*x, y + error)]));
            if series.mark == Mark::Steps {
                points.extend(places.iter().map(|(x, _)| (*x, 0.0)));
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
        let y = range(&mut points.iter().map(|(_, y)| *y), 0.05);
        let (Some((x0, x1, x_room)), Some((y0, y1, y_room))) = (x, y) else {
            return Err("no point");
        };
        let has_floor = self.series.iter().any(|series| series.mark == Mark::Steps);
        let low = if has_floor { y0 } else { y0 - y_room };
        let (low, high) = match self.y_range {
            Some((least, most)) => (low.min(least), (y1 + y_room).max(most)),
            None => (low, y1 + y_room),
        };
        // Dots may be anywhere, so the legend has a place of its own beside them; of other marks it is above.
        let is_dots = self.series.iter().any(|series| series.mark == Mark::Dots);
        let names = self.series.iter().filter(|series| !series.name.is_empty()).count();
        let high = if is_dots || names == 0 || self.y_range.is_some() {
            high
        } else {
            // Of a lower chart the legend takes a larger part.
            let share =
                (LEGEND_FRAME + LEGEND_LINE * names as f64) * SIZE.0 as f64 / height.max(1.0);
            let share = share.min(0.5);
            low + (high - low) / (1.0 - share)
        };
        let legend = if is_dots { (x1 - x0) * LEGEND } else { 0.0 };
        let x = if self.is_log_x { x0 / 1.2..x1 * 1.2 } else { x0 - x_room..x1 + x_room + legend };
        Ok((x, low..high))
    }
}

/// The decimals that tell the labels of an axis apart: of a tenth of it.
fn decimals(range: &Range<f64>) -> usize {
    let tenth = (range.end - range.start).abs() / 10.0;
    (-tenth.log10()).ceil().clamp(0.0, 9.0) as usize
}
