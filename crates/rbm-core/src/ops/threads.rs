//! How many threads matrix products use.

/// Fixes the number of threads for this process, if the user has not: call it first thing in `main`.
///
/// candle asks for the thread count at every matrix product, and without `RAYON_NUM_THREADS` the answer is read anew
/// from `/proc/cpuinfo` each time, which costs a small machine more than its products. This sets the variable to the
/// number of cores the process may use. It does nothing where the variable is set already, or where the process is
/// not visibly single-threaded, because then the environment must not be changed.
pub fn settle() {
    if std::env::var_os("RAYON_NUM_THREADS").is_some() || !is_single_threaded() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: no other thread exists that could read the environment at the same time; checked above.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", cores.to_string()) };
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
