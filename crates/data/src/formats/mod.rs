//! Readers, one a format.

pub(crate) mod alignment;
pub(crate) mod csv;
pub(crate) mod debd;
mod delimited;
pub(crate) mod digits;
mod fasta;
mod header;
pub(crate) mod idx;
pub(crate) mod label_file;
pub(crate) mod npy;
mod npy_header;
pub(crate) mod npz;
pub mod parquet;
pub(crate) mod pictures;
pub(crate) mod safetensors;
mod sequences;
mod stockholm;
mod survey;
pub(crate) mod svmlight;
mod thrift;
