//! What a processor can do at most, and what dense products make of it: the yardstick of every ratio to them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use super::product::Matrix;

/// 10⁹ additions and multiplications of `f32` in a second, by all threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Yardstick {
    /// Of multiply-adds in registers alone: the most that the processor can do.
    pub peak_gflops: f64,
    /// Of the dense product of 100 cases with 784×500 weights.
    pub dense_gflops: f64,
}

/// Numbers that are multiplied and added to at once.
const LANES: usize = 16;

/// Multiply-adds of each number in a round.
const TIMES: usize = 200_000;

impl Yardstick {
    /// Measures both for about `time` each, at least three times: the best of them.
    pub fn measure(time: Duration) -> Self {
        let threads = rayon::current_num_threads();
        let peak = best(time, || {
            let done: Vec<usize> = (0..threads).into_par_iter().map(|_| multiply_adds()).collect();
            2.0 * done.iter().sum::<usize>() as f64
        });
        let (cases, inner, width) = (100, 784, 500);
        let x: Vec<f32> = (0..cases * inner).map(|i| (i % 17) as f32).collect();
        let w: Vec<f32> = (0..inner * width).map(|i| (i % 13) as f32).collect();
        let dense = best(time, || {
            black_box(Matrix::new(&x, inner).times(Matrix::new(&w, width)));
            2.0 * (cases * inner * width) as f64
        });
        Self { peak_gflops: peak, dense_gflops: dense }
    }
}

/// The most of `work` in a nanosecond, which returns how much it has done.
fn best(time: Duration, work: impl Fn() -> f64) -> f64 {
    const LEAST: usize = 3;
    let (mut most, mut rounds) = (0.0f64, 0);
    let start = Instant::now();
    while rounds < LEAST || start.elapsed() < time {
        let start = Instant::now();
        let done = work();
        most = most.max(done / start.elapsed().as_nanos().max(1) as f64);
        rounds += 1;
    }
    most
}

/// Makes multiply-adds with the widest instructions that there are; returns how many.
fn multiply_adds() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        /// The same as `chains`, which the compiler does not make registers of 64 bytes of.
        #[target_feature(enable = "avx512f")]
        fn avx512() -> usize {
            use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};

            let (by, more) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
            let mut sums = [_mm512_set1_ps(1.0); 12];
            for _ in 0..TIMES {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, by, more);
                }
            }
            black_box(sums);
            TIMES * sums.len() * LANES
        }

        #[target_feature(enable = "avx2,fma")]
        fn avx2() -> usize {
            chains::<6, true>()
        }

        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the instructions are there.
            return unsafe { avx512() };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            // SAFETY: the instructions are there.
            return unsafe { avx2() };
        }
    }
    if cfg!(target_arch = "aarch64") { chains::<4, true>() } else { chains::<3, false>() }
}

/// N chains of multiply-adds, `FUSED` or not, that do not wait for each other and fit into the registers.
#[inline(always)]
fn chains<const N: usize, const FUSED: bool>() -> usize {
    let (by, more) = (black_box(0.999), black_box(0.001));
    let mut sums = [[1.0f32; LANES]; N];
    for _ in 0..TIMES {
        for chain in &mut sums {
            for x in chain {
                *x = if FUSED { x.mul_add(by, more) } else { *x * by + more };
            }
        }
    }
    black_box(sums);
    TIMES * N * LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches work that the compiler left out, whose rate would be beyond every processor's.
    #[test]
    fn rates_are_those_of_a_processor() {
        let Yardstick { peak_gflops, dense_gflops } = Yardstick::measure(Duration::ZERO);
        let most = 500.0 * rayon::current_num_threads() as f64;
        assert!((0.01..most).contains(&peak_gflops), "{peak_gflops}");
        assert!((0.001..most).contains(&dense_gflops), "{dense_gflops}");
    }
}
