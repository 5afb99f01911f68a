//! Sums and additions, because candle's sum over rows is scattered and is also the derivative of its addition of a bias.
//!
//! The inputs of units at an inverse temperature.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, D, Layout, Shape, Tensor};

use super::cpu::{RowRun, Simd, for_chunks, has_fused, row_runs, with_numbers};
use super::real::Real;
use super::reference;
use crate::Result;

/// The sum of the rows: `(batch, width)` → `(width,)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    // On a GPU a product with a row of ones is quicker than a sum over the rows.
    if !has_fused(x) || x.rank() != 2 {
        return Ok(reference::sum_rows(x)?);
    }
    Ok(x.contiguous()?.apply_op1(SumRows)?)
}

struct SumRows;

impl CustomOp1 for SumRows {
    fn name(&self) -> &'static str {
        "sum-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims2()?.1;
        let out = with_numbers!(self.name(), (x, layout) => sum(x, width));
        Ok((out, width.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.broadcast_as(x.shape())?.contiguous()?))
    }
}

fn sum<T: Real>(x: &[T], width: usize) -> Vec<T> {
    let mut out = vec![T::default(); width];
    Simd::best().run(
        #[inline(always)]
        || {
            for row in x.chunks_exact(width.max(1)) {
                out.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
            }
        },
    );
    out
}

/// The sum within each row: `(batch, width)` → `(batch,)`. Differentiable.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn sum_within_rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.sum(D::Minus1)?)
}

/// x + bias, with x `(batch, width)` and bias `(width,)`. Differentiable; the bias' gradient is one product.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((x.dim(0)?, 1), x.dtype(), x.device())?;
    Ok((x + ones.matmul(&bias.unsqueeze(0)?)?)?)
}

/// β·x + (1 − β)·field: the straight line from `field` `(width,)` to the rows of `x` `(rows, width)`, as far along it as each
/// row's `betas` `(rows, 1)` say. A leaf.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn interpolate_inputs(x: &Tensor, betas: &Tensor, field: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if betas.dims() != [rows, 1] || field.dims() != [width] {
        let expected = format!("betas ({rows}, 1) and a field ({width},)");
        let found = format!("{:?} and {:?}", betas.dims(), field.dims());
        return Err(crate::Error::invalid("tempered inputs", expected, found));
    }
    let (x, betas, field) = (x.detach(), betas.detach(), field.detach());
    if !has_fused(&x) {
        return reference::interpolate_inputs(&x, &betas, &field);
    }
    let (x, betas, field) = (x.contiguous()?, betas.contiguous()?, field.contiguous()?);
    Ok(x.apply_op3_no_bwd(&betas, &field, &InterpolateInputs)?)
}

struct InterpolateInputs;

fn run<T: Real>(x: &[T], betas: &[T], field: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    for_chunks(&mut out, |start, out| {
        let x = &x[start..start + out.len()];
        Simd::best().run(
            #[inline(always)]
            || {
                for RowRun { row, columns, place } in row_runs(start, out.len(), field.len()) {
                    let (beta, x, field) = (betas[row], &x[place.clone()], &field[columns]);
                    let rest = T::from(true) - beta;
                    for ((out, &x), &field) in out[place].iter_mut().zip(x).zip(field) {
                        *out = beta * x + rest * field;
                    }
                }
            },
        );
    });
    out
}

impl CustomOp3 for InterpolateInputs {
    fn name(&self) -> &'static str {
        "interpolate-inputs"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        betas: &CpuStorage,
        betas_layout: &Layout,
        field: &CpuStorage,
        field_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, x_layout), (betas, betas_layout), (field, field_layout)
            => run(x, betas, field));
        Ok((out, x_layout.shape().clone()))
    }
}
