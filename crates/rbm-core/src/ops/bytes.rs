//! Bytes of a file as numbers.

use super::cpu::Simd;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
