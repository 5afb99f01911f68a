//! The only place that knows on which device a tensor lies.
//!
//! On the CPU the operations that candle runs serially, without a seed or in several passes are fused here: vectorised,
//! threaded, the same bits for any number of threads and any vector width. On CUDA and Metal the same arithmetic is done by
//! kernels. Where an operation has neither, the same results come from plain candle operations and random words made on the
//! host ([`mod@reference`]); nothing but speed differs.
//!
//! The kernels have been compiled for CUDA, and compared with the CPU as C++; none has been run on a GPU yet.

pub mod device;
pub mod reference;
pub mod threads;

mod ascent;
mod bernoulli;
mod binarise;
mod binomial;
mod bytes;
mod connection;
mod cpu;
mod crossed;
#[cfg(feature = "cuda")]
mod cuda;
mod dense;
mod dropout;
mod enumeration;
mod gather;
mod limit;
mod math;
mod memory;
#[cfg(feature = "metal")]
mod metal;
mod momentum;
mod nonzeros;
mod normal;
mod philox;
mod product;
mod real;
mod rectified;
mod reduce;
mod sigmoid;
mod sites;
mod softplus;
mod special;
mod temper;
mod update;

pub use ascent::{Ascent, Outer, Penalty, outer_sum};
pub use bernoulli::{bernoulli_mean_and_sample, bernoulli_sample};
pub use binarise::draw_bits;
pub use binomial::binomial_sample;
pub use bytes::append_divided;
pub use connection::{Connection, Deferred};
pub use crossed::{crossed_cgf, crossed_means};
pub use dropout::Dropout;
pub use enumeration::{BinaryAverages, binary_averages};
pub use limit::limit_columns;
pub use momentum::momentum_step;
pub use normal::normal;
pub use philox::uniform;
pub use product::{product, product_transposed};
pub use rectified::{rectified_cgf, rectified_field, rectified_mean, rectified_sample};
pub use reduce::{add_bias, sum_rows, sum_within_rows};
pub use sigmoid::{bernoulli_mean, sigmoid};
pub use sites::{
    log_sum_exp_of_sites, multinomial_sample, multinomial_sample_of_rows, softmax_of_sites,
};
pub use softplus::{bernoulli_cgf, softplus};
pub use special::{log_factorial, log_gamma};
pub use temper::temper;
pub use update::{adam_step, add_scaled, add_sign_scaled, average_in, average_square_in};
