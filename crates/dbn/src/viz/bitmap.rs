//! Pictures as files: pixels as a PNG file, or several as an animated GIF file, and words in them.

use std::path::Path;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};

/// Writes `rgb`, three bytes a pixel, row by row, to the PNG file `path`: beside it first, then renamed.
pub(crate) fn write(path: &Path, (height, width): (usize, usize), rgb: &[u8]) -> Result<()> {
    let bytes = encode((height, width), rgb).map_err(|e| Error::io(path, e))?;
    write_whole(path, &bytes)
}

fn encode((height, width): (usize, usize), rgb: &[u8]) -> std::io::Result<Vec<u8>> {
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
pub(crate) fn write_animation(
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
    let encoded = encode_animation(&mut bytes, (wide, high), frames, milliseconds);
    encoded.map_err(|e| Error::io(path, std::io::Error::other(e)))?;
    write_whole(path, &bytes)
}

fn encode_animation(
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
