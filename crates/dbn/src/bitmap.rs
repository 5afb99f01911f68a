//! Pixels as a PNG file.

use std::path::Path;

use rbm_core::checkpoint::write_whole;
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
