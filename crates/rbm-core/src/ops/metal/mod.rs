//! The fused operations as Metal kernels in `f32`, compiled when the first of them is needed.
//!
//! Compiled without fast maths, so that samples agree with the CPU's to the bit; the hardware may take numbers below 1e-38
//! for zero. Normal numbers, outer products and `f64` take the reference path.
//!
//! This has been type-checked, and the kernels compared with the CPU as C++; on a Mac none of it has been run.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::op::BackpropOp;
use candle_core::{
    DType, DeviceLocation, Layout, MetalDevice, MetalStorage, Result, Shape, Storage, Tensor,
};
use candle_metal_kernels::metal::{ComputeCommandEncoder, ComputePipeline};
use objc2_metal::{MTLCompileOptions, MTLSize};

use crate::ops::cpu::{check_bias, check_same, counters};
use crate::rng::{Draw, words};

mod update;

pub(super) use update::{adam_step, combine, momentum_step};

/// What is compiled.
const SOURCE: &str = concat!(
    include_str!("dialect.h"),
    include_str!("../arithmetic.h"),
    include_str!("kernels.metal")
);

/// `function` (`"sigmoid"`, `"softplus"`) of every number.
pub(super) fn map(
    function: &str,
    x: &MetalStorage,
    layout: &Layout,
) -> Result<(MetalStorage, Shape)> {
    let (device, n) = (x.device(), layout.shape().elem_count());
    let (x, out) = (Numbers::of(x, layout)?, allocate(device, n)?);
    launch(device, function, n, |encoder| {
        encoder.set_bytes(0, &count(n)?);
        x.read_as(encoder, 1);
        encoder.set_output_buffer(2, Some(out.buffer()), 0);
        Ok(())
    })?;
    Ok((out, layout.shape().clone()))
}

/// sigmoid(inputs + bias).
pub(super) fn mean(
    inputs: &MetalStorage,
    inputs_layout: &Layout,
    bias: &MetalStorage,
    bias_layout: &Layout,
) -> Result<(MetalStorage, Shape)> {
    check_bias("mean", inputs_layout, bias_layout)?;
    let (device, shape) = (inputs.device(), inputs_layout.shape().clone());
    let (n, width) = (shape.elem_count(), bias_layout.shape().elem_count());
    let (x, b) = (Numbers::of(inputs, inputs_layout)?, Numbers::of(bias, bias_layout)?);
    let out = allocate(device, n)?;
    launch(device, "mean", n, |encoder| {
        encoder.set_bytes(0, &count(n)?);
        encoder.set_bytes(1, &count(width)?);
        x.read_as(encoder, 2);
        b.read_as(encoder, 3);
        encoder.set_output_buffer(4, Some(out.buffer()), 0);
        Ok(())
    })?;
    Ok((out, shape))
}

/// Samples of means sigmoid(inputs + bias), as inputs are shaped, or with `keep_mean` `(2, batch, width)`, means above
/// samples.
pub(super) fn sample(
    draw: Draw,
    keep_mean: bool,
    inputs: &MetalStorage,
    inputs_layout: &Layout,
    bias: &MetalStorage,
    bias_layout: &Layout,
) -> Result<(MetalStorage, Shape)> {
    check_bias("bernoulli-sample", inputs_layout, bias_layout)?;
    let device = inputs.device();
    let (batch, width) = inputs_layout.shape().dims2()?;
    let n = batch * width;
    let (name, len, shape) = if keep_mean {
        ("mean_and_sample", 2 * n, Shape::from((2, batch, width)))
    } else {
        ("sample", n, Shape::from((batch, width)))
    };
    let (x, b) = (Numbers::of(inputs, inputs_layout)?, Numbers::of(bias, bias_layout)?);
    // The kernel counts up to `len` in 32 bits.
    count(len)?;
    let out = allocate(device, len)?;
    launch(device, name, counters(n), |encoder| {
        encoder.set_bytes(0, &count(n)?);
        encoder.set_bytes(1, &count(width)?);
        x.read_as(encoder, 2);
        b.read_as(encoder, 3);
        encoder.set_output_buffer(4, Some(out.buffer()), 0);
        encoder.set_bytes(5, &words(draw.seed));
        encoder.set_bytes(6, &words(draw.stream));
        Ok(())
    })?;
    Ok((out, shape))
}

/// grad·(mean − mean²).
pub(super) fn slope(
    mean: &MetalStorage,
    mean_layout: &Layout,
    grad: &MetalStorage,
    grad_layout: &Layout,
) -> Result<(MetalStorage, Shape)> {
    check_same("a slope", mean_layout, grad_layout)?;
    let (device, n) = (mean.device(), mean_layout.shape().elem_count());
    let (m, g) = (Numbers::of(mean, mean_layout)?, Numbers::of(grad, grad_layout)?);
    let out = allocate(device, n)?;
    launch(device, "slope", n, |encoder| {
        encoder.set_bytes(0, &count(n)?);
        m.read_as(encoder, 1);
        g.read_as(encoder, 2);
        encoder.set_output_buffer(3, Some(out.buffer()), 0);
        Ok(())
    })?;
    Ok((out, mean_layout.shape().clone()))
}

/// `x` with the elements that the draw leaves out as zeros, the others scaled up.
pub(super) fn dropout(
    draw: Draw,
    fraction: f64,
    x: &MetalStorage,
    layout: &Layout,
) -> Result<(MetalStorage, Shape)> {
    let (device, n) = (x.device(), layout.shape().elem_count());
    let (numbers, out) = (Numbers::of(x, layout)?, allocate(device, n)?);
    launch(device, "dropout", counters(n), |encoder| {
        encoder.set_bytes(0, &count(n)?);
        numbers.read_as(encoder, 1);
        encoder.set_output_buffer(2, Some(out.buffer()), 0);
        encoder.set_bytes(3, &((1.0 - fraction) as f32));
        encoder.set_bytes(4, &((1.0 / (1.0 - fraction)) as f32));
        encoder.set_bytes(5, &words(draw.seed));
        encoder.set_bytes(6, &words(draw.stream));
        Ok(())
    })?;
    Ok((out, layout.shape().clone()))
}

/// Numbers uniform on (0, 1) in a new tensor. A leaf.
pub(super) fn uniform(shape: Shape, device: &MetalDevice, draw: Draw) -> Result<Tensor> {
    let n = shape.elem_count();
    let out = allocate(device, n)?;
    launch(device, "uniform", counters(n), |encoder| {
        encoder.set_bytes(0, &count(n)?);
        encoder.set_output_buffer(1, Some(out.buffer()), 0);
        encoder.set_bytes(2, &words(draw.seed));
        encoder.set_bytes(3, &words(draw.stream));
        Ok(())
    })?;
    Ok(Tensor::from_storage(Storage::Metal(out), shape, BackpropOp::none(), false))
}

/// A number of numbers, as the kernels count them.
fn count(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(candle_core::Error::wrap)
}

/// Where the numbers of a contiguous `f32` tensor lie.
struct Numbers<'a> {
    storage: &'a MetalStorage,
    offset: usize,
}

impl<'a> Numbers<'a> {
    fn of(storage: &'a MetalStorage, layout: &Layout) -> Result<Self> {
        let Some((start, _)) = layout.contiguous_offsets() else {
            candle_core::bail!(
                "a Metal kernel: expected contiguous tensors, found strides {:?}",
                layout.stride()
            )
        };
        if storage.dtype() != DType::F32 {
            candle_core::bail!("a Metal kernel: expected F32, found {:?}", storage.dtype())
        }
        Ok(Self { storage, offset: start * DType::F32.size_in_bytes() })
    }

    fn read_as(&self, encoder: &ComputeCommandEncoder, index: usize) {
        encoder.set_input_buffer(index, Some(self.storage.buffer()), self.offset);
    }

    /// Also where the kernel reads them as well: candle then waits for those who read or wrote them before.
    fn written_as(&self, encoder: &ComputeCommandEncoder, index: usize) {
        encoder.set_output_buffer(index, Some(self.storage.buffer()), self.offset);
    }
}

/// Memory for `n` numbers, with whatever is in it.
fn allocate(device: &MetalDevice, n: usize) -> Result<MetalStorage> {
    let buffer = device.new_buffer_builder().with_size_for(n.max(1), DType::F32).build()?;
    Ok(MetalStorage::new(buffer, device.clone(), n, DType::F32))
}

/// Queues a kernel on `threads` threads; `set` hands over its arguments by their numbers in `kernels.metal`. With no
/// threads it does nothing.
fn launch(
    device: &MetalDevice,
    name: &str,
    threads: usize,
    set: impl FnOnce(&ComputeCommandEncoder) -> Result<()>,
) -> Result<()> {
    if threads == 0 {
        return Ok(());
    }
    let pipeline = pipeline(device, name)?;
    let guard = device.command_encoder()?;
    let encoder: &ComputeCommandEncoder = guard.as_ref();
    encoder.set_compute_pipeline_state(&pipeline);
    set(encoder)?;
    let size = |width| MTLSize { width, height: 1, depth: 1 };
    let group = pipeline.max_total_threads_per_threadgroup().min(threads);
    encoder.dispatch_threads(size(threads), size(group));
    Ok(())
}

/// A kernel for numbers of type `f32`, compiled once a process and device.
fn pipeline(device: &MetalDevice, name: &str) -> Result<ComputePipeline> {
    static COMPILED: OnceLock<Mutex<HashMap<(usize, String), ComputePipeline>>> = OnceLock::new();
    let DeviceLocation::Metal { gpu_id } = device.location() else {
        candle_core::bail!("Metal kernels: expected a Metal device, found {:?}", device.location())
    };
    let mut compiled =
        COMPILED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let key = (gpu_id, format!("{name}_f32"));
    if let Some(pipeline) = compiled.get(&key) {
        return Ok(pipeline.clone());
    }
    let options = MTLCompileOptions::new();
    // Its successor, the maths mode, is not known to systems before macOS 15.
    #[allow(deprecated)]
    options.setFastMathEnabled(false);
    let metal = device.metal_device();
    let wrap = candle_core::Error::wrap;
    let library = metal.new_library_with_source(SOURCE, Some(&options)).map_err(wrap)?;
    let function = library.get_function(&key.1, None).map_err(wrap)?;
    let pipeline = metal.new_compute_pipeline_state_with_function(&function).map_err(wrap)?;
    compiled.insert(key, pipeline.clone());
    Ok(pipeline)
}
