//! Data sets that do not fit: what a training takes of memory, and that all forms of the same data are read alike.
//!
//! What they would catch: a data set that becomes `f32` as a whole, pages of a mapped file that are never given back, a
//! temporary file that is read back from the wrong place.
#![allow(clippy::unwrap_used)]

mod generated;

use std::path::Path;

use generated::{Form, WIDTH, value};
use rbm_core::Rows;

/// More than is kept in memory in any form: 78 MB of bytes, 314 MB of `f32`.
const CASES: usize = 100_000;

/// The process that [`the_peak_of_memory_is_bounded`] starts; nothing by itself.
#[test]
#[cfg(target_os = "linux")]
fn child() {
    if let Some(source) = std::env::var_os("DBN_MEMORY_TEST") {
        generated::train(Path::new(&source), 4, 60).print();
    }
}

/// 128 MiB of a mapped file may be resident; what is added up over blocks, and the process itself, take less than 64 MB.
/// 314 MB would be there if the cases became `f32` as a whole, or if no page were given back.
#[test]
#[cfg(target_os = "linux")]
fn the_peak_of_memory_is_bounded() {
    for form in [Form::Idx, Form::IdxGz, Form::Npy, Form::Safetensors] {
        let dir = tempfile::tempdir().unwrap();
        let source = generated::write(dir.path(), form, CASES);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child", "--nocapture"]).env("DBN_MEMORY_TEST", &source);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let cost = generated::Cost::parse(&text).unwrap_or_else(|| panic!("{output:?}"));
        assert_eq!(cost.batches, 60);
        let most = (128 << 20) + 64_000_000;
        assert!(cost.peak < most, "{form:?}: {} MB", cost.peak / 1_000_000);
        eprintln!("{form:?}: {} MB", cost.peak / 1_000_000);
    }
}

/// 32,000 cases are 100 MB of `f32`: rows made from columns or from text go through a temporary file.
#[test]
fn every_form_gives_the_same_rows() {
    let count = 32_000;
    let last = count as u32 - 1;
    let wanted = [last, 0, 17_001, 17_000, 1];
    for form in Form::ALL {
        // Of bytes, more than are unzipped into memory.
        let count = if form == Form::IdxGz { CASES } else { count };
        let dir = tempfile::tempdir().unwrap();
        let source = generated::write(dir.path(), form, count);
        let set = candle_dbn::data::load(source.to_str().unwrap(), &Default::default()).unwrap();
        let cases = set.train.cases;
        assert_eq!((cases.count(), cases.width()), (count, WIDTH), "{form:?}");
        let rows = cases.rows(&wanted).unwrap().to_vec2::<f32>().unwrap();
        for (row, &case) in rows.iter().zip(&wanted) {
            let expected: Vec<f32> = (0..WIDTH).map(|at| value(case as usize, at)).collect();
            assert!(*row == expected, "{form:?}, case {case}");
        }
        let block = cases.block(16_990..17_002).unwrap();
        let (rows, columns) = (block.to_vec2::<f32>().unwrap(), 0..WIDTH);
        let expected: Vec<f32> = columns.map(|at| value(17_001, at)).collect();
        assert!(rows.len() == 12 && rows[11] == expected, "{form:?}");
    }
}
