//! Which data, and how to read them.

use std::path::PathBuf;

use clap::ValueEnum;
use dbn::data::{Alphabet, Binarise, Missing, Weights};

/// How to read a data set.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// Divide every value by this (default: 16 for digits, 255 for IDX files, else 1)
    #[arg(long, value_name = "NUMBER")]
    pub scale: Option<f32>,
    /// Labels in a file of their own: .npy, IDX, or .csv/.txt with one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// The column of the labels in a table: first, last, none, a header's name or a number from 1 (default: label, class, target
    /// or y, if the header has one)
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<String>,
    /// The column of a table that holds measurements to be predicted, by its name or number
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Columns of a table to leave out, by their names or numbers
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub drop: Vec<String>,
    /// Columns of a table that are categories though they hold numbers
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// Columns of a table that are numbers though they look like codes of categories
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub numbers: Vec<String>,
    /// What becomes of missing values (empty cells, NA, ?, NaN): refuse counts them, mean takes the column's mean, gibbs draws them
    /// given the others while learning
    #[arg(long, value_name = "HOW")]
    pub missing: Option<Missing>,
    /// Make zeros and ones of the scaled values: none, threshold:NUMBER (1 above it), or sample:SEED (drawn once, 1 with the
    /// value as its probability)
    #[arg(long, value_name = "HOW")]
    pub binarise: Option<Binarise>,
    /// Every value is a code from 0 to Q-1, and becomes Q values of which one is 1: for --visible "potts(Q)" (default: the
    /// states of an alignment)
    #[arg(long, value_name = "Q")]
    pub one_hot: Option<usize>,
    /// Values of a case in a sparse file (default: the largest index)
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// The letters of an alignment's states: protein, rna, dna, or the letters themselves, as -ACGU (default: those that stand in
    /// the file are most probably of)
    #[arg(long, value_name = "ALPHABET")]
    pub alphabet: Option<Alphabet>,
    /// How much each case counts: none (all as much), or identity:SHARE, one over the number of cases that have the same code in
    /// at least this share of the columns; for alignments identity:0.8
    #[arg(long, value_name = "HOW")]
    pub weights: Option<Weights>,
    /// At most this many cases, as many of each class; of a training, of those learned from
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Which cases of a data set
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cases {
    /// Those held out from training
    HeldOut,
    /// Those trained on (and those validated on, where the recipe takes them from among these, or learns from them)
    Train,
    /// Those validated on
    Validation,
    /// All
    All,
}
