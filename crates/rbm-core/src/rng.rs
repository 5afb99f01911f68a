//! The generator: Philox4x32-10, whose whole state is a seed and a counter.
//!
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A counter-based generator has no
//! sequence to walk through: value `i` of draw `n` is a function of `(seed, n, i)`, so every thread and every device
//! computes the same bits in any order, and a checkpoint of it is sixteen bytes.

use std::convert::Infallible;

use rand::TryRng;
use serde::{Deserialize, Serialize};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// The highest counter word of [`Rng::split`]; draws count up from zero and do not reach it.
const SPLIT_DOMAIN: u32 = u32::MAX;

/// Rounds of Philox4x32-10.
pub(crate) const ROUNDS: usize = 10;

/// Counters that are turned into words side by side.
pub(crate) const LANES: usize = 32;
/// Values that one block of counters serves.
pub(crate) const BLOCK: usize = 4 * LANES;

/// Ten rounds of Philox4x32: four random words for a counter under a key.
pub fn philox4x32(counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let mut lanes = counter.map(u64::from);
    for _ in 0..ROUNDS {
        lanes = round(lanes, key);
        key = next_key(key);
    }
    lanes.map(|lane| lane as u32)
}

/// One round of Philox4x32; the vectorised samplers apply it to a block of counters side by side.
///
/// Each word is the lower half of 64 bits, because vector instructions multiply 32 bits by 32 there. What a product
/// leaves in the upper half is never read.
#[inline(always)]
pub(crate) fn round([c0, c1, c2, c3]: [u64; 4], [k0, k1]: [u32; 2]) -> [u64; 4] {
    let low = |x: u64| x & u64::from(u32::MAX);
    let p0 = u64::from(MULTIPLIERS[0]) * low(c0);
    let p1 = u64::from(MULTIPLIERS[1]) * low(c2);
    [p1 >> 32 ^ c1 ^ u64::from(k0), p1, p0 >> 32 ^ c3 ^ u64::from(k1), p0]
}

/// The key of the next round.
#[inline(always)]
pub(crate) fn next_key([k0, k1]: [u32; 2]) -> [u32; 2] {
    [k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1])]
}

#[inline(always)]
pub(crate) fn words(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// A seeded generator: plain data, printable, comparable, sixteen bytes to save.
///
/// Every tensor that is drawn takes one step of the counter, whatever its size.
///
/// ```
/// use rbm_core::Rng;
/// let mut rng = Rng::new(7);
/// let twin = rng;
/// assert_eq!(rng.draw(), twin.clone().draw());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    /// The key of Philox.
    pub seed: u64,
    /// How many draws have been taken.
    pub counter: u64,
}

/// The place of one drawn tensor in the generator's stream: value `i` of it is a function of this and `i` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The key of Philox.
    pub seed: u64,
    /// The upper half of Philox's counter; the lower half counts within the tensor.
    pub stream: u64,
}

impl Rng {
    /// A generator at the start of the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    /// An independent generator for the purpose `label`; the same label always gives the same one, and this generator
    /// does not move.
    pub fn split(&self, label: u64) -> Self {
        let [l0, l1] = words(label);
        let [w0, w1, ..] = philox4x32([l0, l1, 0, SPLIT_DOMAIN], words(self.seed));
        Self::new(u64::from(w0) | u64::from(w1) << 32)
    }

    /// Takes the next place in the stream.
    pub fn draw(&mut self) -> Draw {
        let draw = Draw { seed: self.seed, stream: self.counter };
        self.counter += 1;
        draw
    }

    fn next_words(&mut self) -> [u32; 4] {
        let Draw { seed, stream } = self.draw();
        let [s0, s1] = words(stream);
        philox4x32([0, 0, s0, s1], words(seed))
    }
}

/// So that shuffles and distributions of the `rand` crates can draw from it.
impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_words()[0])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let [w0, w1, ..] = self.next_words();
        Ok(u64::from(w0) | u64::from(w1) << 32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(16) {
            let words = self.next_words();
            let fresh = words.iter().flat_map(|word| word.to_le_bytes());
            chunk.iter_mut().zip(fresh).for_each(|(byte, new)| *byte = new);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Random123's kat_vectors file, lines `philox4x32 10`.
    #[test]
    fn known_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in answers {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn splits_differ_and_do_not_move_the_parent() {
        let rng = Rng::new(1);
        let children: Vec<_> = (0..100).map(|label| rng.split(label).seed).collect();
        let distinct: std::collections::HashSet<_> = children.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert_eq!(rng, Rng::new(1));
        assert_ne!(Rng::new(2).split(0), rng.split(0));
    }

    #[test]
    fn bytes_are_the_words_in_order() {
        let (mut a, mut b) = (Rng::new(3), Rng::new(3));
        let mut bytes = [0; 20];
        let Ok(()) = a.try_fill_bytes(&mut bytes);
        let first = b.next_words();
        assert_eq!(bytes[..4], first[0].to_le_bytes());
        assert_eq!(bytes[16..], b.next_words()[0].to_le_bytes());
    }
}
