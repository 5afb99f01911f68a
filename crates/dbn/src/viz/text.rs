//! Words in pictures.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use rbm_core::{Error, Result};

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
