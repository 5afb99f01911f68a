//! Values that are made one by one: functions of inputs, samples, random numbers.

use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::driver::PushKernelArg;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};

use super::{CompiledKernel, Number, allocate, contiguous, for_type, launch};
use crate::ops::cpu::{check_bias, check_same, counters};
use crate::rng::Draw;

/// `function` (`"sigmoid"`, `"softplus"`) of every number.
pub(in crate::ops) fn map(
    function: &str,
    x: &CudaStorage,
    layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    let out = for_type!(x.dtype(), map_numbers(function, x, layout))?;
    Ok((out, layout.shape().clone()))
}

fn map_numbers<T: Number>(function: &str, x: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
    let n = layout.shape().elem_count();
    let kernel = CompiledKernel::of::<T>(x.device(), function)?;
    let (x_numbers, mut out) = (contiguous::<T>(x, layout)?, allocate::<T>(x.device(), n)?);
    let (count, mut arguments) = (n as u64, kernel.arguments());
    arguments.arg(&count).arg(&x_numbers).arg(&mut out);
    // SAFETY: (n, x, out), with n numbers in each.
    unsafe { launch(arguments, n) }?;
    Ok(CudaStorage::wrap_cuda_slice(out, x.device().clone()))
}

/// sigmoid(inputs + bias) (`"mean"`), or the sum alone (`"add_bias"`).
pub(in crate::ops) fn biased(
    kernel: &str,
    inputs: &CudaStorage,
    inputs_layout: &Layout,
    bias: &CudaStorage,
    bias_layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    fn run<T: Number>(
        kernel: &str,
        [(inputs, inputs_layout), (bias, bias_layout)]: [(&CudaStorage, &Layout); 2],
    ) -> Result<CudaStorage> {
        let device = inputs.device();
        let n = inputs_layout.shape().elem_count();
        let width = width(bias_layout)?;
        let kernel = CompiledKernel::of::<T>(device, kernel)?;
        let x = contiguous::<T>(inputs, inputs_layout)?;
        let b = contiguous::<T>(bias, bias_layout)?;
        let mut out = allocate::<T>(device, n)?;
        let (count, mut arguments) = (n as u64, kernel.arguments());
        arguments.arg(&count).arg(&width).arg(&x).arg(&b).arg(&mut out);
        // SAFETY: (n, width, inputs, bias, out), with n numbers in inputs and out, and width in bias.
        unsafe { launch(arguments, n) }?;
        Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
    }
    check_bias(kernel, inputs_layout, bias_layout)?;
    let pair = [(inputs, inputs_layout), (bias, bias_layout)];
    let out = for_type!(inputs.dtype(), run(kernel, pair))?;
    Ok((out, inputs_layout.shape().clone()))
}

/// x·W + bias, or its sigmoid: a layer's answer to the one below. x lies on the weights' device.
pub(in crate::ops) fn connection(
    x: &Tensor,
    (weights, weights_layout): (&CudaStorage, &Layout),
    bias: Option<(&CudaStorage, &Layout)>,
    sigmoid: bool,
) -> Result<(CudaStorage, Shape)> {
    let ((batch, below), (n, m)) = (x.dims2()?, weights_layout.shape().dims2()?);
    if n != below {
        candle_core::bail!("a connection: x ({batch}, {below}) and weights ({n}, {m}) do not fit");
    }
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(x) = &*storage else {
        candle_core::bail!("a connection: expected x on the weights' device")
    };
    let product = x.matmul(weights, (1, batch, m, below), layout, weights_layout)?;
    let shape = Shape::from((batch, m));
    let Some((bias, bias_layout)) = bias else { return Ok((product, shape)) };
    let kernel = if sigmoid { "mean" } else { "add_bias" };
    biased(kernel, &product, &Layout::contiguous(shape), bias, bias_layout)
}

/// Samples of means sigmoid(inputs + bias), as inputs are shaped, or with `keep_mean` `(2, batch, width)`, means above
/// samples.
pub(in crate::ops) fn sample(
    draw: Draw,
    keep_mean: bool,
    inputs: &CudaStorage,
    inputs_layout: &Layout,
    bias: &CudaStorage,
    bias_layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    check_bias("bernoulli-sample", inputs_layout, bias_layout)?;
    let pair = [(inputs, inputs_layout), (bias, bias_layout)];
    let out = for_type!(inputs.dtype(), sample_numbers(draw, keep_mean, pair))?;
    let (batch, width) = inputs_layout.shape().dims2()?;
    let shape = if keep_mean { (2, batch, width).into() } else { (batch, width).into() };
    Ok((out, shape))
}

fn sample_numbers<T: Number>(
    draw: Draw,
    keep_mean: bool,
    [(inputs, inputs_layout), (bias, bias_layout)]: [(&CudaStorage, &Layout); 2],
) -> Result<CudaStorage> {
    let device = inputs.device();
    let n = inputs_layout.shape().elem_count();
    let width = width(bias_layout)?;
    let (name, len) = if keep_mean { ("mean_and_sample", 2 * n) } else { ("sample", n) };
    let kernel = CompiledKernel::of::<T>(device, name)?;
    let (x, b) = (contiguous::<T>(inputs, inputs_layout)?, contiguous::<T>(bias, bias_layout)?);
    let mut out = allocate::<T>(device, len)?;
    let (count, mut arguments) = (n as u64, kernel.arguments());
    arguments.arg(&count).arg(&width).arg(&x).arg(&b).arg(&mut out);
    arguments.arg(&draw.seed).arg(&draw.stream);
    // SAFETY: (n, width, inputs, bias, out, seed, stream), with n numbers in inputs, width in bias, and in out n samples,
    // or n means and n samples.
    unsafe { launch(arguments, counters(n)) }?;
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

/// grad·(mean − mean²).
pub(in crate::ops) fn slope(
    mean: &CudaStorage,
    mean_layout: &Layout,
    grad: &CudaStorage,
    grad_layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    fn run<T: Number>(
        [(mean, mean_layout), (grad, grad_layout)]: [(&CudaStorage, &Layout); 2],
    ) -> Result<CudaStorage> {
        let (device, n) = (mean.device(), mean_layout.shape().elem_count());
        let kernel = CompiledKernel::of::<T>(device, "slope")?;
        let (m, g) = (contiguous::<T>(mean, mean_layout)?, contiguous::<T>(grad, grad_layout)?);
        let mut out = allocate::<T>(device, n)?;
        let (count, mut arguments) = (n as u64, kernel.arguments());
        arguments.arg(&count).arg(&m).arg(&g).arg(&mut out);
        // SAFETY: (n, mean, grad, out), with n numbers in each: the shapes have been compared.
        unsafe { launch(arguments, n) }?;
        Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
    }
    check_same("a slope", mean_layout, grad_layout)?;
    let out = for_type!(mean.dtype(), run([(mean, mean_layout), (grad, grad_layout)]))?;
    Ok((out, mean_layout.shape().clone()))
}

/// `x` with the elements that the draw leaves out as zeros, the others scaled up.
pub(in crate::ops) fn dropout(
    draw: Draw,
    fraction: f64,
    x: &CudaStorage,
    layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    fn run<T: Number>(
        draw: Draw,
        fraction: f64,
        x: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        let (device, n) = (x.device(), layout.shape().elem_count());
        let kernel = CompiledKernel::of::<T>(device, "dropout")?;
        let (keep, scale) = ((1.0 - fraction) as f32, T::from_f64(1.0 / (1.0 - fraction)));
        let (numbers, mut out) = (contiguous::<T>(x, layout)?, allocate::<T>(device, n)?);
        let (count, mut arguments) = (n as u64, kernel.arguments());
        arguments.arg(&count).arg(&numbers).arg(&mut out).arg(&keep).arg(&scale);
        arguments.arg(&draw.seed).arg(&draw.stream);
        // SAFETY: (n, x, out, keep, scale, seed, stream), with n numbers in x and out.
        unsafe { launch(arguments, counters(n)) }?;
        Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
    }
    let out = for_type!(x.dtype(), run(draw, fraction, x, layout))?;
    Ok((out, layout.shape().clone()))
}

/// Random numbers of a kind (`"uniform"`, `"normal"`) in a new tensor. A leaf.
pub(in crate::ops) fn draw(
    kind: &str,
    shape: Shape,
    dtype: DType,
    device: &CudaDevice,
    draw: Draw,
) -> Result<Tensor> {
    let out = for_type!(dtype, draw_numbers(kind, shape.elem_count(), device, draw))?;
    Ok(Tensor::from_storage(Storage::Cuda(out), shape, BackpropOp::none(), false))
}

fn draw_numbers<T: Number>(
    kind: &str,
    n: usize,
    device: &CudaDevice,
    draw: Draw,
) -> Result<CudaStorage> {
    let kernel = CompiledKernel::of::<T>(device, kind)?;
    let mut out = allocate::<T>(device, n)?;
    let (count, mut arguments) = (n as u64, kernel.arguments());
    arguments.arg(&count).arg(&mut out).arg(&draw.seed).arg(&draw.stream);
    // SAFETY: (n, out, seed, stream), with n numbers in out.
    unsafe { launch(arguments, counters(n)) }?;
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

fn width(bias: &Layout) -> Result<u32> {
    u32::try_from(bias.shape().elem_count()).map_err(candle_core::Error::wrap)
}
