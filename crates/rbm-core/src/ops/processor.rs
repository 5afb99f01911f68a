//! What of a processor decides which of two ways of an operation is quicker: sums of picked rows, or the dense product.
//!
//! The choice is a function of shapes, of how much is zero, and of the kind of processor. It is never a timing, so a kind of processor
//! gives the same bits at every run. `DBN_CPU` in the environment names another kind.

use std::sync::OnceLock;

use crate::{Error, Result};

/// The variable of the environment that names a kind of processor.
const VARIABLE: &str = "DBN_CPU";

/// A kind of processor: what the sparse way of an operation costs beside the dense one. Measured with `dbn bench --tune`
/// (docs/design/operations.md).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Processor {
    /// What `DBN_CPU` calls it.
    pub name: &'static str,
    /// What finding out which elements of x are not zero costs, in columns of the dense product.
    pub find: f64,
    /// What picking a row of W costs in vW, in units of the dense product's cost of the same element.
    pub pick: f64,
    /// The same in hWᵀ, from rows that have been transposed into the cache.
    pub pick_transposed: f64,
    /// What transposing W for hWᵀ costs, in cases of the dense product.
    pub transpose: f64,
    /// The same as `pick` in the outer product of a step.
    pub pick_outer: f64,
    /// What the step's pass over W costs beside its dense outer product, as a share of that.
    pub pass: f64,
}

/// Zen 4, and whatever else has AVX-512 or AVX2 and a second-level cache of a megabyte.
const ZEN4: Processor = Processor {
    name: "zen4",
    find: 27.0,
    pick: 2.45,
    pick_transposed: 2.45,
    transpose: 20.0,
    pick_outer: 1.87,
    pass: 0.2,
};

impl Processor {
    /// Every kind that there is, the one that was not measured last.
    pub const KINDS: [Self; 4] = [
        Self {
            name: "sapphire-rapids",
            find: 80.0,
            pick: 4.4,
            pick_transposed: 3.3,
            transpose: 40.0,
            pick_outer: 2.4,
            pass: 0.2,
        },
        ZEN4,
        Self {
            name: "zen3",
            find: 47.0,
            pick: 3.3,
            pick_transposed: 2.7,
            transpose: 24.0,
            pick_outer: 2.6,
            pass: 0.2,
        },
        Self { name: "portable", ..ZEN4 },
    ];

    /// The kind of the processor at hand, or the one that `DBN_CPU` names; read once. What `DBN_CPU` says is checked by
    /// [`settle`](super::device::settle): a name that there is not is passed over here.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Processor> = OnceLock::new();
        HERE.get_or_init(|| Self::named_in_environment().ok().flatten().unwrap_or_else(Self::found))
    }

    /// The kind of that name.
    ///
    /// # Errors
    ///
    /// With the names that there are, where it is none of them.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::KINDS.into_iter().find(|kind| kind.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::KINDS.iter().map(|kind| kind.name).collect();
            Error::invalid(VARIABLE, format!("one of {}", names.join(", ")), name)
        })
    }

    /// The kind that `DBN_CPU` names, where it is set.
    ///
    /// # Errors
    ///
    /// Where there is no kind of this name.
    pub(super) fn named_in_environment() -> Result<Option<Self>> {
        let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        name.map(|name| Self::named(&name.to_string_lossy())).transpose()
    }

    /// By vector width and second-level cache: what rows are picked from is what lies there.
    fn found() -> Self {
        let [sapphire_rapids, zen4, zen3, portable] = Self::KINDS;
        match (vector_bytes(), second_level_cache()) {
            (64.., Some(2_000_000..)) => sapphire_rapids,
            (64.., _) | (32.., Some(1_000_000..)) => zen4,
            (32.., _) => zen3,
            _ => portable,
        }
    }

    /// The share of x that may be other than zero for x·w, `width` wide, to be a sum of picked rows; below 0 where it never is.
    pub(super) fn most_of_product(&self, width: usize) -> f64 {
        (1.0 - self.find / width as f64) / self.pick
    }

    /// The same for x·wᵀ with `rows` rows.
    pub(super) fn most_of_transposed(&self, rows: usize, width: usize) -> f64 {
        (1.0 - self.find / width as f64 - self.transpose / rows as f64) / self.pick_transposed
    }

    /// The same for a step along xᵀy, with y `width` wide.
    pub(super) fn most_of_outer(&self, width: usize) -> f64 {
        (1.0 - self.find / width as f64 - self.pass) / self.pick_outer
    }
}

/// Bytes of the widest vectors, as the dense product has them; 16 where nothing more is known.
fn vector_bytes() -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return 64;
    } else if std::arch::is_x86_feature_detected!("avx2") {
        return 32;
    }
    16
}

/// Bytes of the second-level cache of a core, where the processor says so.
#[cfg(target_arch = "x86_64")]
fn second_level_cache() -> Option<usize> {
    let caches = raw_cpuid::CpuId::new().get_cache_parameters()?;
    let second = caches.filter(|cache| cache.level() == 2).max_by_key(|cache| cache.sets())?;
    let lines = second.sets() * second.associativity() * second.physical_line_partitions();
    Some(lines * second.coherency_line_size())
}

#[cfg(not(target_arch = "x86_64"))]
fn second_level_cache() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_and_their_limits_are_shares() -> Result<()> {
        for kind in Processor::KINDS {
            assert_eq!(Processor::named(kind.name)?, kind);
            let shares = [
                kind.most_of_product(500),
                kind.most_of_transposed(100, 784),
                kind.most_of_outer(500),
            ];
            assert!(shares.iter().all(|share| (0.1..0.45).contains(share)), "{shares:?}");
            assert!(kind.most_of_product(16) < 0.0 && kind.most_of_transposed(1, 784) < 0.0);
        }
        let error = Processor::named("z80").map_err(|error| error.to_string());
        let names = "one of sapphire-rapids, zen4, zen3, portable";
        assert!(error.is_err_and(|error| error.contains(names) && error.contains("z80")));
        Ok(())
    }

    #[test]
    fn the_processor_at_hand_is_one_of_them() {
        assert!(Processor::KINDS.contains(&Processor::found()));
        if let Some(bytes) = second_level_cache() {
            assert!((1 << 16..1 << 28).contains(&bytes), "{bytes}");
        }
    }
}
