//! Random words in bulk: which word belongs to which value of a tensor.
//!
//! Values are drawn in blocks of [`BLOCK`]. Block `b` uses the counters `b·LANES .. (b+1)·LANES`; value `j·LANES + i` of
//! the block takes word `j` of counter `b·LANES + i`. So all lanes run the same instructions, and any value can be
//! computed alone.
//!
//! Standard normal numbers (Box and Muller 1958).

use candle_core::{DType, Device, Shape, Tensor};

use super::cpu::{Simd, for_blocks};
use crate::rng::{BLOCK, Draw, LANES, ROUNDS, next_key, philox4x32, round, words};
use crate::{Result, Rng};

/// The random words of block `block` of a draw.
///
/// A function of its own at every vector width: inlined into what uses the words, it was not always vectorised, and then
/// four times as slow.
pub(super) fn block_words(draw: Draw, block: u64) -> [u32; BLOCK] {
    let mut out = [0; BLOCK];
    Simd::best().run(
        #[inline(always)]
        || out = rounds(draw, block),
    );
    out
}

#[inline(always)]
fn rounds(draw: Draw, block: u64) -> [u32; BLOCK] {
    let [s0, s1] = words(draw.stream).map(u64::from);
    let (mut c0, mut c1) = ([0; LANES], [0; LANES]);
    let (mut c2, mut c3) = ([s0; LANES], [s1; LANES]);
    for i in 0..LANES {
        [c0[i], c1[i]] = words(block * LANES as u64 + i as u64).map(u64::from);
    }
    let mut key = words(draw.seed);
    for _ in 0..ROUNDS {
        for i in 0..LANES {
            [c0[i], c1[i], c2[i], c3[i]] = round([c0[i], c1[i], c2[i], c3[i]], key);
        }
        key = next_key(key);
    }
    let mut out = [0; BLOCK];
    for (part, lanes) in out.chunks_exact_mut(LANES).zip([&c0, &c1, &c2, &c3]) {
        part.iter_mut().zip(lanes).for_each(|(word, &lane)| *word = lane as u32);
    }
    out
}

/// A word as a number strictly between 0 and 1: the midpoints of 2²³ equal intervals.
///
/// Midpoints, so that a probability rounded to 0 or to 1 is certain; 23 bits, so that they are exact in `f32`.
#[inline(always)]
pub(super) fn unit(word: u32) -> f32 {
    ((word >> 9) as i32 as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// A tensor whose blocks of values `fill` makes from random words; a block at the end may be shorter. The kernel `kind` of a
/// GPU makes the same values there; where there is none, they are made on the host.
pub(super) fn draw_tensor(
    kind: &str,
    shape: Shape,
    dtype: DType,
    device: &Device,
    rng: &mut Rng,
    fill: impl Fn([u32; BLOCK], &mut [f32]) + Sync,
) -> Result<Tensor> {
    let draw = rng.draw();
    #[cfg(feature = "cuda")]
    if let (Device::Cuda(device), DType::F32 | DType::F64) = (device, dtype) {
        return Ok(super::cuda::draw(kind, shape, dtype, device, draw)?);
    }
    #[cfg(feature = "metal")]
    if let (Device::Metal(device), DType::F32, "uniform") = (device, dtype, kind) {
        return Ok(super::metal::uniform(shape, device, draw)?);
    }
    let _ = kind;
    let mut values = vec![0f32; shape.elem_count()];
    for_blocks(&mut values, |block, out| fill(block_words(draw, block as u64), out));
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// Numbers uniform on (0, 1), of the given shape; `dtype` is `F32` or `F64` (both hold the same 23 random bits).
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn uniform(
    shape: impl Into<Shape>,
    dtype: DType,
    device: &Device,
    rng: &mut Rng,
) -> Result<Tensor> {
    draw_tensor("uniform", shape.into(), dtype, device, rng, |words, out| {
        out.iter_mut().zip(words).for_each(|(value, word)| *value = unit(word));
    })
}

/// Numbers from N(0, 1), of the given shape; `dtype` is `F32` or `F64` (the digits of both are those of `f32`).
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
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

/// Value `i` of a draw of normal numbers that are drawn one at a time, with all digits of `f64`.
pub(super) fn normal_number(draw: Draw, i: u64) -> f64 {
    const UNIT: f64 = 1.0 / 4_294_967_296.0;
    let ([i0, i1], [s0, s1]) = (words(i), words(draw.stream));
    let random = philox4x32([i0, i1, s0, s1], words(draw.seed)).map(f64::from);
    // The radius has 64 random bits, the angle as many.
    let radius = libm::sqrt(-2.0 * libm::log((random[0] + (random[1] + 0.5) * UNIT) * UNIT));
    radius * libm::cos((random[2] + random[3] * UNIT) * UNIT * std::f64::consts::TAU)
}

fn pair(radius: u32, angle: u32) -> [f32; 2] {
    const UNIT: f32 = 1.0 / 4_294_967_296.0;
    // All 32 bits near zero: the tail reaches 6.7 standard deviations.
    let radius = (-2.0 * libm::logf((radius as f32 + 0.5) * UNIT)).max(0.0).sqrt();
    let (sin, cos) = libm::sincosf(angle as f32 * UNIT * std::f32::consts::TAU);
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_words_of_the_plain_generator() {
        let draw = Draw { seed: 0x0123_4567_89ab_cdef, stream: 0xfedc_ba98_7654_3210 };
        for block in [0, 1, 1 << 40] {
            let got = block_words(draw, block);
            for (i, j) in [(0, 0), (5, 1), (31, 3)] {
                let [c0, c1] = words(block * LANES as u64 + i as u64);
                let [s0, s1] = words(draw.stream);
                assert_eq!(got[j * LANES + i], philox4x32([c0, c1, s0, s1], words(draw.seed))[j]);
            }
        }
    }

    #[test]
    fn unit_stays_inside() {
        assert!(unit(0) > 0.0 && unit(u32::MAX) < 1.0);
        assert_eq!(unit(0) + unit(u32::MAX), 1.0);
    }
}
