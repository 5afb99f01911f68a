//! What the user typed, as it was typed. Nothing here is opened, built or checked against anything else.

mod anneal;
mod bench;
mod codes;
mod compare;
mod data;
mod evaluate;
#[cfg(feature = "hub")]
mod hub;
mod import;
mod manual;
mod recipe;
mod reproduce;
mod sample;
mod score;

use std::path::PathBuf;

use candle_dbn::recipe::BUILT_IN;
use clap::{Parser, Subcommand};

use crate::progress::WORDS;

pub use anneal::Anneal;
pub use bench::{Bench, Method};
pub use codes::{Decode, Encode};
pub use compare::Compare;
pub use data::{Cases, DataOptions};
pub use evaluate::{Evaluate, LikelihoodOptions};
#[cfg(feature = "hub")]
pub use hub::{Data, Pull, Push};
pub use import::{Import, Program};
pub use manual::{Completions, Manual};
pub use recipe::Recipe;
pub use reproduce::Reproduce;
pub use sample::{Label, Sample};
pub use score::Score;

/// Deep belief networks: train, evaluate, compare, sample, score, embed, encode, decode, inspect, import, push, pull, data, anneal, bench, reproduce.
#[derive(Debug, Parser)]
#[command(
    name = "dbn",
    version,
    about,
    after_help = "Start with `dbn train`: it needs no data, no network and less than a minute.\n\
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (after a checkpoint)."
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub logging: Logging,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
pub struct Logging {
    /// Tell more: -v what happens, -vv every epoch, -vvv every step (RUST_LOG overrules)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write the log as JSON, a line an event, to standard error
    #[arg(long, global = true)]
    pub log_json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Train(Train),
    Recipe(Recipe),
    Evaluate(Evaluate),
    Compare(Compare),
    Sample(Sample),
    Score(Score),
    Embed(Embed),
    Encode(Encode),
    Decode(Decode),
    Inspect(Inspect),
    #[cfg(feature = "hub")]
    Push(Push),
    #[cfg(feature = "hub")]
    Pull(Pull),
    #[cfg(feature = "hub")]
    Data(Data),
    Import(Import),
    Anneal(Anneal),
    Bench(Bench),
    Reproduce(Reproduce),
    Completions(Completions),
    #[command(name = "man")]
    Manual(Manual),
}

impl Command {
    /// The model that the command is about, where there is one: a folder, or the name of a repository on the Hub.
    pub fn model(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Evaluate(args) => Some(&mut args.run),
            Self::Sample(args) => Some(&mut args.run),
            Self::Score(args) => Some(&mut args.run),
            Self::Embed(args) => Some(&mut args.run),
            Self::Encode(args) => Some(&mut args.run),
            Self::Decode(args) => Some(&mut args.run),
            Self::Inspect(args) => Some(&mut args.run),
            #[cfg(feature = "hub")]
            Self::Push(args) => Some(&mut args.run),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct Where {
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

/// The help of `--recipe`.
fn recipes() -> String {
    format!(
        "A built-in recipe or a TOML file: dbn recipe lists the {} built-in ones",
        BUILT_IN.len()
    )
}

/// The examples of `dbn train`, and the keys of its recipes.
const TRAIN: &str = "Examples:
  dbn train                                       the embedded 8x8 digits
  dbn train --dry-run                             what it would do and take; nothing is written
  dbn train mnist/ --seed 3 --out runs/mnist      a folder of IDX files
  dbn train X.npy --labels y.npy --layers 500,200 --set 'layers.*.epochs=20'
  dbn train table.csv                             numbers and words; the column `label` or `class` is learned
  dbn train table.csv --label-column species --drop id --missing gibbs
  dbn train sites.npy --visible 'potts(21)' --hidden 100 --unsupervised
  dbn train mnist/ --recipe autoencoder           codes of 30 numbers, and the way back
  dbn train --resume runs/mnist                   go on where it was stopped
The keys that people change most (dbn recipe NAME explains all of them; layers.0 is the lowest layer, layers.* are all):
  --set 'layers.*.epochs=20'               times through the data
  --set 'layers.*.learning_rate=0.05'      or '{ from = 0.1, to = 0.001 }' for one that falls
  --set 'layers.*.batch_size=20'           cases in a mini-batch
  --set 'layers.*.method=pcd'              cd, pcd, fpcd, pt, ptt, mean-field, exact
  --set 'layers.*.steps=10'                k, the Gibbs steps between updates
  --set 'layers.*.l2=0.001'                weight decay
  --set 'layers.*.centre=true'             the centred gradient
  --set 'classifier.epochs=10'             the most epochs of backpropagation
  --set 'classifier.dropout_hidden=0.3'    the fraction of hidden units left out
  --set 'data.pass=sample'                 draw zeros and ones from grey values at every turn";

/// That, and what the words on the screen mean.
fn long_help_of_train() -> String {
    let words = WORDS.iter().map(|(word, meaning)| format!("\n  {word}: {meaning}"));
    format!(
        "{TRAIN}\nWhat stands beside the bars, and in metrics.jsonl:{}",
        words.collect::<String>()
    )
}

/// Train a network: greedy layer-wise pre-training, then a classifier if there are labels
#[derive(Debug, clap::Args)]
#[command(after_help = TRAIN, after_long_help = long_help_of_train())]
pub struct Train {
    /// digits, a table (.csv, .tsv, .parquet), arrays (.npy, .npz, .safetensors), a folder of IDX files, of PNG files by class or
    /// of NAME.train.data, NAME.valid.data and NAME.test.data (plain or .gz; FOLDER/NAME where it has several), a .svm, .fasta or
    /// .sto file, or a whole population: bars-and-stripes:4, shifting-bar:9, labelled-shifter:8
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    #[arg(long, value_name = "NAME|FILE", help = recipes(), help_heading = "Learning")]
    pub recipe: Option<String>,
    /// Change a key of the recipe, e.g. layers.0.epochs=5, 'layers.*.learning_rate=0.05' or classifier.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Learning")]
    pub settings: Vec<String>,
    /// Hidden layers from the bottom up, e.g. 500,500,2000 or relu:500 or 500,gaussian:30; each trained as the recipe's last one
    #[arg(
        long,
        visible_alias = "hidden",
        value_name = "UNITS,...",
        value_delimiter = ',',
        help_heading = "Learning"
    )]
    pub layers: Vec<String>,
    /// Kind of the data layer's units: auto, which finds out what every column holds (the default); bernoulli, spin, relu, gaussian, gaussian-learned, binomial(N), potts(N), multinomial(N);
    /// or one-hot: Potts units for the one-hot codes found among columns of zeros and ones, Bernoulli units for the others
    #[arg(long, value_name = "KIND", help_heading = "Learning")]
    pub visible: Option<String>,
    /// Bring every column of the data to mean 0 and deviation 1 first: the default for Gaussian units
    #[arg(long, conflicts_with_all = ["no_standardise", "min_max"], help_heading = "Learning")]
    pub standardise: bool,
    /// Leave the columns of Gaussian units as they are
    #[arg(long, conflicts_with = "min_max", help_heading = "Learning")]
    pub no_standardise: bool,
    /// Bring every column of measurements between 0 and 1 by its extremes, for Bernoulli units
    #[arg(long, help_heading = "Learning")]
    pub min_max: bool,
    /// Train no classifier
    #[arg(long, help_heading = "Learning")]
    pub unsupervised: bool,
    /// Seed of every random choice [default: the recipe's]
    #[arg(long, value_name = "N", help_heading = "Learning")]
    pub seed: Option<u64>,
    /// Go on with the run in this folder, from its last checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "recipe", "settings", "layers", "visible", "standardise",
        "no_standardise", "min_max", "unsupervised", "seed", "out", "scale", "labels", "label_column", "target", "drop",
        "categories", "numbers", "missing", "binarise", "one_hot", "width",
        "alphabet", "weights"], help_heading = "Run")]
    pub resume: Option<PathBuf>,
    /// Print the recipe, the sizes, and an estimate of time and memory; write nothing
    #[arg(long, conflicts_with_all = ["resume", "out"], help_heading = "Run")]
    pub dry_run: bool,
    /// Seconds between checkpoints; 0 takes one after every mini-batch
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, help_heading = "Run")]
    pub checkpoint_every: f64,
    /// Do not look at the machines after every epoch
    #[arg(long, help_heading = "Run")]
    pub no_monitor: bool,
    /// Folder of the run [default: runs/TIME-RECIPE]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Do not measure the model on the held-out cases at the end
    #[arg(long, help_heading = "Output")]
    pub no_evaluation: bool,
    /// Make no pictures
    #[arg(long, help_heading = "Output")]
    pub no_pictures: bool,
    #[command(flatten)]
    pub place: Where,
    /// Let products on a CUDA device round their factors to TF32: several times faster, to three digits
    #[arg(long, help_heading = "Device")]
    pub tf32: bool,
}

/// Write the hidden layers' mean activities as features for other programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn embed runs/mnist --out features.npy                  the top layer, nothing else
  dbn embed runs/mnist mnist/ --layer all --out f.safetensors  layer1, layer2, ..., rows, labels
  dbn embed runs/mnist new.csv --out features.parquet      columns row, label, layer3_0, ...
  dbn embed runs/mnist --cases held-out --out features.csv  the same columns as text
  dbn embed runs/mnist mnist/ --layer probabilities --out p.csv  how probable each class is
row is the number of the case in the data, from 0; label is its class, where it has one; name is what an
alignment calls it (in .parquet and .csv). Neither
the data nor the features need fit into memory.")]
pub struct Embed {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to embed [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// Which layer: 1 is the lowest, top, all (side by side, but a tensor each in .safetensors), classes for what the
    /// classifier says of each case, probabilities for how probable it finds each class, prediction for a target, or data for
    /// the values themselves with missing ones filled in
    #[arg(long, value_name = "LAYER", default_value = "top")]
    pub layer: String,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Show what a run holds: architecture, parameters, weights
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  dbn inspect runs/mnist")]
pub struct Inspect {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
