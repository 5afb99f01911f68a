//! Bytes of a file as numbers.
//!
//! Probabilities drawn once: each becomes a zero or a one.

use super::cpu::Simd;
use super::random::{block_words, unit};
use crate::rng::{BLOCK, Draw};

/// Adds every one of `bytes`, divided by `divisor`, to the end of `values`: the bits of `f32::from(byte) / divisor`.
pub fn append_divided(bytes: &[u8], divisor: f32, values: &mut Vec<f32>) {
    append_with(Simd::best(), bytes, divisor, values);
}

fn append_with(simd: Simd, bytes: &[u8], divisor: f32, values: &mut Vec<f32>) {
    let from = values.len();
    values.resize(from + bytes.len(), 0.0);
    let values = &mut values[from..];
    simd.run(
        #[inline(always)]
        || {
            for (value, &byte) in values.iter_mut().zip(bytes) {
                // Not times the inverse, which rounds otherwise.
                *value = f32::from(byte) / divisor;
            }
        },
    );
}

/// Puts in the place of every one of `values`, a probability, 1 with that probability and 0 otherwise. Value `i` takes
/// the random word of value `i` of `draw`, whatever else is drawn beside it: 0 and 1 stay what they are.
pub fn draw_bits(values: &mut [f32], draw: Draw) {
    for (block, values) in values.chunks_mut(BLOCK).enumerate() {
        let words = block_words(draw, block as u64);
        for (value, word) in values.iter_mut().zip(words) {
            *value = f32::from(u8::from(unit(word) < *value));
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::{Result, Rng, ops};

    /// Catches a vector width that rounds otherwise, and an end that is left out.
    #[test]
    fn every_width_divides_alike() {
        let bytes: Vec<u8> = (0..=255).chain(0..7).collect();
        for simd in Simd::available() {
            for divisor in [255.0, 16.0, 1.0, 0.3] {
                let mut values = vec![7.0];
                append_with(simd, &bytes, divisor, &mut values);
                let expected = bytes.iter().map(|&byte| f32::from(byte) / divisor);
                let expected: Vec<f32> = [7.0].into_iter().chain(expected).collect();
                assert_eq!(values, expected, "{simd:?}, {divisor}");
            }
        }
    }

    /// Catches words in another order than those of every other draw, and a probability that does not decide.
    #[test]
    fn bits_are_uniform_numbers_below_their_probability() -> Result<()> {
        let n = 3 * BLOCK + 5;
        let probabilities: Vec<f32> = (0..n).map(|i| (i % 11) as f32 / 10.0).collect();
        let mut rng = Rng::new(4);
        let mut bits = probabilities.clone();
        draw_bits(&mut bits, rng.clone().draw());
        let uniform = ops::uniform(n, DType::F32, &Device::Cpu, &mut rng)?.to_vec1::<f32>()?;
        for ((p, u), bit) in probabilities.iter().zip(&uniform).zip(&bits) {
            assert_eq!(*bit == 1.0, u < p, "{p} {u}");
            assert!(*bit == 0.0 || *bit == 1.0);
            assert!(*p % 1.0 != 0.0 || bit == p);
        }
        Ok(())
    }
}
