//! Standard normal numbers (Box and Muller 1958).

use candle_core::{DType, Device, Shape, Tensor};

use super::philox::{BLOCK, draw_tensor};
use crate::{Result, Rng};

/// Numbers from N(0, 1), of the given shape; `dtype` is `F32` or `F64` (the digits of both are those of `f32`).
pub fn normal(
    shape: impl Into<Shape>,
    dtype: DType,
    device: &Device,
    rng: &mut Rng,
) -> Result<Tensor> {
    draw_tensor("normal", shape.into(), dtype, device, rng, |words, out| {
        let mut normals = [0f32; BLOCK];
        // Words 0 and 1, and words 2 and 3 of a counter, are the radius and the angle of a pair.
        for half in [0, BLOCK / 2] {
            for i in half..half + BLOCK / 4 {
                [normals[i], normals[i + BLOCK / 4]] = pair(words[i], words[i + BLOCK / 4]);
            }
        }
        out.copy_from_slice(&normals[..out.len()]);
    })
}

fn pair(radius: u32, angle: u32) -> [f32; 2] {
    const UNIT: f32 = 1.0 / 4_294_967_296.0;
    // All 32 bits near zero: the tail reaches 6.7 standard deviations.
    let radius = (-2.0 * libm::logf((radius as f32 + 0.5) * UNIT)).max(0.0).sqrt();
    let (sin, cos) = libm::sincosf(angle as f32 * UNIT * std::f32::consts::TAU);
    [radius * cos, radius * sin]
}
