//! Devices, made as learning wants them.
//!
//! How many threads tensor operations use.

use std::ffi::OsStr;

use candle_core::{DType, Device, Tensor};

use super::processor::Processor;
use crate::{Error, Result};

/// The CUDA device with this number, with one stream for all threads and without events that say when a tensor is free.
///
/// candle records two events for every tensor, so that streams can wait for each other; where there is one stream only,
/// they cost time and say nothing. Copy between two such devices through the CPU: nothing makes one wait for the other.
///
/// # Errors
///
/// Where the program was built without `cuda`, or no such device answers.
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
///
/// # Errors
///
/// When the tensor cannot be copied.
pub fn to_host(x: &Tensor) -> Result<Tensor> {
    Ok(x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
}

/// Whether every number of `tensor` is finite; whole numbers always are.
///
/// # Errors
///
/// When the tensor cannot be copied.
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
/// # Errors
///
/// Where it is to be switched on and `device` is not a CUDA device.
pub fn allow_tf32(device: &Device, allow: bool) -> Result<()> {
    if allow && !device.is_cuda() {
        return Err(Error::invalid("TF32", "a CUDA device", format!("{:?}", device.location())));
    }
    candle_core::cuda::set_gemm_reduced_precision_f32(allow);
    Ok(())
}

const NAMES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];
/// More are a mistake.
const MAX_THREADS: usize = 1024;

/// Fixes the numbers of threads for this process, where the user has not, or to 0: call it first thing in `main`.
///
/// candle asks for the thread count at every matrix product, and without `RAYON_NUM_THREADS` the answer is read anew
/// from `/proc/cpuinfo` each time, which costs a small machine more than its products: it is set to the number of cores
/// the process may use. candle's elementwise operations have a second pool, whose threads spin while they wait for each
/// other; beside rayon's, and beside any other program, they cost more than they give: `CANDLE_NUM_THREADS` is set to 1.
///
/// The calling thread becomes one of rayon's own. Otherwise it would hand over every operation and sleep until it is
/// done, which took as long as the operation itself where that has 50,000 elements.
///
/// The environment is left alone where the process is not visibly single-threaded. Other threads must not wait for a task on
/// every thread of rayon's (`rayon::broadcast`): the calling thread does its share only while it waits itself.
///
/// # Errors
///
/// Where `DBN_CPU` names no kind of [`Processor`]. Where a number of threads is no number, or asks for more than 1024 threads: a pool that cannot be made would be a panic at the
/// first product.
pub fn settle() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, threads) in NAMES.into_iter().zip([cores, 1]) {
        if is_left_open(std::env::var_os(name).as_deref()) && is_single_threaded() {
            // SAFETY: no other thread exists that could read the environment at the same time; just checked.
            unsafe { std::env::set_var(name, threads.to_string()) };
        }
    }
    Processor::named_in_environment()?;
    for name in NAMES {
        let Some(found) = std::env::var_os(name) else { continue };
        let threads = found.to_str().and_then(|found| found.parse::<usize>().ok());
        if threads.is_none_or(|threads| threads > MAX_THREADS) {
            let expected = format!("a number of threads up to {MAX_THREADS}");
            return Err(Error::invalid(name, expected, found.to_string_lossy()));
        }
    }
    // A pool of this thread alone would leave what other threads ask of it undone for ever.
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok());
    let threads = threads.filter(|threads| *threads > 0);
    if threads.unwrap_or(cores) > 1 {
        // It fails where the pool exists already; then it stays as it is.
        let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
    }
    Ok(())
}

/// Whether a number of threads is not set, or to 0, which is "as many as there are" to rayon and is not kept by candle either.
fn is_left_open(threads: Option<&OsStr>) -> bool {
    threads.is_none_or(|threads| threads == "0")
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a 0 that is left as it stands: candle would read the number of cores anew at every product.
    #[test]
    fn no_number_and_zero_leave_the_number_open() {
        let open = [None, Some("0")].map(|threads| is_left_open(threads.map(OsStr::new)));
        let set = ["1", "2", "00x", ""].map(|threads| is_left_open(Some(OsStr::new(threads))));
        assert_eq!((open, set), ([true; 2], [false; 4]));
    }
}
