//! What the fuzzers start from, and all that they found, through the functions that they call: no panic, no more memory than
//! twice what an honest file takes, and no more than a second (ten, where two slow cores build and test at once).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/counting.rs"]
mod counting;
#[path = "../../../fuzz/src/readers.rs"]
mod readers;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use counting::Counting;
use readers::TARGETS;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static PANICS: AtomicUsize = AtomicUsize::new(0);

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

/// Damaged files of each kind without a fuzzer: `FUZZ_RUNS=100000 cargo test --test fuzz_corpus -- --ignored --nocapture`; with
/// `FUZZ_TARGET=npz` for one kind, with `FUZZ_SEED=2` others. What fails is left in the folder for temporary files, by name.
#[test]
#[ignore = "takes minutes"]
fn mutations_of_the_corpora_are_read_or_refused() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |number| number.parse().expect("a number"))
    };
    let (runs, seed) = (number("FUZZ_RUNS", 20_000), number("FUZZ_SEED", 1));
    let only = std::env::var("FUZZ_TARGET").ok();
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    // Also one that somebody catches.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{panic}");
    }));
    let mut all = 0;
    for target in
        TARGETS.iter().filter(|target| only.as_ref().is_none_or(|name| name == target.name))
    {
        let files = std::fs::read_dir(corpora.join(target.name)).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let files: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let (start, mut failures, mut slowest, mut most) =
            (Instant::now(), 0, Duration::ZERO, 0.0f64);
        let mut random = Random(seed);
        for run in 0..runs {
            let bytes = random.mutated(&files);
            let start = Instant::now();
            let panics = PANICS.load(Ordering::Relaxed);
            let peak = counting::peak(|| {
                let run = std::panic::AssertUnwindSafe(|| target.run(&bytes));
                drop(std::panic::catch_unwind(run));
            });
            slowest = slowest.max(start.elapsed());
            most = most.max(peak as f64 / target.most(bytes.len()) as f64);
            if PANICS.load(Ordering::Relaxed) > panics
                || peak > target.most(bytes.len())
                || start.elapsed() > Duration::from_secs(1)
            {
                failures += 1;
                let path = std::env::temp_dir().join(format!("fuzz-{}-{seed}-{run}", target.name));
                eprintln!("{}: {peak} bytes, {:?}", path.display(), start.elapsed());
                std::fs::write(path, &bytes).unwrap();
            }
        }
        let (name, took) = (target.name, start.elapsed());
        eprintln!(
            "{name}: {runs} runs in {took:.0?}, {failures} failures, at most {slowest:.1?} and {most:.2} of the memory"
        );
        all += failures;
    }
    assert_eq!(all, 0);
}

/// Steele, Lea, Flood 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of `files` with one to four things done to it.
    fn mutated(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = files[self.below(files.len())].clone();
        for _ in 0..=self.below(4) {
            let (at, length) = (self.below(bytes.len()), self.below(40));
            let end = (at + length).min(bytes.len());
            match self.below(8) {
                _ if bytes.is_empty() => bytes.push(self.next() as u8),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next() as u8,
                2 => {
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'-', b'.', b'"', b'\n']
                        [self.below(11)]
                }
                3 => {
                    let number = [0, 1, 0x7fff_ffff, 0x8000_0000, u64::MAX, 1 << 32, self.next()]
                        [self.below(7)];
                    let size = [2, 4, 8][self.below(3)];
                    let end = (at + size).min(bytes.len());
                    bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
                }
                4 => bytes.truncate(at),
                5 => drop(bytes.drain(at..end)),
                6 => {
                    let piece = bytes[at..end].repeat(1 + self.below(30));
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let other = &files[self.below(files.len())];
                    let from = self.below(other.len());
                    let piece = other[from..(from + length).min(other.len())].to_vec();
                    bytes.splice(at..end, piece);
                }
            }
        }
        bytes
    }
}
