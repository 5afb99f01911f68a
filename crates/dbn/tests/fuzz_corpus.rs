//! What the fuzzers start from, and all that they found, through the functions that they call: no panic, no more memory than
//! twice what an honest file takes, and no more than a second (ten, where two slow cores build and test at once).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/counting.rs"]
mod counting;
#[path = "../../../fuzz/src/readers.rs"]
mod readers;

use std::path::Path;
use std::time::{Duration, Instant};

use counting::Counting;
use readers::TARGETS;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, as memory is counted for the whole process.
#[test]
fn every_file_of_the_corpora_is_read_or_refused() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in &TARGETS {
        let files = std::fs::read_dir(corpora.join(target.name)).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{}", target.name);
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            let start = Instant::now();
            let peak = counting::peak(|| target.run(&bytes));
            let most = target.most(bytes.len());
            assert!(peak <= most, "{}: {peak} bytes of memory, more than {most}", path.display());
            let took = start.elapsed();
            assert!(took < Duration::from_secs(10), "{}: {took:?}", path.display());
        }
    }
}
