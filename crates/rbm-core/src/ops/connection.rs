//! The way from one layer of a network to the next, forwards and backwards in as few passes as it needs.
//!
//! candle's backward pass adds every gradient to a fresh tensor of zeros, and asks for the gradient of the data as well.
//! Here the gradient of the weights can be left as the two factors of its outer product, for the optimiser to multiply out
//! within its step, and that of the data is not made.
//!
//! Units left out at random while a network learns (Srivastava et al. 2014).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Storage, Tensor};

use super::bernoulli::sigmoid_slope;
use super::cpu::{
    RowRun, Simd, contiguous, for_blocks, for_chunks, has_kernel, has_product, numbers_of,
    row_runs, with_numbers,
};
use super::low_rank::outer_sum;
use super::outer::Outer;
use super::product::{multiply, product_transposed};
use super::random::{block_words, unit};
use super::real::Real;
use super::reference;
use crate::rng::{BLOCK, Draw};
use crate::{Error, Result, Rng};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;

/// Where the backward pass leaves the gradient of a weight matrix as outer products.
#[derive(Debug, Clone, Default)]
pub struct Deferred(Arc<Mutex<Vec<Outer>>>);

impl Deferred {
    /// What has been left since the last call: nothing where the device has no fused operations, and then the gradient
    /// is in candle's store as usual.
    pub fn take(&self) -> Vec<Outer> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(&self, outer: Outer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(outer);
    }
}

/// Weights `(below, above)` on the way up, with some of the units below left out.
#[derive(Debug, Clone)]
pub struct Connection<'a> {
    /// `(below, above)`.
    pub weights: &'a Tensor,
    /// Which units below are left out.
    pub dropout: Option<DropoutMask>,
    /// Where the backward pass leaves the weights' gradient; `None` for candle's store, as usual.
    pub gradient: Option<Deferred>,
}

impl<'a> Connection<'a> {
    /// Without dropout, the gradient in candle's store.
    pub fn new(weights: &'a Tensor) -> Self {
        Self { weights, dropout: None, gradient: None }
    }

    /// x·W, with x `(batch, below)`: `(batch, above)`. Differentiable in both.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn inputs(&self, x: &Tensor) -> Result<Tensor> {
        if !self.is_fused(x) {
            return Ok(self.plain(x)?.matmul(self.weights)?);
        }
        let dropped = self.dropped(x)?;
        let (x, weights) = (x.contiguous()?, self.weights.contiguous()?);
        Ok(x.apply_op2(&weights, self.op(dropped, false))?)
    }

    /// x·W + bias, with bias `(above,)`. Differentiable in all three.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn affine(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if !self.is_fused(x) {
            return super::add_bias(&self.plain(x)?.matmul(self.weights)?, bias);
        }
        self.fused(x, bias, false)
    }

    /// sigmoid(x·W + bias): the mean of units that are zero or one. Differentiable in all three.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn sigmoid(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if !self.is_fused(x) {
            return super::bernoulli_mean(&self.plain(x)?.matmul(self.weights)?, bias);
        }
        self.fused(x, bias, true)
    }

    fn is_fused(&self, x: &Tensor) -> bool {
        let is_made = if x.device().is_cuda() { has_kernel(x) } else { has_product(x) };
        is_made && x.rank() == 2 && self.weights.rank() == 2
    }

    /// The dropout as an operation that candle differentiates.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        match &self.dropout {
            Some(dropout) => Ok((x * dropout.apply(&x.ones_like()?)?)?),
            None => Ok(x.clone()),
        }
    }

    fn dropped(&self, x: &Tensor) -> Result<Tensor> {
        match &self.dropout {
            Some(dropout) => dropout.apply(x),
            None => Ok(x.detach().contiguous()?),
        }
    }

    fn op(&self, dropped: Tensor, sigmoid: bool) -> Fused {
        Fused { dropped, dropout: self.dropout, gradient: self.gradient.clone(), sigmoid }
    }

    fn fused(&self, x: &Tensor, bias: &Tensor, sigmoid: bool) -> Result<Tensor> {
        let op = self.op(self.dropped(x)?, sigmoid);
        Ok(x.contiguous()?.apply_op3(&self.weights.contiguous()?, &bias.contiguous()?, op)?)
    }
}

struct Fused {
    /// x with some of its columns' elements left out, contiguous.
    dropped: Tensor,
    dropout: Option<DropoutMask>,
    gradient: Option<Deferred>,
    sigmoid: bool,
}

impl Fused {
    fn forward(
        &self,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let ((batch, below), (n, m)) = (self.dropped.dims2()?, weights_layout.shape().dims2()?);
        if n != below || bias.is_some_and(|(_, bias)| bias.dims() != [m]) {
            let bias = bias.map(|(_, bias)| bias.dims());
            candle_core::bail!("a connection: x {batch}x{below}, weights {n}x{m}, bias {bias:?}");
        }
        let (x, layout) = self.dropped.storage_and_layout();
        let out = with_numbers!("a connection", (weights, weights_layout)
            => self.run(&x, layout, weights, m, bias)?);
        Ok((out, (batch, m).into()))
    }

    fn run<T: Real>(
        &self,
        x: &Storage,
        layout: &Layout,
        weights: &[T],
        m: usize,
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<Vec<T>> {
        let (rows, below) = layout.shape().dims2()?;
        let mut out = multiply(numbers_of(x, layout)?, weights, (rows, below, m), false);
        let Some((bias, layout)) = bias.filter(|_| m > 0) else { return Ok(out) };
        let bias = contiguous(T::numbers("a connection", bias)?, layout)?;
        for_chunks(&mut out, |start, out| {
            Simd::best().run(
                #[inline(always)]
                || {
                    for RowRun { columns, place, .. } in row_runs(start, out.len(), m) {
                        let run = &mut out[place];
                        for (out, &bias) in run.iter_mut().zip(&bias[columns]) {
                            *out += bias;
                        }
                        if self.sigmoid {
                            run.iter_mut().for_each(|out| *out = out.sigmoid());
                        }
                    }
                },
            );
        });
        Ok(out)
    }

    /// The gradients of x, of the weights where they are not left elsewhere, and of the bias.
    fn backward(
        &self,
        x: &Tensor,
        weights: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let delta = if self.sigmoid { sigmoid_slope(result, grad)? } else { grad.detach() };
        let below = if x.track_op() {
            let below = product_transposed(&delta, &weights.detach())?;
            Some(match &self.dropout {
                Some(dropout) => dropout.apply(&below)?,
                None => below,
            })
        } else {
            None
        };
        let bias = super::sum_rows(&delta)?;
        let outer = Outer::new(&self.dropped, &delta, 1.0)?;
        let weights = match &self.gradient {
            Some(deferred) => {
                deferred.leave(outer);
                None
            }
            None if weights.track_op() => Some(outer_sum(&[outer])?),
            None => None,
        };
        Ok([below, weights, Some(bias)])
    }
}

impl CustomOp2 for Fused {
    fn name(&self) -> &'static str {
        "connection"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        weights: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(weights, layout, None)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        weights: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::connection(&self.dropped, (weights, layout), None, false)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let slopes = self.backward(x, weights, result, grad);
        let [x, weights, _] = slopes.map_err(candle_core::Error::wrap)?;
        Ok((x, weights))
    }
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "biased-connection"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        weights: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(weights, layout, Some((bias, bias_layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        weights: &CudaStorage,
        layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let bias = Some((bias, bias_layout));
        super::cuda::connection(&self.dropped, (weights, layout), bias, self.sigmoid)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let slopes = self.backward(x, weights, result, grad);
        let [x, weights, bias] = slopes.map_err(candle_core::Error::wrap)?;
        Ok((x, weights, bias))
    }
}

/// Which elements are left out: linear and diagonal, so it is its own derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutMask {
    fraction: f64,
    draw: Draw,
}

impl DropoutMask {
    /// Leaves out `fraction` of the elements, those that the generator picks now; `None` where it is zero, and then
    /// nothing is drawn.
    ///
    /// # Errors
    ///
    /// Unless it is at least 0 and below 1.
    pub fn draw(fraction: f64, rng: &mut Rng) -> Result<Option<Self>> {
        if !(0.0..1.0).contains(&fraction) {
            let found = fraction.to_string();
            return Err(Error::invalid("dropout", "a fraction from 0 up to below 1", found));
        }
        Ok((fraction > 0.0).then(|| Self { fraction, draw: rng.draw() }))
    }

    /// `x` with zeros where it is left out, and elsewhere scaled up to make good for them. A leaf; the same elements at
    /// every call.
    ///
    /// # Errors
    ///
    /// When shapes or types of the tensors do not fit.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if !has_kernel(x) {
            return reference::dropout(x, self.fraction, self.draw);
        }
        Ok(x.detach().contiguous()?.apply_op1_no_bwd(self)?)
    }

    fn run<T: Real>(&self, x: &[T]) -> Vec<T> {
        let keep = (1.0 - self.fraction) as f32;
        let scale = T::from_f64(1.0 / (1.0 - self.fraction));
        let mut out = vec![T::default(); x.len()];
        for_blocks(&mut out, |block, out| {
            let x = &x[block * BLOCK..][..out.len()];
            let words = block_words(self.draw, block as u64);
            Simd::best().run(
                #[inline(always)]
                || {
                    let mut kept = [0f32; BLOCK];
                    for i in 0..BLOCK {
                        kept[i] = if unit(words[i]) < keep { 1.0 } else { 0.0 };
                    }
                    for ((out, &x), &kept) in out.iter_mut().zip(x).zip(&kept) {
                        *out = x * (T::from(kept) * scale);
                    }
                },
            );
        });
        out
    }
}

impl CustomOp1 for DropoutMask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => self.run(x));
        Ok((out, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::dropout(self.draw, self.fraction, x, layout)
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        x: &MetalStorage,
        layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        super::metal::dropout(self.draw, self.fraction, x, layout)
    }
}
