//! Sums of outer products by cuBLAS, added up where they are wanted: candle's own product always makes a new matrix.

use std::ffi::c_void;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::cublas::{result, sys};
use candle_core::cuda::cudarc::driver::{CudaViewMut, DevicePtr, DevicePtrMut};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Result, Storage, Tensor};

use super::{Number, allocate, contiguous, for_type};
use crate::ops::Outer;

/// Σ scale·xᵀy `(rows, columns)` in one new matrix. A leaf. All terms must be of this shape and of one type.
pub(in crate::ops) fn outer_sum(terms: &[Outer], shape: (usize, usize)) -> Result<Tensor> {
    let Some(first) = terms.first() else {
        candle_core::bail!("a sum of outer products: expected at least one, found none")
    };
    let device = first.x.device().as_cuda_device()?;
    let out = for_type!(first.x.dtype(), sum(device, terms, shape))?;
    Ok(Tensor::from_storage(Storage::Cuda(out), shape, BackpropOp::none(), false))
}

fn sum<T: Number>(
    device: &CudaDevice,
    terms: &[Outer],
    (rows, columns): (usize, usize),
) -> Result<CudaStorage> {
    let mut out = allocate::<T>(device, rows * columns)?;
    let mut keep = T::default();
    for term in terms {
        let mut out = out.slice_mut(0..rows * columns);
        accumulate(device, &mut out, keep, T::from(true), term)?;
        keep = T::from(true);
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

/// out ← keep·out + factor·scale·xᵀy. With `keep` zero, what was in `out` does not matter.
pub(super) fn accumulate<T: Number>(
    device: &CudaDevice,
    out: &mut CudaViewMut<T>,
    keep: T,
    factor: T,
    Outer { x, y, scale }: &Outer,
) -> Result<()> {
    let ((cases, rows), (y_cases, columns)) = (x.dims2()?, y.dims2()?);
    if y_cases != cases || out.len() != rows * columns {
        candle_core::bail!(
            "an outer product of ({cases}, {rows}) and ({y_cases}, {columns}): found room for {} numbers",
            out.len()
        );
    }
    let (x, y) = (x.storage_and_layout(), y.storage_and_layout());
    let (Storage::Cuda(x_storage), Storage::Cuda(y_storage)) = (&*x.0, &*y.0) else {
        candle_core::bail!("an outer product: expected both factors on the parameter's device")
    };
    if !x_storage.device().same_device(device) || !y_storage.device().same_device(device) {
        candle_core::bail!("an outer product: expected both factors on the parameter's device")
    }
    let (x_view, y_view) = (contiguous::<T>(x_storage, x.1)?, contiguous::<T>(y_storage, y.1)?);
    let size = |n: usize| i32::try_from(n).map_err(candle_core::Error::wrap);
    let (cases, rows, columns) = (size(cases)?, size(rows)?, size(columns)?);
    let scale = factor * T::from_f64(*scale);
    let (stream, blas) = (device.cuda_stream(), device.cublas_handle());
    stream.context().bind_to_thread().w()?;
    let (x, _x_use) = x_view.device_ptr(&stream);
    let (y, _y_use) = y_view.device_ptr(&stream);
    let (out, _out_use) = out.device_ptr_mut(&stream);
    // cuBLAS counts by columns: to it, our row-major matrices are their own transposes, and outᵀ = yᵀ·x.
    //
    // SAFETY: as checked, x has cases·rows numbers, y cases·columns and out rows·columns, all of the type that is named;
    // the leading dimensions are the lengths of their rows. `scale` and `keep` are read before the call returns.
    unsafe {
        result::gemm_ex(
            *blas.handle(),
            sys::cublasOperation_t::CUBLAS_OP_N,
            sys::cublasOperation_t::CUBLAS_OP_T,
            columns,
            rows,
            cases,
            (&raw const scale).cast::<c_void>(),
            y as *const c_void,
            T::TYPE,
            columns,
            x as *const c_void,
            T::TYPE,
            rows,
            (&raw const keep).cast::<c_void>(),
            out as *mut c_void,
            T::TYPE,
            columns,
            T::precision(),
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .w()
}
