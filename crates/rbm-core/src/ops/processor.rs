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
    /// What vW costs where nothing is on, as a share of the dense product.
    pub lists: f64,
    /// What picking a row of W costs, in units of the dense product's cost for the same element.
    pub gather: f64,
    /// What transposing W for hWᵀ costs, in cases of the dense product.
    pub transpose: f64,
    /// The share of x that is not zero from which on the outer product of a step is dense.
    pub outer: f64,
}

impl Processor {
    /// Every kind that there is, those without vector instructions of their own last.
    pub const KINDS: [Self; 4] = [
        Self { name: "sapphire-rapids", lists: 0.0, gather: 2.6, transpose: 20.0, outer: 0.4 },
        Self { name: "zen4", lists: 0.0, gather: 2.6, transpose: 20.0, outer: 0.4 },
        Self { name: "zen3", lists: 0.1, gather: 3.3, transpose: 29.0, outer: 0.27 },
        Self { name: "portable", lists: 0.0, gather: 2.6, transpose: 20.0, outer: 0.4 },
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
        match (Vectors::here(), second_level_cache()) {
            (Vectors::Avx512, Some(2_000_000..)) => sapphire_rapids,
            (Vectors::Avx512, _) | (Vectors::Avx2, Some(1_000_000..)) => zen4,
            (Vectors::Avx2, _) => zen3,
            (Vectors::Baseline, _) => portable,
        }
    }

    /// The largest share of a left side of `rows` rows that may be other than zero for its product to be a sum of picked rows.
    pub(super) fn most_of_product(&self, rows: usize, is_transposed: bool) -> f64 {
        let before = if is_transposed { self.transpose / rows as f64 } else { self.lists };
        (1.0 - before) / self.gather
    }
}

/// The widest vector instructions, as the dense product has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vectors {
    Baseline,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

impl Vectors {
    #[cfg(target_arch = "x86_64")]
    fn here() -> Self {
        match (
            std::arch::is_x86_feature_detected!("avx512f"),
            std::arch::is_x86_feature_detected!("avx2"),
        ) {
            (true, _) => Self::Avx512,
            (false, true) => Self::Avx2,
            (false, false) => Self::Baseline,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn here() -> Self {
        Self::Baseline
    }
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
            for is_transposed in [false, true] {
                assert!((0.2..0.5).contains(&kind.most_of_product(100, is_transposed)));
                assert!(kind.most_of_product(1, true) < 0.0);
            }
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
