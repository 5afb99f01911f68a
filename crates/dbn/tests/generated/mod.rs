//! Data sets of any size, made up; a training that runs for a while on them; and what it took of memory.
#![allow(clippy::unwrap_used, dead_code)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use candle_dbn::training::{Command, Observer, Outcome, StageStart, Step};
use candle_dbn::{Recipe, Training, data};
use flate2::{Compression, write::GzEncoder};

/// Values of a case: 28 × 28.
pub const WIDTH: usize = 784;

/// How a data set lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bytes in a folder of IDX files.
    Idx,
    /// The same, gzipped.
    IdxGz,
    /// `f32` in a NumPy file.
    Npy,
    /// The same, column after column.
    NpyByColumns,
    /// `f32` in a safetensors file.
    Safetensors,
    /// Text.
    Csv,
}

impl Form {
    pub const ALL: [Self; 6] =
        [Self::Idx, Self::IdxGz, Self::Npy, Self::NpyByColumns, Self::Safetensors, Self::Csv];
}

/// A pixel of a case, about a fifth of them other than 0.
pub fn pixel(case: usize, at: usize) -> u8 {
    let mut x = (case * WIDTH + at) as u64;
    x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (x >> 40) as u16;
    if bits & 0xff < 51 { (bits >> 8) as u8 } else { 0 }
}

/// The value that is read for a pixel, whatever the form.
pub fn value(case: usize, at: usize) -> f32 {
    f32::from(pixel(case, at)) / 255.0
}

/// Writes `count` cases into `dir`, and returns the source to read.
pub fn write(dir: &Path, form: Form, count: usize) -> PathBuf {
    let create =
        |name: &str| BufWriter::with_capacity(1 << 20, File::create(dir.join(name)).unwrap());
    let header = |file: &mut dyn Write, is_by_columns: bool| {
        let order = if is_by_columns { "True" } else { "False" };
        let text = format!(
            "{{'descr': '<f4', 'fortran_order': {order}, 'shape': ({count}, {WIDTH}), }}\n"
        );
        file.write_all(b"\x93NUMPY\x01\x00").unwrap();
        file.write_all(&(text.len() as u16).to_le_bytes()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let floats = |file: &mut dyn Write| {
        for case in 0..count {
            let row: Vec<u8> = (0..WIDTH).flat_map(|at| value(case, at).to_le_bytes()).collect();
            file.write_all(&row).unwrap();
        }
    };
    let images = |file: &mut dyn Write| {
        file.write_all(&[0, 0, 8, 3]).unwrap();
        for size in [count as u32, 28, 28] {
            file.write_all(&size.to_be_bytes()).unwrap();
        }
        for case in 0..count {
            let row: Vec<u8> = (0..WIDTH).map(|at| pixel(case, at)).collect();
            file.write_all(&row).unwrap();
        }
    };
    let labels = || {
        let mut file = create("train-labels-idx1-ubyte");
        file.write_all(&[0, 0, 8, 1]).unwrap();
        file.write_all(&(count as u32).to_be_bytes()).unwrap();
        file.write_all(&(0..count).map(|case| (case % 10) as u8).collect::<Vec<_>>()).unwrap();
        file.flush().unwrap();
    };
    match form {
        Form::Idx => {
            labels();
            let mut file = create("train-images-idx3-ubyte");
            images(&mut file);
            file.flush().unwrap();
            dir.to_path_buf()
        }
        Form::IdxGz => {
            labels();
            let mut file =
                GzEncoder::new(create("train-images-idx3-ubyte.gz"), Compression::fast());
            images(&mut file);
            file.finish().unwrap().flush().unwrap();
            dir.to_path_buf()
        }
        Form::Npy => {
            let mut file = create("cases.npy");
            header(&mut file, false);
            floats(&mut file);
            file.flush().unwrap();
            dir.join("cases.npy")
        }
        Form::NpyByColumns => {
            let mut file = create("columns.npy");
            header(&mut file, true);
            for at in 0..WIDTH {
                let column: Vec<u8> =
                    (0..count).flat_map(|case| value(case, at).to_le_bytes()).collect();
                file.write_all(&column).unwrap();
            }
            file.flush().unwrap();
            dir.join("columns.npy")
        }
        Form::Safetensors => {
            let mut file = create("cases.safetensors");
            let end = count * WIDTH * 4;
            let header = format!(
                "{{\"cases\":{{\"dtype\":\"F32\",\"shape\":[{count},{WIDTH}],\"data_offsets\":[0,{end}]}}}}"
            );
            file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
            file.write_all(header.as_bytes()).unwrap();
            floats(&mut file);
            file.flush().unwrap();
            dir.join("cases.safetensors")
        }
        Form::Csv => {
            let mut file = create("cases.csv");
            for case in 0..count {
                let row: Vec<_> = (0..WIDTH).map(|at| value(case, at).to_string()).collect();
                writeln!(file, "{}", row.join(",")).unwrap();
            }
            file.flush().unwrap();
            dir.join("cases.csv")
        }
    }
}

/// The most memory that this process has had resident so far, in bytes. Linux only.
pub fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap()
}

/// What a training came to.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The peak of memory before the data were opened, in bytes.
    pub before: usize,
    /// The peak of memory in the end, in bytes.
    pub peak: usize,
    /// Seconds until learning began: opening, checking, averaging.
    pub opening: f64,
    /// Mini-batches learned.
    pub batches: usize,
    /// Seconds of learning.
    pub learning: f64,
}

impl Cost {
    pub fn print(&self) {
        let Self { before, peak, opening, batches, learning } = self;
        println!("cost {before} {peak} {opening} {batches} {learning}");
    }

    /// What [`Cost::print`] wrote, somewhere in `output`.
    pub fn parse(output: &str) -> Option<Self> {
        let line =
            output.lines().find_map(|line| line.split_once("cost ")).map(|(_, rest)| rest)?;
        let mut words = line.split(' ');
        let mut next = || words.next()?.parse::<f64>().ok();
        Some(Self {
            before: next()? as usize,
            peak: next()? as usize,
            opening: next()?,
            batches: next()? as usize,
            learning: next()?,
        })
    }
}

/// Trains one layer of `hidden` units on `source`, for `batches` mini-batches of 100 or one epoch, whichever ends first.
pub fn train(source: &Path, hidden: usize, batches: usize) -> Cost {
    let before = peak();
    let clock = Instant::now();
    let settings = [
        format!("data.source={:?}", source.to_str().unwrap()),
        format!("layers.0.hidden={hidden}"),
        "layers.0.epochs=1".into(),
    ];
    let mut recipe = Recipe::named("default").unwrap();
    recipe.layers.truncate(1);
    recipe.classifier = None;
    let recipe = recipe.with(&settings).unwrap();
    let data = data::load(source.to_str().unwrap(), &recipe.read_options()).unwrap();
    let mut training = Training::new(recipe, data, &Device::Cpu).unwrap();
    let mut watch = Limited { limit: batches, batches: 0, began: None };
    let outcome = training.run(&mut watch).unwrap();
    assert!(matches!(outcome, Outcome::Stopped) == (watch.batches == batches));
    let began = watch.began.unwrap();
    Cost {
        before,
        peak: peak(),
        opening: (began - clock).as_secs_f64(),
        batches: watch.batches,
        learning: began.elapsed().as_secs_f64(),
    }
}

struct Limited {
    limit: usize,
    batches: usize,
    began: Option<Instant>,
}

impl Observer for Limited {
    fn stage(&mut self, _: &StageStart) -> candle_dbn::Result<()> {
        self.began = Some(Instant::now());
        Ok(())
    }

    fn step(&mut self, _: &Step) -> candle_dbn::Result<Command> {
        self.batches += 1;
        Ok(if self.batches == self.limit { Command::Stop } else { Command::Continue })
    }
}
