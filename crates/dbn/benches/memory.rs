//! How much memory a training takes on data ten times the size of MNIST: 600,000 cases of 784 values, as bytes in IDX files
//! (0.5 GB) and as `f32` in npy and safetensors files (1.9 GB each), which are generated into a temporary folder (`TMPDIR`
//! chooses the disk). Each training is a process of its own; Linux only.
//!
//! `cargo bench -p candle-dbn --bench memory`
#![allow(clippy::unwrap_used)]

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use generated::{Cost, Form, WIDTH};

const CASES: usize = 600_000;
const HIDDEN: usize = 500;
/// Mini-batches of a short run.
const BATCHES: usize = 500;
/// The most that a training may take above its model, in bytes.
const MAX_PEAK: usize = 300_000_000;

fn main() -> ExitCode {
    rbm_core::ops::device::settle().expect("numbers of threads");
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, source, batches] = &words[..]
        && word == "child"
    {
        generated::train(Path::new(source), HIDDEN, batches.parse().unwrap()).print();
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_os = "linux") {
        println!("the peak of memory is read from /proc/self/status: Linux only");
        return ExitCode::SUCCESS;
    }
    let model = 4 * (WIDTH * HIDDEN + WIDTH + HIDDEN);
    println!(
        "{CASES} cases of {WIDTH} values, one layer {WIDTH}-{HIDDEN}, model {} MB",
        model / 1_000_000
    );
    println!("form          file  batches  peak - model  opening  learning  a batch");
    let mut is_within = true;
    for (form, lengths) in [
        (Form::Idx, &[BATCHES, usize::MAX][..]),
        (Form::Npy, &[BATCHES]),
        (Form::Safetensors, &[BATCHES]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Instant::now();
        let source = generated::write(dir.path(), form, CASES);
        let written = std::fs::read_dir(dir.path()).unwrap();
        let size: u64 = written.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        eprintln!("{form:?}: generated in {:.0} s", clock.elapsed().as_secs_f64());
        for batches in lengths {
            let cost = run(&source, *batches);
            let above = cost.peak - model;
            is_within &= above <= MAX_PEAK;
            println!(
                "{:11} {:4} MB  {:7}     {:6.1} MB  {:5.1} s   {:5.1} s  {:4.0} µs",
                format!("{form:?}"),
                size / 1_000_000,
                cost.batches,
                above as f64 / 1e6,
                cost.opening,
                cost.learning,
                cost.learning / cost.batches as f64 * 1e6,
            );
        }
    }
    if is_within {
        println!("every peak is at most {} MB above the model", MAX_PEAK / 1_000_000);
        return ExitCode::SUCCESS;
    }
    println!("a peak is more than {} MB above the model", MAX_PEAK / 1_000_000);
    ExitCode::FAILURE
}

fn run(source: &Path, batches: usize) -> Cost {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.arg("child").arg(source).arg(batches.to_string()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Cost::parse(&text).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
