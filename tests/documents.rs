//! The programs in the README and in the guide, compiled and run as tests. Those of `program.md` are the examples (`programs.rs`).

/// The README's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the guide's pages that have any.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../docs/guide/src/candle.md")]
    struct Candle;

    #[doc = include_str!("../docs/guide/src/hub.md")]
    struct Hub;

    #[doc = include_str!("../docs/guide/src/machines.md")]
    struct Machines;

    #[doc = include_str!("../docs/guide/src/belief-nets.md")]
    struct BeliefNets;
}
