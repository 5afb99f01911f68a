//! What each target does with the bytes of a file, and how much memory it may take for them. `cargo test` sends the corpora
//! through the same functions (crates/dbn/tests/fuzz_corpus.rs).

use std::path::{Path, PathBuf};

use candle_boltzmann::{Graph, MarkovField};
use candle_core::Device;
use candle_dbn::Recipe;
use candle_dbn::data::{Binarise, Missing, ReadOptions, load};
use candle_dbn::import::{TensorNames, pytorch, rbms, sklearn};
use candle_dbn::store::model_config::ModelConfig;
use rbm_core::{Result, Rows};

/// A reader, and what it is fed.
pub struct Target {
    pub name: &'static str,
    /// The file's name.
    file: &'static str,
    read: fn(&Path) -> Result<()>,
    /// The most bytes that an honest file has of memory for each of its own, as a table of short numbers or words, or what
    /// inflates.
    a_byte: usize,
    /// What may be taken for a file of any size.
    always: usize,
}

const MIB: usize = 1 << 20;
/// Deflate makes at most so many bytes of one.
const DEFLATED: usize = 1032;

pub const TARGETS: [Target; 16] = [
    Target { name: "idx", file: "train-images-idx3-ubyte", read: idx, a_byte: 32, always: 4 * MIB },
    Target { name: "npy", file: "x.npy", read: dataset, a_byte: 64, always: 8 * MIB },
    Target { name: "npz", file: "x.npz", read: npz, a_byte: 2 * 4 * DEFLATED, always: 16 * MIB },
    Target { name: "csv", file: "x.csv", read: csv, a_byte: 1024, always: 16 * MIB },
    Target { name: "svmlight", file: "x.svm", read: dataset, a_byte: 256, always: 16 * MIB },
    Target { name: "fasta", file: "x.fasta", read: dataset, a_byte: 1024, always: 8 * MIB },
    Target {
        name: "safetensors",
        file: "x.safetensors",
        read: tensors,
        a_byte: 64,
        always: 8 * MIB,
    },
    Target { name: "config", file: "config.json", read: config, a_byte: 256, always: 4 * MIB },
    Target { name: "recipe", file: "recipe.toml", read: recipe, a_byte: 1024, always: 4 * MIB },
    Target {
        name: "checkpoint",
        file: "checkpoint.safetensors",
        read: checkpoint,
        a_byte: 64,
        always: 4 * MIB,
    },
    Target { name: "pt", file: "x.pt", read: state_dict, a_byte: 128, always: 4 * MIB },
    // 2^24 numbers, as f64 and as f32, are what any file may claim.
    Target { name: "hdf5", file: "x.h5", read: hdf5, a_byte: 64, always: 256 * MIB },
    Target { name: "hub", file: "answer.json", read: hub, a_byte: 256, always: 4 * MIB },
    Target { name: "parquet", file: "x.parquet", read: parquet, a_byte: 2048, always: 288 * MIB },
    Target { name: "graph", file: "x.graph", read: graph, a_byte: 1024, always: 16 * MIB },
    Target { name: "uai", file: "x.uai", read: uai, a_byte: 1024, always: 16 * MIB },
];

impl Target {
    /// Reads a file of these bytes. A refusal is one line that names the file.
    pub fn run(&self, bytes: &[u8]) {
        let folder = tempfile::Builder::new().tempdir_in(scratch()).expect("a folder");
        let path = folder.path().join(self.file);
        std::fs::write(&path, bytes).expect("a file");
        if let Err(error) = (self.read)(&path) {
            let error = error.to_string();
            let is_named = error.contains(&folder.path().display().to_string());
            // What a caller passes beside the file is not named by it: a setting of a recipe, options.
            let is_named =
                is_named || ["recipe", "config"].contains(&self.name) || error.contains("expected");
            assert!(is_named, "no file's name in {error}");
        }
    }

    /// The most bytes of memory for a file of this length: twice of what an honest one has.
    pub fn most(&self, length: usize) -> usize {
        2 * (self.always / 2 + self.a_byte * length)
    }
}

/// In memory, where there is such a place.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Reads a data set and some of its rows, as a table would be read with each kind of option.
fn load_with(path: &Path, options: &ReadOptions) -> Result<()> {
    let set = load(&path.to_string_lossy(), options)?;
    for part in [Some(&set.train), set.held_out.as_ref()].into_iter().flatten() {
        let rows: Vec<u32> = (0..part.len().min(3) as u32).collect();
        if part.width() <= 1 << 16 {
            part.cases.rows(&rows)?;
        }
    }
    Ok(())
}

fn dataset(path: &Path) -> Result<()> {
    load_with(path, &ReadOptions::default())
}

fn idx(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[3, 4]].concat();
    std::fs::write(folder.join("train-labels-idx1-ubyte"), labels)
        .map_err(|e| rbm_core::Error::io(path, e))?;
    load_with(folder, &ReadOptions::default())
}

fn npz(path: &Path) -> Result<()> {
    let machine = sklearn(path).map(drop);
    dataset(path).or(machine)
}

fn csv(path: &Path) -> Result<()> {
    dataset(path)?;
    load_with(
        path,
        &ReadOptions {
            missing: Some(Missing::Gibbs),
            binarise: Some(Binarise::None),
            ..ReadOptions::default()
        },
    )
}

fn tensors(path: &Path) -> Result<()> {
    let machine = state_dict(path);
    dataset(path).or(machine)
}

fn config(path: &Path) -> Result<()> {
    ModelConfig::read(path).map(drop)
}

fn recipe(path: &Path) -> Result<()> {
    Recipe::read(path).map(drop)
}

fn checkpoint(path: &Path) -> Result<()> {
    rbm_core::Checkpoint::<candle_dbn::training::TrainingState>::load(path, &Device::Cpu).map(drop)
}

fn state_dict(path: &Path) -> Result<()> {
    pytorch(path, &TensorNames::default()).map(drop)
}

fn hdf5(path: &Path) -> Result<()> {
    rbms(path, None).map(drop)
}

/// An answer of the Hub.
fn hub(path: &Path) -> Result<()> {
    let body = std::fs::read(path).map_err(|e| rbm_core::Error::io(path, e))?;
    let names = ["config.json", "model.safetensors"];
    candle_dbn::hub::read_answer(&body, &names)
        .unwrap_or_else(|believed| panic!("believed {believed}"));
    Ok(())
}

fn parquet(path: &Path) -> Result<()> {
    candle_dbn::data::parquet::read(path)?;
    dataset(path)
}

/// Graphs for max-cut, Matrix Market, problems in JSON, and the parameters of adabmDCA: told apart by how they begin.
fn graph(path: &Path) -> Result<()> {
    Graph::read(path).map(drop)
}

/// A Markov field; what is none may be the evidence beside one.
fn uai(path: &Path) -> Result<()> {
    match MarkovField::is_in(path) {
        true => MarkovField::read(path).map(drop),
        false => MarkovField::new(vec![2; 8], Vec::new())?.read_evidence(path).map(drop),
    }
}
