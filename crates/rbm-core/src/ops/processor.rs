//! What of a processor decides which way of an operation is quickest: sums of picked rows, sums of four rows, or the dense product.
//!
//! The choice is a function of shapes, of how much is zero, and of the kind of processor. It is never a timing, so a kind of processor
//! gives the same bits at every run. `DBN_CPU` in the environment names another kind.

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;

use super::density::Density;
use super::fours::FOUR;
use crate::{Error, Result};

/// The variable of the environment that names a kind of processor.
const VARIABLE: &str = "DBN_CPU";

/// A way to a product whose left side x may be mostly zeros, or zeros and ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The product of dense matrices.
    Dense,
    /// Sums of the rows that x picks.
    Rows,
    /// Sums of sums of four rows: x is all zeros and ones.
    Fours,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dense, Self::Rows, Self::Fours];

    /// The one that costs least, where `rows` and `fours` are shares of what the dense one costs; the latter holds only for zeros and ones.
    fn cheapest(rows: f64, fours: f64, density: Density) -> Self {
        if density.are_bits && fours < rows.min(1.0) {
            Self::Fours
        } else if rows < 1.0 {
            Self::Rows
        } else {
            Self::Dense
        }
    }
}

/// A kind of processor: what the other ways of an operation cost beside the dense one. Measured with `dbn bench --tune`
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
    /// What picking costs where the rows lie in the first-level cache, as a share of `pick` and `pick_transposed`; 1 where it was not measured.
    pub near: f64,
    /// What transposing W for hWᵀ costs, in cases of the dense product.
    pub transpose: f64,
    /// What making the sums of all fours costs, in cases of the dense product.
    pub table: f64,
    /// What adding the sum of four rows costs, in units of the dense product's cost of one element of x.
    pub four: f64,
    /// The same as `find` in the outer product of a step, whose x is turned round as well.
    pub find_outer: f64,
    /// The same as `pick` there.
    pub pick_outer: f64,
    /// What making the sums of fours costs there, as a share of the dense outer product.
    pub table_outer: f64,
    /// The same as `four` there.
    pub four_outer: f64,
    /// What the step's pass over W costs beside its dense outer product, as a share of that.
    pub pass: f64,
    /// What a row of W costs there before its first case, in multiplications.
    pub row_outer: f64,
}

/// The most rows whose columns, a block at a time, lie in a first-level cache of 32 KiB.
const NEAR: usize = 128;

/// Rows of a parameter that a thread takes at least in a step by fours.
pub(super) const ROWS_OF_FOURS: usize = 196;

/// Zen 4, and whatever else has AVX-512 or AVX2 and a second-level cache of a megabyte.
const ZEN4: Processor = Processor {
    name: "zen4",
    find: 26.0,
    pick: 2.75,
    pick_transposed: 2.25,
    near: 0.5,
    transpose: 10.0,
    table: 16.0,
    four: 1.24,
    find_outer: 43.0,
    pick_outer: 1.47,
    table_outer: 0.043,
    four_outer: 1.67,
    pass: 0.2,
    row_outer: 300.0,
};

impl Processor {
    /// Every kind that there is, the one that was not measured last.
    pub const KINDS: [Self; 4] = [
        Self {
            name: "sapphire-rapids",
            find: 42.0,
            pick: 3.65,
            pick_transposed: 2.65,
            near: 0.35,
            transpose: 24.0,
            table: 34.0,
            four: 1.27,
            find_outer: 80.0,
            pick_outer: 2.4,
            table_outer: 0.2,
            four_outer: 2.3,
            pass: 0.2,
            row_outer: 0.0,
        },
        ZEN4,
        Self {
            name: "zen3",
            find: 47.0,
            pick: 3.3,
            pick_transposed: 2.7,
            near: 1.0,
            transpose: 11.0,
            table: 23.0,
            four: 2.4,
            find_outer: 60.0,
            pick_outer: 2.6,
            table_outer: 0.2,
            four_outer: 2.4,
            pass: 0.2,
            row_outer: 0.0,
        },
        Self { name: "portable", transpose: 20.0, ..ZEN4 },
    ];

    /// The kind of the processor at hand, or the one that `DBN_CPU` names; read once. What `DBN_CPU` says is checked by
    /// [`settle`](super::device::settle): a name that there is not is passed over here.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Processor> = OnceLock::new();
        HERE.get_or_init(|| {
            Self::named_in_environment()
                .ok()
                .flatten()
                .unwrap_or_else(|| Self::of(&Features::here()))
        })
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

    /// By vector width, second-level cache, from which rows are picked, and maker: with vectors of 64 bytes Intel's dense products are quicker.
    fn of(features: &Features) -> Self {
        let [sapphire_rapids, zen4, zen3, portable] = Self::KINDS;
        match (features.vector_bytes, features.second_level_cache) {
            (64.., Some(2_000_000..)) => sapphire_rapids,
            (64.., _) if features.maker.as_deref() == Some(INTEL) => sapphire_rapids,
            (64.., _) | (32.., Some(1_000_000..)) => zen4,
            (32.., _) => zen3,
            _ => portable,
        }
    }

    /// How x·w is made, or x·wᵀ, with x `(rows, inner)` and the product `width` wide, in `shape`'s order.
    /// It does not depend on the number of threads, so that the bits do not.
    pub(super) fn way_of_product(
        &self,
        shape: (usize, usize, usize),
        transposed: bool,
        density: Density,
    ) -> Way {
        let (rows, inner, width) = shape;
        let (rows, width) = (rows as f64, width as f64);
        let (pick, transpose) =
            if transposed { (self.pick_transposed, self.transpose) } else { (self.pick, 0.0) };
        let pick = if inner <= NEAR { pick * self.near } else { pick };
        let before = self.find / width + transpose / rows;
        let by_rows = before + pick * density.elements;
        let by_fours = before + self.table / rows + self.four * density.fours / FOUR as f64;
        Way::cheapest(by_rows, by_fours, density)
    }

    /// How a step along xᵀy of a parameter is made, in `(cases, rows, width)`.
    pub(super) fn way_of_outer(
        &self,
        (cases, rows, width): (usize, usize, usize),
        density: Density,
    ) -> Way {
        let row = self.row_outer / (cases as f64 * width as f64);
        let before = self.find_outer / width as f64 + self.pass + row;
        let by_rows = before + self.pick_outer * density.elements;
        // Sums are made anew for every portion of rows, however few they are.
        let table = self.table_outer * ROWS_OF_FOURS as f64 / rows.clamp(1, ROWS_OF_FOURS) as f64;
        let by_fours = before + table + self.four_outer * density.fours / FOUR as f64;
        Way::cheapest(by_rows, by_fours, density)
    }
}

/// How Intel's processors name their maker.
const INTEL: &str = "GenuineIntel";

/// What decides which kind a processor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Who made it, as it names them, where it does.
    pub maker: Option<String>,
    /// Bytes of the widest vectors, as the dense product has them; 16 where nothing more is known.
    pub vector_bytes: usize,
    /// Bytes of the second-level cache of a core, where the processor says so.
    pub second_level_cache: Option<usize>,
}

impl Features {
    /// Those of the processor at hand.
    pub fn here() -> Self {
        let (vector_bytes, second_level_cache) = (vector_bytes(), second_level_cache());
        Self { maker: maker(), vector_bytes, second_level_cache }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(maker) = &self.maker {
            write!(f, "{maker}, ")?;
        }
        write!(f, "vectors of {} bytes, ", self.vector_bytes)?;
        match self.second_level_cache {
            Some(bytes) => write!(f, "{} KiB of second-level cache a core", bytes / 1024),
            None => write!(f, "second-level cache unknown"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn maker() -> Option<String> {
    raw_cpuid::CpuId::new().get_vendor_info().map(|info| info.as_str().to_owned())
}

#[cfg(not(target_arch = "x86_64"))]
fn maker() -> Option<String> {
    None
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
    fn kinds_are_named_and_take_each_way_where_it_belongs() -> Result<()> {
        for kind in Processor::KINDS {
            assert_eq!(Processor::named(kind.name)?, kind);
            let of = |share, are_bits| Density { are_bits, ..Density::of_bits(share) };
            let ways = |density| {
                let product = |shape, transposed| kind.way_of_product(shape, transposed, density);
                [
                    product((100, 784, 500), false),
                    product((100, 500, 784), true),
                    kind.way_of_outer((100, 784, 500), density),
                ]
            };
            assert_eq!(ways(of(0.05, true)), [Way::Rows; 3], "{}", kind.name);
            assert_eq!(ways(of(0.3, true)), [Way::Fours; 3], "{}", kind.name);
            // Few rows lie in the first-level cache, and are picked from there, where that is known to be quicker.
            let near = kind.way_of_product((100, 100, 784), true, of(0.3, true));
            assert_eq!(near == Way::Rows, kind.near < 1.0, "{}", kind.name);
            assert_eq!(ways(of(0.1, false)), [Way::Rows; 3], "{}", kind.name);
            assert_eq!(ways(of(0.5, false)), [Way::Dense; 3], "{}", kind.name);
            assert_ne!(kind.way_of_outer((100, 16, 500), of(0.3, true)), Way::Fours);
            let small = kind.way_of_product((10, 784, 16), false, of(0.0, true));
            assert_eq!(small, Way::Dense);
            assert_eq!(kind.way_of_product((1, 500, 784), true, of(0.0, true)), Way::Dense);
        }
        let error = Processor::named("z80").map_err(|error| error.to_string());
        let names = "one of sapphire-rapids, zen4, zen3, portable";
        assert!(error.is_err_and(|error| error.contains(names) && error.contains("z80")));
        Ok(())
    }

    #[test]
    fn kinds_follow_from_features() {
        let kind = |maker: Option<&str>, vector_bytes, second_level_cache| {
            let maker = maker.map(str::to_owned);
            Processor::of(&Features { maker, vector_bytes, second_level_cache }).name
        };
        let (amd, intel) = (Some("AuthenticAMD"), Some(INTEL));
        assert_eq!(kind(intel, 64, Some(2 << 20)), "sapphire-rapids");
        assert_eq!(kind(intel, 64, Some(1280 << 10)), "sapphire-rapids");
        assert_eq!(kind(amd, 64, Some(1 << 20)), "zen4");
        assert_eq!(kind(intel, 32, Some(1280 << 10)), "zen4");
        assert_eq!(kind(amd, 32, Some(512 << 10)), "zen3");
        assert_eq!(kind(intel, 32, None), "zen3");
        assert_eq!(kind(None, 16, None), "portable");
        let features =
            Features { maker: None, vector_bytes: 32, second_level_cache: Some(1 << 19) };
        let text = "vectors of 32 bytes, 512 KiB of second-level cache a core";
        assert_eq!(features.to_string(), text);
    }

    #[test]
    fn the_processor_at_hand_is_one_of_them() {
        assert!(Processor::KINDS.contains(&Processor::of(&Features::here())));
        if let Some(bytes) = second_level_cache() {
            assert!((1 << 16..1 << 28).contains(&bytes), "{bytes}");
        }
    }
}
