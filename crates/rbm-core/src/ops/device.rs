//! Devices, made as learning wants them.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// The CUDA device with this number, with one stream for all threads and without events that say when a tensor is free.
///
/// candle records two events for every tensor, so that streams can wait for each other; where there is one stream only,
/// they cost time and say nothing. Copy between two such devices through the CPU: nothing makes one wait for the other.
///
/// Errors where the program was built without `cuda`, or no such device answers.
pub fn cuda(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = &device {
        // SAFETY: every tensor of this device is made, used and freed on its one stream, in the order of the calls.
        unsafe { device.disable_event_tracking() };
    }
    Ok(device)
}

/// `x` in `f64` on the CPU, a leaf: for looking at. This is where a program waits for a GPU; a step of learning does not.
///
/// The type is changed on the CPU, because Metal has no `f64`.
pub fn to_host(x: &Tensor) -> Result<Tensor> {
    Ok(x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
}

/// Whether every number of `tensor` is finite; whole numbers always are.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    if !tensor.dtype().is_float() || tensor.elem_count() == 0 {
        return Ok(true);
    }
    // Of what is finite nothing is left, of NaN and infinities NaN; a sum of the numbers themselves may overflow.
    let nothing = tensor.sub(tensor)?.sum_all()?;
    Ok(to_host(&nothing)?.to_scalar::<f64>()? == 0.0)
}

/// Whether products of `f32` may round their factors to TF32, 10 bits after the point, as the tensor cores want them: several
/// times faster, with a relative error of 5e-4 a factor. Off at first. It holds for every CUDA device of the process.
///
/// Errors where it is to be switched on and `device` is not a CUDA device.
pub fn allow_tf32(device: &Device, allow: bool) -> Result<()> {
    if allow && !device.is_cuda() {
        return Err(Error::invalid("TF32", "a CUDA device", format!("{:?}", device.location())));
    }
    candle_core::cuda::set_gemm_reduced_precision_f32(allow);
    Ok(())
}
