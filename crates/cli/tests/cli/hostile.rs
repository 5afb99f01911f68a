//! What would end in an abort of the allocator, of a stack or of a map is an error of one line.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};

use crate::common::{Answer, Place, answer};

#[test]
fn numbers_that_no_machine_has_are_refused() {
    let place = Place::new();
    place.write("x.svm", "1 1:1\n0 2:1\n");
    let width = "train x.svm --width 1000000000000 --out run";
    place.dbn(width).failed_in_the_end(&["width", "at most 1048576", "1000000000000"]);
    place.write("wide.svm", "1 16777216:1\n".repeat(20));
    let wide = place.dbn("train wide.svm --out run");
    wide.failed_in_the_end(&["wide.svm", "line 1", "to 1048576", "16777216:1"]);

    // 50,000 names: deeper than a stack of calls.
    let key = format!("train --set {}b=1 --out run", "a.".repeat(50_000));
    let deep = place.dbn(&key);
    assert!(matches!(deep.code, Some(1 | 2)), "{:?}", deep.code);
    assert!(deep.err.contains("at most 8 names"), "{}", &deep.err[..deep.err.len().min(500)]);

    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        for threads in ["200000", "many"] {
            let answer = answer(place.command("inspect run").env(name, threads));
            answer.misused(&[name, "a number of threads up to 1024", threads]);
        }
    }
    let cpu = answer(place.command("inspect run").env("DBN_CPU", "z80"));
    cpu.misused(&["DBN_CPU", "one of sapphire-rapids, zen4, zen3, portable", "z80"]);
}

/// A disk that is full is one of some output.
#[test]
#[cfg(target_os = "linux")]
fn a_full_output_is_named() {
    let place = Place::new();
    place.train("");
    let full = || std::fs::File::create("/dev/full").unwrap();
    for words in ["inspect run", "inspect run --json", "evaluate run --json"] {
        let full = answer(place.command(words).stdout(full()));
        full.failed_in_the_end(&["dbn: standard output: No space left"]);
    }
    for name in ["x.csv", "x.npy", "x.parquet", "x.safetensors"] {
        let words = format!("embed run --out none/{name}");
        place.dbn(&words).failed_in_the_end(&["none", "there is no folder none"]);
    }
}

/// Another program cuts the data short while they are learned from.
#[test]
#[cfg(target_os = "linux")]
fn a_mapped_file_that_is_cut_short_is_said_in_a_line() {
    let place = Place::new();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4000, 100), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..400_000).map(|i| u8::from(i % 3 == 0)));
    place.write("x.npy", bytes);
    let words = "-vv train x.npy --layers 4 --set layers.*.epochs=100000 --no-pictures --out run";
    let mut child = place.command(words).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let (mut line, mut seen) = (String::new(), String::new());
    while !line.contains("epoch") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no epoch: {seen}");
        seen += &line;
    }
    OpenOptions::new().write(true).open(place.path("x.npy")).unwrap().set_len(0).unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    let answer = Answer { code: status.code(), out: String::new(), err: rest };
    answer.failed_in_the_end(&["a data file was cut short while it was read"]);
}
