//! Targets for cargo-fuzz: every reader of files, fed with what the fuzzer makes of a few small ones.
//!
//! A run fails where it panics, where it takes more memory than [`readers::Target::most`] says, counted by an allocator of our
//! own, or more than a second (which libFuzzer's `-timeout` holds to more strictly than is measured here).

mod counting;
mod readers;

use std::time::{Duration, Instant};

use counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends `bytes` through the target `name`.
pub fn run(name: &str, bytes: &[u8]) {
    let target = readers::TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of this name");
    let start = Instant::now();
    let peak = counting::peak(|| target.run(bytes));
    let most = target.most(bytes.len());
    assert!(peak <= most, "{peak} bytes of memory for {} of a file, more than {most}", bytes.len());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
