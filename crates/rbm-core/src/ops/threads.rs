//! How many threads tensor operations use.

use crate::{Error, Result};

const NAMES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];
/// More are a mistake.
const MOST: usize = 1024;

/// Fixes the numbers of threads for this process, where the user has not: call it first thing in `main`.
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
/// Where either variable is no number, or asks for more than 1024 threads: a pool that cannot be made would be a panic at the
/// first product.
pub fn settle() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, threads) in NAMES.into_iter().zip([cores, 1]) {
        if std::env::var_os(name).is_none() && is_single_threaded() {
            // SAFETY: no other thread exists that could read the environment at the same time; just checked.
            unsafe { std::env::set_var(name, threads.to_string()) };
        }
    }
    for name in NAMES {
        let Some(found) = std::env::var_os(name) else { continue };
        let threads = found.to_str().and_then(|found| found.parse::<usize>().ok());
        if threads.is_none_or(|threads| threads > MOST) {
            let expected = format!("a number of threads up to {MOST}");
            return Err(Error::invalid(name, expected, found.to_string_lossy()));
        }
    }
    // A pool of this thread alone would leave what other threads ask of it undone for ever.
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok());
    if threads.unwrap_or(cores) > 1 {
        // It fails where the pool exists already; then it stays as it is.
        let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
    }
    Ok(())
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
