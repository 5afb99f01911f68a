//! Probabilities drawn once: each becomes a zero or a one.

use super::philox::{BLOCK, block_words, unit};
use crate::rng::Draw;

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
