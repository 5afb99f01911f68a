//! The programs in the README and in the guide, compiled and run as tests.

/// The README's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
