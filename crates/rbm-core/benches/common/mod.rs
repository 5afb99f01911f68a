//! What every benchmark measures on: a machine that has learned, and the cases that it learned from.
//!
//! The cases are made-up strokes, or with `DBN_BENCH_DATA=/path/to/mnist` the training pictures of a folder of IDX files,
//! both thresholded at a half. At its start a machine has half of its hidden units on; after some updates fewer, and how
//! many decides the speed of whatever leaves out units that are off.
// Not every benchmark uses all of it.
#![allow(dead_code)]

// The generator of `dbn bench`: one for both, so that they measure the same.
#[path = "../../../cli/src/commands/bench/synthetic_digits.rs"]
mod synthetic_digits;

use std::io::Read;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use flate2::read::MultiGzDecoder;
use rbm_core::model::init::Init;
use rbm_core::{ContrastiveDivergence, Error, Rbm, Result, Rng, Sgd, Trainer, Units};

pub const VISIBLE: usize = 784;
pub const HIDDEN: usize = 500;
pub const BATCH: usize = 100;

/// The updates that a machine learns first.
const UPDATES: usize = 600;
/// Cases that are gone through again and again.
const CASES: usize = 6000;
/// The length of the header of an IDX file with three dimensions.
const HEADER: usize = 16;

/// A machine that has learned by CD-1, and mini-batches of its data.
pub struct Warm {
    pub rbm: Rbm,
    /// Zeros and ones, `(BATCH, VISIBLE)` each.
    pub batches: Vec<Tensor>,
    /// Samples of the hidden units of the first mini-batch, `(BATCH, HIDDEN)`.
    pub hidden: Tensor,
    pub rng: Rng,
    at: usize,
}

impl Warm {
    /// 784-500, batch 100, on the CPU.
    pub fn new() -> Result<Self> {
        let mut rng = Rng::new(1);
        let cases = synthetic_digits::binary(&grey(&mut rng)?)?;
        let count = cases.dim(0)? / BATCH;
        let batches = (0..count).map(|i| Ok(cases.narrow(0, i * BATCH, BATCH)?.copy()?));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let rbm = Rbm::new(
            &Units::bernoulli(VISIBLE),
            &Units::bernoulli(HIDDEN),
            DType::F32,
            &Device::Cpu,
        )?;
        Init::default().apply(&rbm, &cases, &mut rng)?;
        let mut trainer = Trainer::new(ContrastiveDivergence::new(1), sgd());
        for batch in batches.iter().cycle().take(UPDATES) {
            trainer.step(&rbm, batch, &mut rng)?;
        }
        let hidden = rbm.sample_hidden(&batches[0], &mut rng)?.detach();
        Ok(Self { rbm, batches, hidden, rng, at: 0 })
    }

    /// The next mini-batch.
    pub fn batch(&mut self) -> Tensor {
        self.at = (self.at + 1) % self.batches.len();
        self.batches[self.at].clone()
    }

    /// Which data these are, and the fractions of visible and hidden units that are on.
    pub fn describe(&self) -> Result<String> {
        let visible = Tensor::cat(&self.batches, 0)?.mean_all()?.to_scalar::<f32>()?;
        let hidden = self.hidden.mean_all()?.to_scalar::<f32>()?;
        let data = if folder().is_some() { "DBN_BENCH_DATA" } else { "strokes" };
        Ok(format!(
            "{data}, {:.0} % of the visible and {:.0} % of the hidden units on",
            100.0 * visible,
            100.0 * hidden
        ))
    }
}

/// The rates of the `mnist` recipe's first epochs.
pub fn sgd() -> Sgd {
    Sgd { momentum: 0.5, ..Sgd::new(0.05) }
}

fn folder() -> Option<std::ffi::OsString> {
    std::env::var_os("DBN_BENCH_DATA")
}

/// Pictures with values in [0, 1], `(CASES, VISIBLE)`.
pub fn grey(rng: &mut Rng) -> Result<Tensor> {
    match folder() {
        Some(folder) => read(Path::new(&folder)),
        None => synthetic_digits::grey(CASES, VISIBLE, rng),
    }
}

/// The first pictures of MNIST's training file in `folder`, plain or gzipped.
fn read(folder: &Path) -> Result<Tensor> {
    let names = ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"];
    let path = names.map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    let path =
        path.ok_or_else(|| Error::file(folder, "DBN_BENCH_DATA", names.join(" or "), "neither"))?;
    let file = std::fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
    let mut file: Box<dyn Read> = match path.extension() {
        Some(_) => Box::new(MultiGzDecoder::new(file)),
        None => Box::new(file),
    };
    let mut bytes = vec![0; HEADER + CASES * VISIBLE];
    file.read_exact(&mut bytes).map_err(|e| Error::io(&path, e))?;
    if bytes[8..HEADER] != [0, 0, 0, 28, 0, 0, 0, 28] {
        return Err(Error::file(&path, "header", "pictures of 28x28", "others"));
    }
    let values: Vec<f32> = bytes[HEADER..].iter().map(|&byte| f32::from(byte) / 255.0).collect();
    Ok(Tensor::from_vec(values, (CASES, VISIBLE), &Device::Cpu)?)
}
