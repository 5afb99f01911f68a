//! How an elementwise pass over CPU memory is cut up: vector width and threads.

use rayon::prelude::*;

use crate::rng::BLOCK;

/// Elements a thread takes at a time: small enough for two cores to share a mini-batch, large enough to be worth it.
const CHUNK: usize = 32 * BLOCK;
/// Elements that are not worth a second thread.
const SMALL: usize = 128 * BLOCK;

/// The vector instructions that a pass may use. Only [`Simd::best`] and [`Simd::available`] make one, so holding one
/// proves that the machine has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Simd(SimdLevel);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SimdLevel {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Simd {
    /// The widest that pays. AVX-512 was measured and is not faster here (docs/design/random-numbers.md).
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self(SimdLevel::Avx2);
        }
        Self(SimdLevel::Baseline)
    }

    /// Every level of this machine, for tests that compare them.
    #[cfg(test)]
    pub(super) fn available() -> Vec<Self> {
        let mut levels = vec![Self(SimdLevel::Baseline)];
        if Self::best() != levels[0] {
            levels.push(Self::best());
        }
        levels
    }

    /// Runs `pass` compiled for this level; `pass` must be inlined into the wrapper for that to have an effect.
    #[inline]
    pub(super) fn run(self, pass: impl FnOnce()) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        #[inline(never)]
        fn avx2(pass: impl FnOnce()) {
            pass();
        }
        match self.0 {
            SimdLevel::Baseline => pass(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this level exists only where AVX2 was detected.
            SimdLevel::Avx2 => unsafe { avx2(pass) },
        }
    }
}

/// Whether an elementwise pass over so many elements is not worth a second thread, or there is none.
pub(super) fn is_small(elements: usize) -> bool {
    elements <= SMALL || rayon::current_num_threads() == 1
}

/// Calls `pass(offset, chunk)` for consecutive chunks of `out`, on as many threads as rayon has. What a chunk is may
/// depend on their number, so `pass` must treat every element alike.
pub(super) fn for_chunks<T: Send>(out: &mut [T], pass: impl Fn(usize, &mut [T]) + Sync) {
    if is_small(out.len()) {
        pass(0, out);
    } else {
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| pass(i * CHUNK, chunk));
    }
}

/// [`for_chunks`] over two buffers of the same length in step.
pub(super) fn for_chunks2<T: Send>(
    left: &mut [T],
    right: &mut [T],
    pass: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    if is_small(left.len()) {
        pass(0, left, right);
    } else {
        let chunks = left.par_chunks_mut(CHUNK).zip(right.par_chunks_mut(CHUNK)).enumerate();
        chunks.for_each(|(i, (left, right))| pass(i * CHUNK, left, right));
    }
}

/// Calls `pass(block, values)` for every block of [`BLOCK`] values of `out`; the last may be shorter.
pub(super) fn for_blocks<T: Send>(out: &mut [T], pass: impl Fn(usize, &mut [T]) + Sync) {
    for_chunks(out, |offset, chunk| {
        for (i, block) in chunk.chunks_mut(BLOCK).enumerate() {
            pass(offset / BLOCK + i, block);
        }
    });
}
