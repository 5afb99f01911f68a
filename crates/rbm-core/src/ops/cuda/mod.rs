//! The fused operations as CUDA kernels, compiled by NVRTC when the first of them is needed.
//!
//! No fast maths and no fused multiply-add: `f32` has the CPU's bits where the inputs agree. Nothing here waits for the
//! device or copies from or to it.
//!
//! The kernels have been compiled by NVRTC and, as C++, compared with the CPU; on a GPU none of this has been run yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::backend::BackendDevice;
use candle_core::cuda::cudarc::cublas::sys;
use candle_core::cuda::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, CudaView, CudaViewMut, DeviceRepr, LaunchArgs,
    LaunchConfig,
};
use candle_core::cuda::cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use candle_core::cuda::{CudaDType, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DeviceLocation, Layout, Result};

use crate::ops::real::Real;

mod elementwise;
mod update;

pub(super) use elementwise::{biased, connection, draw, dropout, map, sample, slope};
pub(super) use update::{adam_step, combine, momentum_step, outer_sum};

/// The name under which candle keeps the module.
const MODULE: &str = "rbm-core";
/// What is compiled.
const SOURCE: &str =
    concat!(include_str!("dialect.h"), include_str!("../arithmetic.h"), include_str!("kernels.cu"));
/// Threads in a block.
const THREADS: usize = 256;

/// A type of numbers that there are kernels for.
trait Number: Real + CudaDType + DeviceRepr {
    /// The end of the kernels' names.
    const SUFFIX: &'static str;
    /// What cuBLAS calls the type.
    const TYPE: sys::cudaDataType_t;
    /// In what precision cuBLAS multiplies.
    fn precision() -> sys::cublasComputeType_t;
}

impl Number for f32 {
    const SUFFIX: &'static str = "f32";
    const TYPE: sys::cudaDataType_t = sys::cudaDataType_t::CUDA_R_32F;

    fn precision() -> sys::cublasComputeType_t {
        if candle_core::cuda::gemm_reduced_precision_f32() {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
        }
    }
}

impl Number for f64 {
    const SUFFIX: &'static str = "f64";
    const TYPE: sys::cudaDataType_t = sys::cudaDataType_t::CUDA_R_64F;

    fn precision() -> sys::cublasComputeType_t {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_64F
    }
}

/// Calls a function for the type of numbers that a storage has.
macro_rules! for_type {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            candle_core::DType::F32 => $function::<f32>($($argument),*),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => candle_core::bail!("a CUDA kernel: expected F32 or F64, found {other:?}"),
        }
    };
}
use for_type;

/// A kernel, ready to be launched.
struct CompiledKernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl CompiledKernel {
    /// The kernel `name` for numbers of type `T`. Errors when the kernels do not compile.
    fn of<T: Number>(device: &CudaDevice, name: &str) -> Result<Self> {
        let name = format!("{name}_{}", T::SUFFIX);
        let function = device.get_or_load_custom_func(&name, MODULE, &compiled(device)?)?;
        Ok(Self { function: function.into_cuda_function(), stream: device.cuda_stream() })
    }

    /// To add its arguments to, in the order of `kernels.cu`.
    fn arguments(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// Queues a kernel on at least `threads` threads. With none it does nothing.
///
/// # Safety
///
/// The arguments are those of the kernel in `kernels.cu`, in its order, and point to as many numbers as it touches.
unsafe fn launch(mut arguments: LaunchArgs, threads: usize) -> Result<()> {
    if threads == 0 {
        return Ok(());
    }
    let blocks = u32::try_from(threads.div_ceil(THREADS)).map_err(candle_core::Error::wrap)?;
    let shape = LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (THREADS as u32, 1, 1),
        shared_mem_bytes: 0,
    };
    // SAFETY: what the caller vouches for is what a launch asks for.
    unsafe { arguments.launch(shape) }.w()?;
    Ok(())
}

/// The kernels in PTX for `device`, compiled once a process and device.
fn compiled(device: &CudaDevice) -> Result<Arc<str>> {
    static COMPILED: OnceLock<Mutex<HashMap<usize, Arc<str>>>> = OnceLock::new();
    let DeviceLocation::Cuda { gpu_id } = device.location() else {
        candle_core::bail!("CUDA kernels: expected a CUDA device, found {:?}", device.location())
    };
    let mut compiled =
        COMPILED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ptx) = compiled.get(&gpu_id) {
        return Ok(Arc::clone(ptx));
    }
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    let options = CompileOptions {
        fmad: Some(false),
        ftz: Some(false),
        prec_div: Some(true),
        prec_sqrt: Some(true),
        options: vec![format!("--gpu-architecture=compute_{major}{minor}")],
        name: Some("kernels.cu".into()),
        ..CompileOptions::default()
    };
    let ptx: Arc<str> = match compile_ptx_with_opts(SOURCE, options) {
        Ok(ptx) => ptx.to_src().into(),
        Err(CompileError::CompileError { nvrtc, log, .. }) => candle_core::bail!(
            "CUDA kernels for compute capability {major}.{minor}: {nvrtc:?}; is NVRTC as new as the device? {}",
            log.to_string_lossy()
        ),
        Err(error) => return Err(error).w(),
    };
    compiled.insert(gpu_id, Arc::clone(&ptx));
    Ok(ptx)
}

/// Memory for `len` numbers, with whatever is in it.
fn allocate<T: Number>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
    // SAFETY: whoever calls this has every number written by a kernel before anything reads it. An allocation of nothing
    // is an error in CUDA.
    unsafe { device.alloc(len.max(1)) }
}

/// The numbers of a tensor that must lie in one piece.
fn contiguous<'a, T: Number>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let (start, end) = range(layout)?;
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

/// The same of a tensor that may be changed.
fn contiguous_mut<'a, T: Number>(
    storage: &'a mut CudaStorage,
    layout: &Layout,
) -> Result<CudaViewMut<'a, T>> {
    let (start, end) = range(layout)?;
    Ok(storage.as_cuda_slice_mut::<T>()?.slice_mut(start..end))
}

fn range(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => candle_core::bail!(
            "a CUDA kernel: expected contiguous tensors, found strides {:?}",
            layout.stride()
        ),
    }
}
