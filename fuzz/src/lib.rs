//! Targets for cargo-fuzz: every reader of files, fed with what the fuzzer makes of a few small ones.
//!
//! A run fails where it panics, where it takes more memory than [`readers::Target::most`] says, counted by an allocator of our
//! own, or more than a second three times in a row: other programs want the machine too.

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
    let took = start.elapsed();
    let most = target.most(bytes.len());
    assert!(peak <= most, "{peak} bytes of memory for {} of a file, more than {most}", bytes.len());
    let is_quick = || {
        let start = Instant::now();
        target.run(bytes);
        start.elapsed() < Duration::from_secs(1)
    };
    assert!(took < Duration::from_secs(1) || is_quick() || is_quick(), "{took:?}");
}
