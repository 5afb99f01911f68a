//! A block of rows of a matrix, transposed into the cache.

use super::real::Real;

/// Rows and columns that are exchanged at a time.
const TILE: usize = 8;

/// `w`, `m` wide, into the columns of `turned`, `pitch` wide.
pub(super) fn transpose<T: Real>(w: &[T], m: usize, turned: &mut [T], pitch: usize) {
    let rows = w.len() / m;
    assert!(rows <= pitch && turned.len() >= m * pitch);
    let whole = whole_tiles(w, m, turned, pitch);
    for column in 0..m {
        let first = if column < m / TILE * TILE { whole } else { 0 };
        for row in first..rows {
            turned[column * pitch + row] = w[row * m + column];
        }
    }
}

/// The whole tiles alone, and how many rows they are, where the machine has instructions for them.
#[cfg(target_arch = "x86_64")]
fn whole_tiles<T: Real>(w: &[T], m: usize, turned: &mut [T], pitch: usize) -> usize {
    match (T::as_f32(w), T::as_f32_mut(turned)) {
        (Some(w), Some(turned)) if std::arch::is_x86_feature_detected!("avx2") => {
            // SAFETY: AVX2 is there.
            unsafe { whole_tiles_avx2(w, m, turned, pitch) }
        }
        _ => 0,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn whole_tiles<T: Real>(_: &[T], _: usize, _: &mut [T], _: usize) -> usize {
    0
}

/// Eight rows are eight registers; pairs of them are interleaved by one, by two and by four elements.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn whole_tiles_avx2(w: &[f32], m: usize, turned: &mut [f32], pitch: usize) -> usize {
    use std::arch::x86_64::*;

    let rows = w.len() / m / TILE * TILE;
    for column in (0..m / TILE * TILE).step_by(TILE) {
        for row in (0..rows).step_by(TILE) {
            let lines: [__m256; TILE] = std::array::from_fn(|i| {
                let line = &w[(row + i) * m + column..][..TILE];
                // SAFETY: the slice has eight elements.
                unsafe { _mm256_loadu_ps(line.as_ptr()) }
            });
            let [a, b, c, d, e, f, g, h] = lines;
            let pairs = [
                _mm256_unpacklo_ps(a, b),
                _mm256_unpackhi_ps(a, b),
                _mm256_unpacklo_ps(c, d),
                _mm256_unpackhi_ps(c, d),
                _mm256_unpacklo_ps(e, f),
                _mm256_unpackhi_ps(e, f),
                _mm256_unpacklo_ps(g, h),
                _mm256_unpackhi_ps(g, h),
            ];
            const LOW: i32 = 0b01_00_01_00;
            const HIGH: i32 = 0b11_10_11_10;
            let fours = [
                _mm256_shuffle_ps::<LOW>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<HIGH>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<LOW>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<HIGH>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<LOW>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<HIGH>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<LOW>(pairs[5], pairs[7]),
                _mm256_shuffle_ps::<HIGH>(pairs[5], pairs[7]),
            ];
            for i in 0..TILE / 2 {
                let (upper, lower) = (fours[i], fours[i + TILE / 2]);
                let lines = [
                    _mm256_permute2f128_ps::<0x20>(upper, lower),
                    _mm256_permute2f128_ps::<0x31>(upper, lower),
                ];
                for (line, i) in lines.into_iter().zip([i, i + TILE / 2]) {
                    let place = &mut turned[(column + i) * pitch + row..][..TILE];
                    // SAFETY: the slice has eight elements.
                    unsafe { _mm256_storeu_ps(place.as_mut_ptr(), line) };
                }
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_finds_its_place() {
        fn check<T: Real + std::fmt::Debug>() {
            for (rows, m) in [(1, 1), (8, 8), (13, 27), (64, 40), (61, 203), (3, 100), (70, 5)] {
                let w: Vec<T> = (0..rows * m).map(|i| T::from_f64(i as f64)).collect();
                let pitch = rows + 2;
                let nothing = T::from_f64(-1.0);
                let mut turned = vec![nothing; m * pitch];
                transpose(&w, m, &mut turned, pitch);
                for column in 0..m {
                    for row in 0..pitch {
                        let known = if row < rows { w[row * m + column] } else { nothing };
                        assert_eq!(turned[column * pitch + row], known, "{rows}x{m}");
                    }
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }
}
