//! The inputs of units at an inverse temperature.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::cpu::{Simd, for_chunks};
use super::memory::{has_fused, with_numbers};
use super::real::Real;
use super::reference;
use crate::Result;

/// β·x + (1 − β)·field: the straight line from `field` `(width,)` to the rows of `x` `(rows, width)`, as far along it as each
/// row's `betas` `(rows, 1)` say. A leaf.
pub fn temper(x: &Tensor, betas: &Tensor, field: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if betas.dims() != [rows, 1] || field.dims() != [width] {
        let expected = format!("betas ({rows}, 1) and a field ({width},)");
        let found = format!("{:?} and {:?}", betas.dims(), field.dims());
        return Err(crate::Error::invalid("tempered inputs", expected, found));
    }
    let (x, betas, field) = (x.detach(), betas.detach(), field.detach());
    if !has_fused(&x) {
        return reference::temper(&x, &betas, &field);
    }
    let (x, betas, field) = (x.contiguous()?, betas.contiguous()?, field.contiguous()?);
    Ok(x.apply_op3_no_bwd(&betas, &field, &Temper)?)
}

struct Temper;

fn run<T: Real>(x: &[T], betas: &[T], field: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    let (width, one) = (field.len().max(1), T::from(1.0));
    for_chunks(&mut out, |offset, out| {
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let (row, column) = (at / width, at % width);
            let (part, next) = rest.split_at_mut(rest.len().min(width - column));
            let (x, field) = (&x[at..][..part.len()], &field[column..][..part.len()]);
            let beta = betas[row];
            Simd::best().run(
                #[inline(always)]
                || {
                    for ((out, &x), &field) in part.iter_mut().zip(x).zip(field) {
                        *out = beta * x + (one - beta) * field;
                    }
                },
            );
            at += part.len();
            rest = next;
        }
    });
    out
}

impl CustomOp3 for Temper {
    fn name(&self) -> &'static str {
        "temper"
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
