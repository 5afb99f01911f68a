//! Changes of a parameter in place.
//!
//! Sums of outer products by cuBLAS, added up where they are wanted: candle's own product always makes a new matrix.

use std::cell::RefCell;
use std::ffi::c_void;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::cublas::{result, sys};
use candle_core::cuda::cudarc::driver::{CudaViewMut, DevicePtr, DevicePtrMut, PushKernelArg};
use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, InplaceOp1, Layout, Result, Storage, Tensor,
};

use super::{CompiledKernel, Number, allocate, contiguous, contiguous_mut, for_type, launch};
use crate::ops::cpu::same_count;
use crate::ops::outer::{MomentumStep, Outer, Representation};

/// target ← keep·target + scale·term(source), with the term in the kernel's name (`"combine"`, `"combine_sign"`,
/// `"combine_square"`).
pub(in crate::ops) fn combine(
    name: &str,
    [keep, scale]: [f64; 2],
    (target, target_layout): (&mut CudaStorage, &Layout),
    (source, source_layout): (&CudaStorage, &Layout),
) -> Result<()> {
    fn run<T: Number>(
        name: &str,
        [keep, scale]: [f64; 2],
        (target, target_layout): (&mut CudaStorage, &Layout),
        (source, source_layout): (&CudaStorage, &Layout),
    ) -> Result<()> {
        let kernel = CompiledKernel::of::<T>(target.device(), name)?;
        let n = same_count([target_layout, source_layout])?;
        let (keep, scale) = (T::from_f64(keep), T::from_f64(scale));
        let mut t = contiguous_mut::<T>(target, target_layout)?;
        let s = contiguous::<T>(source, source_layout)?;
        let (count, mut arguments) = (n as u64, kernel.arguments());
        arguments.arg(&count).arg(&mut t).arg(&s).arg(&keep).arg(&scale);
        // SAFETY: (n, target, source, keep, scale), with n numbers in target and source.
        unsafe { launch(arguments, n) }
    }
    for_type!(
        target.dtype(),
        run(name, [keep, scale], (target, target_layout), (source, source_layout))
    )
}

/// parameter ← parameter + rate·first/(√(scale·second) + ε), with `[rate, scale, ε]`.
pub(in crate::ops) fn adam_step(
    numbers: [f64; 3],
    (parameter, parameter_layout): (&mut CudaStorage, &Layout),
    moments: [(&CudaStorage, &Layout); 2],
) -> Result<()> {
    fn run<T: Number>(
        numbers: [f64; 3],
        (parameter, parameter_layout): (&mut CudaStorage, &Layout),
        [(first, first_layout), (second, second_layout)]: [(&CudaStorage, &Layout); 2],
    ) -> Result<()> {
        let kernel = CompiledKernel::of::<T>(parameter.device(), "adam_step")?;
        let n = same_count([parameter_layout, first_layout, second_layout])?;
        let [rate, scale, epsilon] = numbers.map(T::from_f64);
        let mut p = contiguous_mut::<T>(parameter, parameter_layout)?;
        let first = contiguous::<T>(first, first_layout)?;
        let second = contiguous::<T>(second, second_layout)?;
        let (count, mut arguments) = (n as u64, kernel.arguments());
        arguments.arg(&count).arg(&mut p).arg(&first).arg(&second);
        arguments.arg(&rate).arg(&scale).arg(&epsilon);
        // SAFETY: (n, parameter, first, second, rate, scale, epsilon), with n numbers in each of the three.
        unsafe { launch(arguments, n) }
    }
    for_type!(parameter.dtype(), run(numbers, (parameter, parameter_layout), moments))
}

/// The step of gradient ascent with momentum. Outer products are added to the velocity by cuBLAS; then, or along a
/// gradient that is there already, one kernel changes velocity and parameter.
pub(in crate::ops) fn momentum_step(
    step: &MomentumStep,
    parameter: &mut CudaStorage,
    layout: &Layout,
) -> Result<()> {
    // candle lends one tensor's memory at a time: the velocity's is borrowed while the parameter's is held.
    step.velocity.inplace_op1(&CudaWithParameter {
        step,
        parameter: RefCell::new(parameter),
        layout,
    })
}

struct CudaWithParameter<'a> {
    step: &'a MomentumStep<'a>,
    parameter: RefCell<&'a mut CudaStorage>,
    layout: &'a Layout,
}

impl InplaceOp1 for CudaWithParameter<'_> {
    fn name(&self) -> &'static str {
        "momentum-step"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        candle_core::bail!(
            "momentum-step: expected the velocity on the parameter's device, found the CPU"
        )
    }

    fn cuda_fwd(&self, velocity: &mut CudaStorage, layout: &Layout) -> Result<()> {
        for_type!(velocity.dtype(), run_step(self, velocity, layout))
    }
}

fn run_step<T: Number>(
    with: &CudaWithParameter,
    velocity: &mut CudaStorage,
    velocity_layout: &Layout,
) -> Result<()> {
    let (step, penalty) = (with.step, with.step.ascent.penalty);
    let mut parameter = with.parameter.try_borrow_mut().map_err(candle_core::Error::wrap)?;
    let device = parameter.device().clone();
    let n = same_count([with.layout, velocity_layout])?;
    let l1 = T::from_f64(-step.rate * penalty.l1);
    let l2 = T::from_f64(-step.rate * penalty.l2);
    let mut keep = T::from_f64(step.momentum);
    let mut w = contiguous_mut::<T>(&mut parameter, with.layout)?;
    let mut v = contiguous_mut::<T>(velocity, velocity_layout)?;
    let count = n as u64;
    match &step.ascent.direction {
        Representation::Tensor(gradient) => {
            let (storage, layout) = gradient.storage_and_layout();
            let Storage::Cuda(gradient) = &*storage else {
                candle_core::bail!("momentum-step: expected the gradient on the parameter's device")
            };
            same_count([with.layout, layout])?;
            let g = contiguous::<T>(gradient, layout)?;
            let rate = T::from_f64(step.rate);
            let kernel = CompiledKernel::of::<T>(&device, "momentum_step")?;
            let mut arguments = kernel.arguments();
            arguments.arg(&count).arg(&mut w).arg(&mut v).arg(&g);
            arguments.arg(&keep).arg(&rate).arg(&l1).arg(&l2);
            // SAFETY: (n, parameter, velocity, gradient, keep, rate, l1, l2), with n numbers in each of the three.
            unsafe { launch(arguments, n) }
        }
        Representation::Outer(terms) => {
            for term in terms {
                accumulate(&device, &mut v, keep, T::from_f64(step.rate), term)?;
                keep = T::from(true);
            }
            let kernel = CompiledKernel::of::<T>(&device, "velocity_step")?;
            let mut arguments = kernel.arguments();
            arguments.arg(&count).arg(&mut w).arg(&mut v).arg(&keep).arg(&l1).arg(&l2);
            // SAFETY: (n, parameter, velocity, keep, l1, l2), with n numbers in parameter and velocity.
            unsafe { launch(arguments, n) }
        }
    }
}

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
