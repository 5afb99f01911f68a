//! Readers of files, one a format.

pub(crate) mod alignment;
pub(crate) mod csv;
pub(crate) mod debd;
mod delimited;
mod header;
pub(crate) mod idx;
pub(crate) mod npy;
pub mod parquet;
pub(crate) mod pictures;
pub(crate) mod safetensors;
pub(crate) mod svmlight;
mod thrift;
