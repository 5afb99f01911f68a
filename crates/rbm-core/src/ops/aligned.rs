//! Scratch memory that begins at a cache line. A vector that lies across two lines takes two loads.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Numbers of which the first lies at the beginning of a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned<T> {
    memory: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// So many zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut zeros = Self::default();
        zeros.set_len(len);
        zeros
    }

    /// Has `len` numbers from now on. They are what was there before, or zeros where the memory is new.
    pub(super) fn set_len(&mut self, len: usize) {
        if self.memory.len() < self.start + len {
            let spare = LINE / size_of::<T>().max(1);
            self.memory = vec![T::default(); len + spare];
            self.start = self.memory.as_ptr().align_offset(LINE).min(spare);
        }
        self.len = len;
    }

    /// Is `len` zeros from now on.
    pub(super) fn set_zeros(&mut self, len: usize) {
        self.set_len(len);
        self.fill(T::default());
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a start that is not moved with new memory, and memory that is too short for it.
    #[test]
    fn numbers_begin_at_a_line_however_many_there_are() {
        let mut numbers = Aligned::<f32>::default();
        let mut doubles = Aligned::<f64>::zeros(5);
        assert_eq!((numbers.len(), &*doubles), (0, &[0.0; 5][..]));
        for len in [1, 7, 4096, 3, 100_000] {
            numbers.set_len(len);
            numbers.fill(1.0);
            doubles.set_zeros(len);
            assert!(doubles.iter().all(|number| *number == 0.0), "{len}");
            doubles.fill(1.0);
            assert_eq!((numbers.len(), doubles.len()), (len, len));
            assert_eq!(numbers.as_ptr().align_offset(LINE), 0, "{len}");
            assert_eq!(doubles.as_ptr().align_offset(LINE), 0, "{len}");
        }
    }
}
