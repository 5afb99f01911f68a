//! Every configuration of a layer, a block at a time.

use candle_core::Tensor;

use crate::{Error, Layer, Result};

/// The most configurations that an exact answer goes through: 25 units of two states.
pub const MOST: u64 = 1 << 25;

/// Configurations in one block.
const BLOCK: u64 = 1 << 12;

/// The number of configurations of `layer`, if there are at most [`MOST`].
pub fn count(layer: &dyn Layer) -> Option<u64> {
    layer.configurations().filter(|&count| count <= MOST)
}

/// All configurations of `layer` in blocks `(rows, width)`. Errors when there are more than [`MOST`], or infinitely many.
pub fn blocks(layer: &dyn Layer) -> Result<impl Iterator<Item = Result<Tensor>>> {
    let Some(count) = count(layer) else {
        let found = layer.units();
        return Err(Error::invalid(
            "enumeration",
            "a discrete layer of at most 25 binary units",
            found.to_string(),
        ));
    };
    let starts = (0..count).step_by(BLOCK as usize);
    Ok(starts.map(move |start| layer.configuration(start..count.min(start + BLOCK))))
}
