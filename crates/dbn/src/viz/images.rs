//! Pictures of cases, filters and reconstructions: pixels as a PNG file, or several as an animated GIF file, and words in them.

use std::path::Path;
use std::sync::Once;

use candle_core::{DType, Device, Tensor};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result, Units};

type Colour = [u8; 3];

/// Behind and between the tiles: blueish, so that it is neither a grey pixel nor a filter's white.
const BACKGROUND: Colour = [88, 96, 112];
/// A value that is not finite.
const WARNING: Colour = [255, 0, 255];
/// The smallest longer side of a tile, in pixels of the picture.
const LEGIBLE: usize = 80;
/// The shorter side that a long strip is to have, and the longer one that it may take for that.
const STRIP: (usize, usize) = (40, 600);
/// Between tiles, in pixels of the picture.
const GAP: usize = 3;
/// In addition, between one pair of rows and the next.
const PAIR_GAP: usize = 6;
/// The largest picture, in pixels: 768 MiB of colours.
const MAX_PIXELS: usize = 1 << 28;

/// From the most negative to the most positive: blue over white to red, equally light on both sides (ColorBrewer's RdBu).
const DIVERGING: [Colour; 5] =
    [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];
const GREYS: [Colour; 2] = [[0, 0, 0], [255, 255, 255]];

/// How values become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    /// Grey: 0 is black, 1 is white, and what lies outside [0, 1] is drawn as the nearer of the two.
    Unit,
    /// Blue below 0, white at 0, red above: each tile by its own largest absolute value. For filters.
    Symmetric,
    /// Grey: the smallest value of all tiles is black, the largest white.
    Range,
}

/// Height and width in pixels in which to draw a case of `width` values: `image` if it has that many, else a square if
/// there is one, else the most nearly square rectangle, wider than high (a single row if `width` is prime).
pub fn shape_of(width: usize, image: Option<(usize, usize)>) -> (usize, usize) {
    if let Some((height, columns)) = image
        && height.checked_mul(columns) == Some(width)
    {
        return (height, columns);
    }
    let height =
        (1..=width.isqrt()).rev().find(|height| width.is_multiple_of(*height)).unwrap_or(1);
    (height, width / height)
}

/// Configurations `(n, width)` with one number a unit: of units of several states its number, of others what they are.
///
/// # Errors
///
/// When they are not of these units.
pub fn one_number_a_unit(units: &Units, x: &Tensor) -> Result<Tensor> {
    let Units::Potts { sites, states } = *units else { return Ok(x.clone()) };
    Ok(x.reshape((x.dim(0)?, sites, states))?.argmax(2)?.to_dtype(DType::F32)?)
}

/// What [`one_number_a_unit`] gives, from 0 for the lowest value that a unit may have to 1 for the highest.
///
/// # Errors
///
/// For units without bounds.
pub fn grey(units: &Units, x: &Tensor) -> Result<Tensor> {
    let (low, high) = match units {
        Units::Potts { states, .. } => (0.0, states.saturating_sub(1).max(1) as f32),
        _ => units.range(),
    };
    if !(low.is_finite() && high.is_finite()) {
        return Err(Error::invalid(
            "units to be drawn",
            "a lowest and a highest value",
            units.to_string(),
        ));
    }
    let scale = 1.0 / f64::from(high - low);
    Ok(x.affine(scale, -f64::from(low) * scale)?)
}

/// Configurations `(n, width)` of a machine as they are drawn: tiles `(n, height · width)` from 0 to 1, and their height and width. Sites of states that are no
/// `image` are a map with a row for each state and a column for each site; all others have one number a unit.
///
/// # Errors
///
/// For units without bounds, and configurations of another width.
pub fn tiles(
    units: &Units,
    x: &Tensor,
    image: Option<(usize, usize)>,
) -> Result<(Tensor, (usize, usize))> {
    match (units, image) {
        (&Units::Potts { sites, states }, None) => {
            Ok((map_of_sites(x, (sites, states))?, (states, sites)))
        }
        _ => {
            let grey = grey(units, &one_number_a_unit(units, x)?)?;
            let shape = shape_of(grey.dim(1)?, image);
            Ok((grey, shape))
        }
    }
}

/// Sites of states `(n, sites · states)` as maps, row after row.
pub(crate) fn map_of_sites(x: &Tensor, (sites, states): (usize, usize)) -> Result<Tensor> {
    let n = x.dim(0)?;
    let map = x.reshape((n, sites, states))?.transpose(1, 2)?.contiguous()?;
    Ok(map.reshape((n, sites * states))?)
}

/// The widest picture of long strips, in pixels.
const WIDEST: usize = 1200;

/// How many tiles of this height and width stand in a row of a picture: `most`, or of long strips fewer.
pub fn columns((height, width): (usize, usize), most: usize) -> usize {
    match width > 2 * height {
        true => most.min((WIDEST / (width * zoom((height, width))).max(1)).max(1)),
        false => most,
    }
}

/// Draws the rows of `tiles` `(n, height · width)` side by side, `columns` to a row, to the PNG file `path`. `image` is the
/// height and width of a tile; each of its pixels is enlarged until the tile's longer side has at least 80, of long strips further, until
/// the shorter one has 40 or the longer one 600. A value that is not finite is drawn in magenta. Below each tile stands its caption;
/// `captions` is empty for none. The file is written beside `path` and renamed, so that none is ever half written.
///
/// # Errors
///
/// [`Error::Invalid`] where there is no tile, `columns` is 0, the tiles are not of `image`, captions are not as many as tiles, or the
/// picture would exceed 2²⁸ pixels; [`Error::Io`] where the file cannot be written.
pub fn write_grid(
    path: impl AsRef<Path>,
    tiles: &Tensor,
    captions: &[String],
    image: (usize, usize),
    columns: usize,
    contrast: Contrast,
) -> Result<()> {
    let path = path.as_ref();
    let tiles = rows_of("tiles", tiles, image)?;
    let all = Extent::of(tiles.iter().flatten());
    if !captions.is_empty() && captions.len() != tiles.len() {
        let expected = format!("none, or one for each of {} tiles", tiles.len());
        return Err(Error::invalid("captions", expected, captions.len().to_string()));
    }
    let mut sheet = grid(&tiles, captions, all, image, columns, contrast)?;
    sheet.write_captions(captions)?;
    sheet.write(path)
}

/// Draws `frames`, each a caption and tiles `(n, height · width)` as [`write_grid`] draws them, one after the other to the animated GIF
/// file `path`, `milliseconds` each and the last one longer, without end. The caption stands below all tiles.
///
/// # Errors
///
/// Those of [`write_grid`], and [`Error::Invalid`] where there is no frame or the picture is wider or higher than 65,535 pixels.
pub fn write_animation(
    path: impl AsRef<Path>,
    frames: &[(String, Tensor)],
    image: (usize, usize),
    columns: usize,
    contrast: Contrast,
    milliseconds: u64,
) -> Result<()> {
    let path = path.as_ref();
    let rows = |(caption, tiles)| Ok((caption, rows_of("a frame", tiles, image)?));
    let frames = frames.iter().map(|(caption, tiles)| rows((caption, tiles)));
    let frames = frames.collect::<Result<Vec<(&String, _)>>>()?;
    let all = Extent::of(frames.iter().flat_map(|(_, tiles)| tiles).flatten());
    let sheets = frames.iter().map(|(caption, tiles)| {
        let mut sheet = grid(tiles, &[], all, image, columns, contrast)?;
        sheet.write_footer(caption)?;
        Ok(sheet)
    });
    let sheets = sheets.collect::<Result<Vec<_>>>()?;
    let Some(first) = sheets.first() else {
        return Err(Error::invalid("an animation", "at least one frame", "none"));
    };
    if sheets.iter().any(|sheet| sheet.size != first.size) {
        return Err(Error::invalid("an animation", "frames of one size", "several"));
    }
    let pixels: Vec<_> = sheets.iter().map(|sheet| sheet.colours.as_flattened()).collect();
    write_gif(path, first.size, &pixels, milliseconds)
}

/// Tiles side by side, with room for `captions`; `all` is the extent of the values that share their greys.
fn grid(
    tiles: &[Vec<f32>],
    captions: &[String],
    all: Extent,
    image: (usize, usize),
    columns: usize,
    contrast: Contrast,
) -> Result<Sheet> {
    let caption = if captions.is_empty() { 0 } else { LINE };
    let mut sheet = Sheet::new(tiles.len(), image, columns, 1, caption)?;
    for (at, tile) in tiles.iter().enumerate() {
        let (extent, map): (_, &[Colour]) = match contrast {
            Contrast::Unit => (Extent { low: 0.0, high: 1.0 }, &GREYS),
            Contrast::Symmetric => (Extent::of(tile).symmetric(), &DIVERGING),
            Contrast::Range => (all, &GREYS),
        };
        sheet.draw((at / sheet.columns, at % sheet.columns), tile, extent, map);
    }
    Ok(sheet)
}

/// Draws `originals` `(n, height · width)` above their `reconstructions` of the same shape, `columns` to a row, pair of rows
/// after pair of rows, to the PNG file `path`, as [`write_grid`] does. Grey: 0 is black and 1 is white, or, where values lie
/// outside [0, 1], the smallest and the largest of both. Below everything stands `caption`; an empty one makes no line.
///
/// # Errors
///
/// Those of [`write_grid`], and [`Error::Invalid`] where the two differ in number.
pub fn write_pairs(
    path: impl AsRef<Path>,
    originals: &Tensor,
    reconstructions: &Tensor,
    image: (usize, usize),
    columns: usize,
    caption: &str,
) -> Result<()> {
    let path = path.as_ref();
    let originals = rows_of("originals", originals, image)?;
    let reconstructions = rows_of("reconstructions", reconstructions, image)?;
    if originals.len() != reconstructions.len() {
        let expected = format!("{}, one for each original", originals.len());
        return Err(Error::invalid("reconstructions", expected, reconstructions.len().to_string()));
    }
    let extent = Extent::of(originals.iter().chain(&reconstructions).flatten());
    let is_unit = extent.low >= 0.0 && extent.high <= 1.0;
    let extent = if is_unit { Extent { low: 0.0, high: 1.0 } } else { extent };
    let mut sheet = Sheet::new(originals.len(), image, columns, 2, 0)?;
    for (at, (original, reconstruction)) in originals.iter().zip(&reconstructions).enumerate() {
        let (row, column) = (2 * (at / sheet.columns), at % sheet.columns);
        sheet.draw((row, column), original, extent, &GREYS);
        sheet.draw((row + 1, column), reconstruction, extent, &GREYS);
    }
    if !caption.is_empty() {
        sheet.write_footer(caption)?;
    }
    sheet.write(path)
}

/// How many pixels of the picture a pixel of a tile of this height and width takes, in both directions.
pub(crate) fn zoom((height, width): (usize, usize)) -> usize {
    let (shorter, longer) = (height.min(width).max(1), height.max(width).max(1));
    let zoom = LEGIBLE.div_ceil(longer);
    match longer > STRIP.0 {
        true => zoom.max(STRIP.0.div_ceil(shorter).min(STRIP.1 / longer)),
        false => zoom,
    }
}

fn rows_of(what: &str, tiles: &Tensor, (height, width): (usize, usize)) -> Result<Vec<Vec<f32>>> {
    match *tiles.dims() {
        [n, columns] if n > 0 && columns > 0 && height.checked_mul(width) == Some(columns) => {}
        _ => {
            let expected = format!("shape (n, {height} · {width}), n at least 1");
            return Err(Error::invalid(what, expected, format!("{:?}", tiles.dims())));
        }
    }
    Ok(tiles.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec2()?)
}

/// The smallest and the largest value to be told apart.
#[derive(Debug, Clone, Copy)]
struct Extent {
    low: f32,
    high: f32,
}

impl Extent {
    fn of<'a>(values: impl IntoIterator<Item = &'a f32>) -> Self {
        let finite = values.into_iter().copied().filter(|x| x.is_finite());
        let nothing = Self { low: f32::INFINITY, high: f32::NEG_INFINITY };
        finite.fold(nothing, |e, x| Self { low: e.low.min(x), high: e.high.max(x) })
    }

    fn symmetric(self) -> Self {
        let largest = self.low.abs().max(self.high.abs());
        Self { low: -largest, high: largest }
    }

    /// Where `x` lies, from 0 at `low` to 1 at `high`; in the middle where there is nothing to tell apart.
    fn place(self, x: f32) -> f32 {
        // Halves, because the difference of two large numbers overflows.
        let place = (x / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        if place.is_nan() { 0.5 } else { place.clamp(0.0, 1.0) }
    }
}

fn colour(place: f32, map: &[Colour]) -> Colour {
    let along = place * (map.len() - 1) as f32;
    let below = (along as usize).min(map.len() - 2);
    let part = along - below as f32;
    let mix = |channel: usize| {
        let (from, to) = (f32::from(map[below][channel]), f32::from(map[below + 1][channel]));
        (from + part * (to - from)).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

/// A picture of tiles in rows, `together` rows close to each other and `apart` pixels further from the next; each has `caption` pixels
/// below it for words.
struct Sheet {
    columns: usize,
    together: usize,
    apart: usize,
    caption: usize,
    image: (usize, usize),
    zoom: usize,
    size: (usize, usize),
    colours: Vec<Colour>,
}

impl Sheet {
    fn new(
        tiles: usize,
        image: (usize, usize),
        columns: usize,
        together: usize,
        caption: usize,
    ) -> Result<Self> {
        if columns == 0 {
            return Err(Error::invalid("columns", "at least 1", "0"));
        }
        let columns = columns.min(tiles);
        let zoom = zoom(image);
        let apart = (together - 1) * PAIR_GAP;
        let (size, colours) = ((0, 0), Vec::new());
        let mut sheet = Self { columns, together, apart, caption, image, zoom, size, colours };
        let rows = tiles.div_ceil(columns) * together;
        let pixels = rows.saturating_mul(image.0).saturating_mul(columns).saturating_mul(image.1);
        if pixels < MAX_PIXELS {
            // The place of the tile after the last is where the picture ends: behind the last gap.
            let (right, bottom) = (sheet.corner(0, columns).1, sheet.corner(rows, 0).0);
            sheet.size = (bottom - apart, right);
        }
        match sheet.size.0.checked_mul(sheet.size.1) {
            Some(size @ 1..=MAX_PIXELS) => sheet.colours = vec![BACKGROUND; size],
            _ => {
                let found = format!("{tiles} tiles of {} × {}", image.0, image.1);
                return Err(Error::invalid(
                    "picture",
                    format!("at most {MAX_PIXELS} pixels"),
                    found,
                ));
            }
        }
        Ok(sheet)
    }

    /// The top left corner of a tile: y and x in the picture.
    fn corner(&self, row: usize, column: usize) -> (usize, usize) {
        let high = self.image.0 * self.zoom + self.caption + GAP;
        let y = GAP + row * high + row / self.together * self.apart;
        (y, GAP + column * (self.image.1 * self.zoom + GAP))
    }

    fn draw(
        &mut self,
        (row, column): (usize, usize),
        tile: &[f32],
        extent: Extent,
        map: &[Colour],
    ) {
        let (top, left) = self.corner(row, column);
        for (at, &value) in tile.iter().enumerate() {
            let (y, x) =
                (top + at / self.image.1 * self.zoom, left + at % self.image.1 * self.zoom);
            let colour = if value.is_finite() { colour(extent.place(value), map) } else { WARNING };
            for line in y..y + self.zoom {
                let start = line * self.size.1 + x;
                self.colours[start..start + self.zoom].fill(colour);
            }
        }
    }

    /// Writes one below each tile.
    fn write_captions(&mut self, captions: &[String]) -> Result<()> {
        let (high, wide) = (self.image.0 * self.zoom, self.image.1 * self.zoom);
        let places = captions.iter().enumerate().map(|(at, caption)| {
            let (top, left) = self.corner(at / self.columns, at % self.columns);
            (caption.clone(), top + high, left, wide)
        });
        let places: Vec<_> = places.collect();
        write_captions(self.colours.as_flattened_mut(), self.size, places.into_iter())
    }

    /// Makes a line below everything, and writes into it.
    fn write_footer(&mut self, text: &str) -> Result<()> {
        let (top, width) = self.size;
        self.size.0 += LINE;
        self.colours.resize(self.size.0 * width, BACKGROUND);
        let place = (text.to_owned(), top, GAP, width);
        write_captions(self.colours.as_flattened_mut(), self.size, std::iter::once(place))
    }

    fn write(&self, path: &Path) -> Result<()> {
        write_png(path, self.size, self.colours.as_flattened())
    }
}

/// Writes `rgb`, three bytes a pixel, row by row, to the PNG file `path`: beside it first, then renamed.
pub(super) fn write_png(path: &Path, (height, width): (usize, usize), rgb: &[u8]) -> Result<()> {
    let bytes = encode_png((height, width), rgb).map_err(|e| Error::io(path, e))?;
    write_whole(path, &bytes)
}

fn encode_png((height, width): (usize, usize), rgb: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// The speed of the search for 256 colours, from 1 (best) to 30 (fastest): the colours are greys and little else.
const SPEED: i32 = 10;
/// How much longer than the others the last picture stays.
const REST: u64 = 10;

/// Writes `frames`, each as [`write`] takes it and all of one size, as a GIF file that shows each for `milliseconds` and begins
/// again. Errors when the size is more than GIF has bits for.
fn write_gif(
    path: &Path,
    (height, width): (usize, usize),
    frames: &[&[u8]],
    milliseconds: u64,
) -> Result<()> {
    let (Ok(wide), Ok(high)) = (u16::try_from(width), u16::try_from(height)) else {
        let found = format!("{width} × {height}");
        return Err(Error::invalid("an animation", "at most 65,535 pixels either way", found));
    };
    let mut bytes = Vec::new();
    let encoded = encode_gif(&mut bytes, (wide, high), frames, milliseconds);
    encoded.map_err(|e| Error::io(path, std::io::Error::other(e)))?;
    write_whole(path, &bytes)
}

fn encode_gif(
    bytes: &mut Vec<u8>,
    (width, height): (u16, u16),
    frames: &[&[u8]],
    milliseconds: u64,
) -> std::result::Result<(), gif::EncodingError> {
    let mut encoder = gif::Encoder::new(bytes, width, height, &[])?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    for (i, rgb) in frames.iter().enumerate() {
        let mut frame = gif::Frame::from_rgb_speed(width, height, rgb, SPEED);
        let times = if i + 1 == frames.len() { REST } else { 1 };
        // In hundredths of a second.
        frame.delay = u16::try_from(milliseconds * times / 10).unwrap_or(u16::MAX);
        encoder.write_frame(&frame)?;
    }
    Ok(())
}

/// The name of the font of all charts and captions.
pub(super) const FONT: &str = "chart";
/// How high a line of a caption is, in pixels.
pub(crate) const LINE: usize = 18;
/// The size of its letters, and what one takes in width, on an average.
const SIZE: usize = 14;
const LETTER: usize = 7;

/// Makes the font known, once. Where it cannot be read, drawing text says so.
pub(super) fn have_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        let _ = register_font(FONT, FontStyle::Normal, font);
    });
}

/// Writes captions, each a text, its top and its left, and the width it has, in white into `rgb`, the pixels of a picture of this height and
/// width. What is wider than its place is cut, and ends in `…`.
pub(crate) fn write_captions(
    rgb: &mut [u8],
    (height, width): (usize, usize),
    captions: impl Iterator<Item = (String, usize, usize, usize)>,
) -> Result<()> {
    have_font();
    let backend = BitMapBackend::with_buffer(rgb, (width as u32, height as u32));
    let area = backend.into_drawing_area();
    let style = (FONT, SIZE as u32).into_font().color(&WHITE);
    let draw = |(text, top, left, room): (String, usize, usize, usize)| {
        let most = (room / LETTER).max(1);
        let text = match text.chars().count() <= most {
            true => text,
            false => text.chars().take(most - 1).chain(['…']).collect(),
        };
        area.draw_text(&text, &style, (left as i32, top as i32 + 3))
    };
    let drawn = captions.into_iter().try_for_each(draw).and_then(|()| area.present());
    drawn.map_err(|e| Error::invalid("a caption", "words that can be drawn", e.to_string()))
}
