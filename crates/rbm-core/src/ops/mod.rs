//! Fused operations on tensors, the only place that knows on which device a tensor lies.
//!
//! On the CPU the operations that candle runs serially, without a seed or in several passes are fused here: vectorised,
//! threaded, the same bits for any number of threads and any vector width. On CUDA and Metal the same arithmetic is done by
//! kernels. Where an operation has neither, the same results come from plain candle operations and random words made on the
//! host ([`mod@reference`]); nothing but speed differs.
//!
//! The kernels have been compiled for CUDA, and compared with the CPU as C++; none has been run on a GPU yet.

pub mod device;
pub mod reference;
pub mod tune;

mod aligned;
mod bernoulli;
mod categorical;
mod class_inputs;
mod clique_tables;
mod connection;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod density;
mod encode;
mod enumeration;
mod fours;
mod graph_sweep;
mod lateral_sweep;
mod lateral_unit;
mod low_rank;
#[cfg(feature = "metal")]
mod metal;
mod momentum;
mod outer;
mod processor;
mod product;
mod random;
mod real;
mod reduce;
mod sparse;
mod transpose;
mod truncated_normal;
mod update;
mod yardstick;

pub use bernoulli::{
    bernoulli_cgf, bernoulli_mean, bernoulli_mean_and_sample, bernoulli_sample, sigmoid, softplus,
};
pub use categorical::{
    binomial_sample, log_factorial, log_gamma, multinomial_sample, multinomial_sample_of_rows,
};
pub use class_inputs::{bernoulli_cgf_pairwise, bernoulli_means_pairwise};
pub(crate) use clique_tables::{TableAxis, table_inputs, table_places};
pub use connection::{Connection, Deferred, DropoutMask};
pub use encode::{append_divided, draw_bits};
pub use enumeration::{BinaryAverages, binary_averages};
pub(crate) use graph_sweep::{Neighbours, even_words, graph_sweep, is_dense};
pub(crate) use lateral_sweep::{Lateral, lateral_sweep};
pub(crate) use lateral_unit::{LateralStates, LateralUnit};
pub use low_rank::outer_sum;
pub use momentum::momentum_step;
pub use outer::{Ascent, Outer, Penalty};
pub use processor::{Features, Processor, Way};
pub use product::{product, product_transposed};
pub use random::{normal, uniform};
pub use reduce::{add_bias, interpolate_inputs, sum_rows, sum_within_rows};
pub use reference::{log_sum_exp_of_sites, softmax_of_sites};
pub use truncated_normal::{rectified_cgf, rectified_field, rectified_mean, rectified_sample};
pub use update::{
    adam_step, add_scaled, add_sign_scaled, average_in, average_square_in, limit_column_norms,
};
pub use yardstick::Yardstick;
