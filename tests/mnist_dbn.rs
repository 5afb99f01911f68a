//! The MNIST example, on a few made-up pictures everywhere, and on a slice of the real ones where they are.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example's program, which `cargo test --workspace` builds beside the tests.
fn example() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    dir.pop();
    dir.pop();
    let program = dir.join("examples").join(format!("mnist_dbn{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built: run `cargo test --workspace`", program.display());
    program
}

fn run(data: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(example());
    command.arg("--data").arg(data).arg("--out").arg(out).args(more);
    command.output().unwrap()
}

/// The percentage in the last line, `test error 1.12 %`.
fn test_error(output: &Output) -> f64 {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let last = stdout.lines().last().unwrap();
    let number = last.strip_prefix("test error ").and_then(|rest| rest.strip_suffix(" %"));
    number.unwrap_or_else(|| panic!("last line {last:?}")).parse().unwrap()
}

/// Two classes of 28×28 pictures, a bar on the left and a bar on the right, as IDX files.
fn write_bars(dir: &Path, name: &str, count: usize) {
    let mut images = vec![0, 0, 8, 3];
    let mut labels = vec![0, 0, 8, 1];
    images.extend([count, 28, 28].iter().flat_map(|&n| (n as u32).to_be_bytes()));
    labels.extend((count as u32).to_be_bytes());
    for case in 0..count {
        let class = case % 2;
        labels.push(class as u8);
        let column = 4 + 16 * class + case % 4;
        images.extend((0..784).map(|pixel| if pixel % 28 / 4 == column / 4 { 255u8 } else { 0 }));
    }
    fs::write(dir.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
    fs::write(dir.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
}

const TINY: [&str; 8] = [
    "--set",
    "layers.*.hidden=20",
    "--set",
    "layers.*.epochs=3",
    "--set",
    "classifier.epochs=30",
    "--set",
    "classifier.batch_size=10",
];

#[test]
fn tells_left_from_right_and_leaves_a_model() {
    let dir = tempfile::tempdir().unwrap();
    write_bars(dir.path(), "train", 200);
    write_bars(dir.path(), "t10k", 40);
    let out = dir.path().join("run");
    let output = run(dir.path(), &out, &TINY);
    assert_eq!(test_error(&output), 0.0);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1.25 %"),
        "the table of 2006 is missing"
    );
    for name in
        ["model.safetensors", "config.json", "filters.png", "reconstructions.png", "samples.png"]
    {
        assert!(out.join(name).is_file(), "{name}");
    }

    // Another recipe in the same folder is refused rather than mixed with the first.
    let other = run(dir.path(), &out, &["--seed", "1"]);
    assert!(!other.status.success());
    assert!(String::from_utf8_lossy(&other.stderr).contains("another recipe"));
}

#[test]
fn says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&dir.path().join("nowhere"), &dir.path().join("run"), &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
}

#[test]
fn learns_a_slice_of_mnist() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/mnist");
    let elsewhere = std::env::var_os("MNIST_DIR").map(PathBuf::from);
    let Some(data) = std::iter::once(shared).chain(elsewhere).find(|dir| dir.is_dir()) else {
        println!("skipped: neither ../shared/data/mnist nor $MNIST_DIR is there");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = vec!["--limit", "2000"];
    for setting in [
        "layers.*.hidden=100",
        "layers.*.batch_size=20",
        "layers.*.epochs=3",
        "classifier.epochs=20",
        "classifier.batch_size=20",
    ] {
        settings.extend(["--set", setting]);
    }
    // Chance is 90 %, nearest class mean about 18 %: a broken layer or a shifted label shows.
    let error = test_error(&run(&data, &dir.path().join("run"), &settings));
    assert!(error < 15.0, "{error} %");
}
