//! Data sets: cases as the rows of a matrix, read from a file, a folder, or the program itself.
//!
//! | source | what is read |
//! | --- | --- |
//! | `digits` | 1,797 pictures of digits, 8×8, embedded in the program |
//! | `bars-and-stripes:4`, `shifting-bar:9`, `labelled-shifter:8` | whole populations, of which the best likelihood is known |
//! | a folder, or `FOLDER/NAME` | the IDX files of MNIST and its successors, plain or gzipped; of EMNIST, `NAME-train-images-idx3-ubyte` and so on |
//! | a folder | PNG files in a folder for each class, perhaps in folders `train` and `test` |
//! | a folder, or `FOLDER/NAME` | `NAME.train.data`, `NAME.valid.data`, `NAME.test.data`: zeros and ones, plain or gzipped |
//! | `*.npy` | NumPy: numbers or booleans, `(n, width)` or `(n, height, width)`, with one channel or none |
//! | `*.npz` | NumPy: arrays `x_train`, `y_train`, `x_test`, `y_test`, as Keras lays them out, or `x` and `y` |
//! | `*.csv`, `*.tsv`, `*.txt`, `*.data`, and with `.gz` | a table, a case a line, with or without a header: numbers and words |
//! | `*.parquet` | a table with named columns |
//! | `*.svm`, `*.libsvm`, and with `.gz` | sparse rows, `label index:value …`: counts |
//! | `*.fasta`, `*.fa`, `*.a2m`, `*.afa`, `*.sto`, `*.stk`, and with `.gz` | an alignment of proteins, RNA or DNA: 21 or 5 states a column |
//! | `*.safetensors` | a tensor `cases`, `data`, `x`, `samples` or `images`, or the only matrix there is |
//!
//! Every reader refuses what it cannot vouch for with an error that names the file, the place, what should stand there
//! and what does.
#![deny(missing_docs)]

mod mmap;
pub mod settings;

mod bytes;

mod matrix;

mod alphabet;
mod columns;
mod standardise;

mod encoding;

mod view;

mod labels;

mod dataset;

mod validate;
mod weights;

mod options;

mod formats;

mod built_in;

mod source;

mod load;

pub use alphabet::Alphabet;
pub use columns::{Column, Columns, Content};
pub use dataset::{
    Dataset, Examples, Parts, check_range, choose_balanced, encoded, hold_out, split,
};
pub use encoding::Binarise;
pub use formats::npy::Arrays;
pub use formats::parquet;
pub use labels::LabelColumn;
pub use load::{load, scale_of};
pub use matrix::{Element, ElementKind};
pub use mmap::end_on_bus_error;
pub use options::{Known, Missing, ReadOptions, SOURCE_OF_OPTIONS};
pub use rbm_core::{Error, Result};
pub use source::{is_alignment, is_data, is_named, is_population, is_sparse, is_suite, is_table};
pub use standardise::{ColumnMoments, Scaling, Standardise, known_moments};
pub use validate::{check_units, check_values, check_width, one_hot_units};
pub use view::View;
pub use weights::Weights;

/// The programs of this package's README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
