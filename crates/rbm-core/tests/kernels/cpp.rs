//! The kernels compiled as C++, each called for one thread after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::WithDType;
use libloading::Library;
use rbm_core::rng::Draw;

const ARITHMETIC: &str = include_str!("../../src/ops/arithmetic.h");
/// Numbers behind every output that no kernel may touch.
const MARGIN: usize = 200;
const THREADS: u32 = 256;

/// The kernels, on host memory. Outputs come back with what was behind them checked.
pub trait Gpu<T> {
    fn map(&self, name: &str, x: &[T]) -> Vec<T>;
    fn mean(&self, x: &[T], bias: &[T]) -> Vec<T>;
    fn sample(&self, x: &[T], bias: &[T], draw: Draw) -> Vec<T>;
    fn mean_and_sample(&self, x: &[T], bias: &[T], draw: Draw) -> Vec<T>;
    fn slope(&self, mean: &[T], grad: &[T]) -> Vec<T>;
    fn dropout(&self, x: &[T], fraction: f64, draw: Draw) -> Vec<T>;
    fn random(&self, kind: &str, count: usize, draw: Draw) -> Vec<T>;
    fn combine(&self, name: &str, target: &[T], source: &[T], keep: f64, scale: f64) -> Vec<T>;
    fn momentum_step(&self, wvg: [&[T]; 3], numbers: [f64; 4]) -> [Vec<T>; 2];
    fn adam_step(&self, p: &[T], first: &[T], second: &[T], numbers: [f64; 3]) -> Vec<T>;
}

/// An output of `count` numbers, starting as `start` where that is given, and a margin.
struct Out<T> {
    numbers: Vec<T>,
    count: usize,
}

impl<T: WithDType> Out<T> {
    fn of(count: usize) -> Self {
        Self { numbers: vec![T::from_f64(-7.5); count + MARGIN], count }
    }

    fn from(start: &[T]) -> Self {
        let mut out = Self::of(start.len());
        out.numbers[..start.len()].copy_from_slice(start);
        out
    }

    fn done(mut self) -> Vec<T> {
        let margin = self.numbers.split_off(self.count);
        assert!(margin.iter().all(|x| x.to_f64() == -7.5), "a kernel wrote behind its output");
        self.numbers
    }
}

/// Compiles `source` to a library beside `headers`. Says so and gives nothing where there is no C++ compiler.
fn compile(name: &str, source: &str, headers: &[(&str, &str)]) -> Option<Library> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in headers {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path: PathBuf = dir.path().join(format!("{name}.cpp"));
    std::fs::write(&path, source).unwrap();
    let library = dir.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(&compiler)
        .args(["-std=c++14", "-O1", "-ffp-contract=off", "-w", "-shared", "-fPIC", "-I"])
        .args([dir.path(), Path::new("-o"), &library, &path])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no C++ compiler {compiler:?} ($CXX names another): {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: the library has just been made of our own source and runs nothing when it is loaded.
    Some(unsafe { Library::new(&library) }.unwrap())
}

/// A function of the library.
///
/// # Safety
///
/// It has the type `F`.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> F {
    // SAFETY: the caller vouches for the type.
    *unsafe { library.get::<F>(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn counters(count: usize) -> usize {
    count.div_ceil(128) * 32
}

pub struct Cuda(Library);

impl Cuda {
    pub fn compile() -> Option<&'static Self> {
        static COMPILED: OnceLock<Option<Cuda>> = OnceLock::new();
        let source = [
            include_str!("cuda_as_cpp.h"),
            include_str!("../../src/ops/cuda/dialect.h"),
            ARITHMETIC,
            include_str!("../../src/ops/cuda/kernels.cu"),
        ];
        COMPILED.get_or_init(|| compile("cuda", &source.concat(), &[]).map(Self)).as_ref()
    }

    /// Calls `kernel` for every thread of enough blocks for `threads`.
    fn for_threads(&self, threads: usize, mut kernel: impl FnMut()) {
        // SAFETY: this is its type in cuda_as_cpp.h.
        let place: unsafe extern "C" fn(u32, u32, u32) =
            unsafe { function(&self.0, "place_thread") };
        for block in 0..(threads as u32).div_ceil(THREADS) {
            for thread in 0..THREADS {
                // SAFETY: it writes variables of this thread alone.
                unsafe { place(block, thread, THREADS) };
                kernel();
            }
        }
    }

    pub fn biased<T: WithDType>(&self, root: &str, x: &[T], bias: &[T]) -> Vec<T> {
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.cu.
        let biased: unsafe extern "C" fn(u64, u32, *const T, *const T, *mut T) =
            unsafe { function(&self.0, &name::<T>(root)) };
        let (n, width, start) = (x.len() as u64, bias.len() as u32, out.numbers.as_mut_ptr());
        // SAFETY: x and out have n numbers, bias has width.
        self.for_threads(x.len(), || unsafe { biased(n, width, x.as_ptr(), bias.as_ptr(), start) });
        out.done()
    }

    pub fn velocity_step<T: WithDType>(&self, [w, v]: [&[T]; 2], numbers: [f64; 3]) -> [Vec<T>; 2] {
        let (mut w, mut v) = (Out::from(w), Out::from(v));
        let [keep, l1, l2] = numbers.map(T::from_f64);
        // SAFETY: this is its type in kernels.cu.
        let step: unsafe extern "C" fn(u64, *mut T, *mut T, T, T, T) =
            unsafe { function(&self.0, &name::<T>("velocity_step")) };
        let (n, w_start, v_start) = (w.count, w.numbers.as_mut_ptr(), v.numbers.as_mut_ptr());
        // SAFETY: parameter and velocity have n numbers.
        self.for_threads(n, || unsafe { step(n as u64, w_start, v_start, keep, l1, l2) });
        [w.done(), v.done()]
    }
}

fn name<T: WithDType>(root: &str) -> String {
    format!("{root}_{}", T::DTYPE.as_str())
}

impl<T: WithDType> Gpu<T> for Cuda {
    fn map(&self, root: &str, x: &[T]) -> Vec<T> {
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.cu.
        let map: unsafe extern "C" fn(u64, *const T, *mut T) =
            unsafe { function(&self.0, &name::<T>(root)) };
        let start = out.numbers.as_mut_ptr();
        // SAFETY: x and out have n numbers.
        self.for_threads(x.len(), || unsafe { map(x.len() as u64, x.as_ptr(), start) });
        out.done()
    }

    fn mean(&self, x: &[T], bias: &[T]) -> Vec<T> {
        self.biased("mean", x, bias)
    }

    fn sample(&self, x: &[T], bias: &[T], draw: Draw) -> Vec<T> {
        sample_into(self, "sample", x, bias, draw, Out::of(x.len()))
    }

    fn mean_and_sample(&self, x: &[T], bias: &[T], draw: Draw) -> Vec<T> {
        sample_into(self, "mean_and_sample", x, bias, draw, Out::of(2 * x.len()))
    }

    fn slope(&self, mean: &[T], grad: &[T]) -> Vec<T> {
        let mut out = Out::of(mean.len());
        // SAFETY: this is its type in kernels.cu.
        let slope: unsafe extern "C" fn(u64, *const T, *const T, *mut T) =
            unsafe { function(&self.0, &name::<T>("slope")) };
        let (n, start) = (grad.len() as u64, out.numbers.as_mut_ptr());
        // SAFETY: all three have n numbers.
        self.for_threads(mean.len(), || unsafe { slope(n, mean.as_ptr(), grad.as_ptr(), start) });
        out.done()
    }

    fn dropout(&self, x: &[T], fraction: f64, draw: Draw) -> Vec<T> {
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.cu.
        let dropout: unsafe extern "C" fn(u64, *const T, *mut T, f32, T, u64, u64) =
            unsafe { function(&self.0, &name::<T>("dropout")) };
        let (keep, scale) = ((1.0 - fraction) as f32, T::from_f64(1.0 / (1.0 - fraction)));
        let (n, start) = (x.len() as u64, out.numbers.as_mut_ptr());
        self.for_threads(counters(x.len()), || {
            // SAFETY: x and out have n numbers.
            unsafe { dropout(n, x.as_ptr(), start, keep, scale, draw.seed, draw.stream) }
        });
        out.done()
    }

    fn random(&self, kind: &str, count: usize, draw: Draw) -> Vec<T> {
        let mut out = Out::of(count);
        // SAFETY: this is its type in kernels.cu.
        let random: unsafe extern "C" fn(u64, *mut T, u64, u64) =
            unsafe { function(&self.0, &name::<T>(kind)) };
        let start = out.numbers.as_mut_ptr();
        self.for_threads(counters(count), || {
            // SAFETY: out has n numbers.
            unsafe { random(count as u64, start, draw.seed, draw.stream) }
        });
        out.done()
    }

    fn combine(&self, root: &str, target: &[T], source: &[T], keep: f64, scale: f64) -> Vec<T> {
        let mut out = Out::from(target);
        let (keep, scale) = (T::from_f64(keep), T::from_f64(scale));
        // SAFETY: this is its type in kernels.cu.
        let combine: unsafe extern "C" fn(u64, *mut T, *const T, T, T) =
            unsafe { function(&self.0, &name::<T>(root)) };
        let (n, start) = (source.len() as u64, out.numbers.as_mut_ptr());
        // SAFETY: target and source have n numbers.
        self.for_threads(source.len(), || unsafe {
            combine(n, start, source.as_ptr(), keep, scale)
        });
        out.done()
    }

    fn momentum_step(&self, [w, v, g]: [&[T]; 3], numbers: [f64; 4]) -> [Vec<T>; 2] {
        let (mut w, mut v) = (Out::from(w), Out::from(v));
        let [keep, rate, l1, l2] = numbers.map(T::from_f64);
        // SAFETY: this is its type in kernels.cu.
        let step: unsafe extern "C" fn(u64, *mut T, *mut T, *const T, T, T, T, T) =
            unsafe { function(&self.0, &name::<T>("momentum_step")) };
        let (n, w_start, v_start) = (w.count, w.numbers.as_mut_ptr(), v.numbers.as_mut_ptr());
        self.for_threads(n, || {
            // SAFETY: all three have n numbers.
            unsafe { step(n as u64, w_start, v_start, g.as_ptr(), keep, rate, l1, l2) }
        });
        [w.done(), v.done()]
    }

    fn adam_step(&self, p: &[T], first: &[T], second: &[T], numbers: [f64; 3]) -> Vec<T> {
        let mut out = Out::from(p);
        let [rate, scale, epsilon] = numbers.map(T::from_f64);
        // SAFETY: this is its type in kernels.cu.
        let step: unsafe extern "C" fn(u64, *mut T, *const T, *const T, T, T, T) =
            unsafe { function(&self.0, &name::<T>("adam_step")) };
        let start = out.numbers.as_mut_ptr();
        self.for_threads(p.len(), || {
            let n = first.len() as u64;
            // SAFETY: all three have n numbers.
            unsafe { step(n, start, first.as_ptr(), second.as_ptr(), rate, scale, epsilon) }
        });
        out.done()
    }
}

fn sample_into<T: WithDType>(
    cuda: &Cuda,
    root: &str,
    x: &[T],
    bias: &[T],
    draw: Draw,
    mut out: Out<T>,
) -> Vec<T> {
    // SAFETY: this is its type in kernels.cu.
    let sample: unsafe extern "C" fn(u64, u32, *const T, *const T, *mut T, u64, u64) =
        unsafe { function(&cuda.0, &name::<T>(root)) };
    let (n, width, start) = (x.len() as u64, bias.len() as u32, out.numbers.as_mut_ptr());
    cuda.for_threads(counters(x.len()), || {
        // SAFETY: x has n numbers, bias width, and out as many as the kernel writes.
        unsafe { sample(n, width, x.as_ptr(), bias.as_ptr(), start, draw.seed, draw.stream) }
    });
    out.done()
}

pub struct Metal(Library);

impl Metal {
    pub fn compile() -> Option<&'static Self> {
        static COMPILED: OnceLock<Option<Metal>> = OnceLock::new();
        let source = [
            include_str!("../../src/ops/metal/dialect.h"),
            ARITHMETIC,
            include_str!("../../src/ops/metal/kernels.metal"),
        ];
        let headers = [("metal_stdlib", include_str!("metal_stdlib"))];
        COMPILED.get_or_init(|| compile("metal", &source.concat(), &headers).map(Self)).as_ref()
    }

    fn sample_into(&self, name: &str, x: &[f32], bias: &[f32], draw: Draw, len: usize) -> Vec<f32> {
        type Sample = unsafe extern "C" fn(
            &u32,
            &u32,
            *const f32,
            *const f32,
            *mut f32,
            &[u32; 2],
            &[u32; 2],
            u32,
        );
        let mut out = Out::of(len);
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let sample: Sample = unsafe { function(&self.0, name) };
        let (n, width) = (x.len() as u32, bias.len() as u32);
        let (seed, stream) = (words(draw.seed), words(draw.stream));
        for i in 0..counters(x.len()) as u32 {
            let start = out.numbers.as_mut_ptr();
            // SAFETY: x has n numbers, bias width, and out as many as the kernel writes.
            unsafe { sample(&n, &width, x.as_ptr(), bias.as_ptr(), start, &seed, &stream, i) }
        }
        out.done()
    }
}

fn words(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

impl Gpu<f32> for Metal {
    fn map(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let map: unsafe extern "C" fn(&u32, *const f32, *mut f32, u32) =
            unsafe { function(&self.0, &format!("{name}_f32")) };
        let n = x.len() as u32;
        for i in 0..n + 3 {
            // SAFETY: x and out have n numbers.
            unsafe { map(&n, x.as_ptr(), out.numbers.as_mut_ptr(), i) }
        }
        out.done()
    }

    fn mean(&self, x: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let mean: unsafe extern "C" fn(&u32, &u32, *const f32, *const f32, *mut f32, u32) =
            unsafe { function(&self.0, "mean_f32") };
        let (n, width) = (x.len() as u32, bias.len() as u32);
        for i in 0..n + 3 {
            // SAFETY: x and out have n numbers, bias has width.
            unsafe { mean(&n, &width, x.as_ptr(), bias.as_ptr(), out.numbers.as_mut_ptr(), i) }
        }
        out.done()
    }

    fn sample(&self, x: &[f32], bias: &[f32], draw: Draw) -> Vec<f32> {
        self.sample_into("sample_f32", x, bias, draw, x.len())
    }

    fn mean_and_sample(&self, x: &[f32], bias: &[f32], draw: Draw) -> Vec<f32> {
        self.sample_into("mean_and_sample_f32", x, bias, draw, 2 * x.len())
    }

    fn slope(&self, mean: &[f32], grad: &[f32]) -> Vec<f32> {
        let mut out = Out::of(mean.len());
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let slope: unsafe extern "C" fn(&u32, *const f32, *const f32, *mut f32, u32) =
            unsafe { function(&self.0, "slope_f32") };
        let n = grad.len() as u32;
        for i in 0..n + 3 {
            // SAFETY: all three have n numbers.
            unsafe { slope(&n, mean.as_ptr(), grad.as_ptr(), out.numbers.as_mut_ptr(), i) }
        }
        out.done()
    }

    fn dropout(&self, x: &[f32], fraction: f64, draw: Draw) -> Vec<f32> {
        type Dropout =
            unsafe extern "C" fn(&u32, *const f32, *mut f32, &f32, &f32, &[u32; 2], &[u32; 2], u32);
        let mut out = Out::of(x.len());
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let dropout: Dropout = unsafe { function(&self.0, "dropout_f32") };
        let (keep, scale) = ((1.0 - fraction) as f32, (1.0 / (1.0 - fraction)) as f32);
        let (n, seed, stream) = (x.len() as u32, words(draw.seed), words(draw.stream));
        for i in 0..counters(x.len()) as u32 {
            let start = out.numbers.as_mut_ptr();
            // SAFETY: x and out have n numbers.
            unsafe { dropout(&n, x.as_ptr(), start, &keep, &scale, &seed, &stream, i) }
        }
        out.done()
    }

    fn random(&self, kind: &str, count: usize, draw: Draw) -> Vec<f32> {
        let mut out = Out::of(count);
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let random: unsafe extern "C" fn(&u32, *mut f32, &[u32; 2], &[u32; 2], u32) =
            unsafe { function(&self.0, &format!("{kind}_f32")) };
        let (n, seed, stream) = (count as u32, words(draw.seed), words(draw.stream));
        for i in 0..counters(count) as u32 {
            // SAFETY: out has n numbers.
            unsafe { random(&n, out.numbers.as_mut_ptr(), &seed, &stream, i) }
        }
        out.done()
    }

    fn combine(
        &self,
        name: &str,
        target: &[f32],
        source: &[f32],
        keep: f64,
        scale: f64,
    ) -> Vec<f32> {
        let mut out = Out::from(target);
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let combine: unsafe extern "C" fn(&u32, *mut f32, *const f32, &f32, &f32, u32) =
            unsafe { function(&self.0, &format!("{name}_f32")) };
        let (n, keep, scale) = (source.len() as u32, keep as f32, scale as f32);
        for i in 0..n + 3 {
            let start = out.numbers.as_mut_ptr();
            // SAFETY: target and source have n numbers.
            unsafe { combine(&n, start, source.as_ptr(), &keep, &scale, i) }
        }
        out.done()
    }

    fn momentum_step(&self, [w, v, g]: [&[f32]; 3], numbers: [f64; 4]) -> [Vec<f32>; 2] {
        type Step =
            unsafe extern "C" fn(&u32, *mut f32, *mut f32, *const f32, &f32, &f32, &f32, &f32, u32);
        let (mut w, mut v) = (Out::from(w), Out::from(v));
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let step: Step = unsafe { function(&self.0, "momentum_step_f32") };
        let ([keep, rate, l1, l2], n) = (numbers.map(|x| x as f32), g.len() as u32);
        for i in 0..n + 3 {
            let (w, v) = (w.numbers.as_mut_ptr(), v.numbers.as_mut_ptr());
            // SAFETY: all three have n numbers.
            unsafe { step(&n, w, v, g.as_ptr(), &keep, &rate, &l1, &l2, i) }
        }
        [w.done(), v.done()]
    }

    fn adam_step(&self, p: &[f32], first: &[f32], second: &[f32], numbers: [f64; 3]) -> Vec<f32> {
        type Step =
            unsafe extern "C" fn(&u32, *mut f32, *const f32, *const f32, &f32, &f32, &f32, u32);
        let mut out = Out::from(p);
        // SAFETY: this is its type in kernels.metal; a C++ reference is a pointer.
        let step: Step = unsafe { function(&self.0, "adam_step_f32") };
        let ([rate, scale, epsilon], n) = (numbers.map(|x| x as f32), p.len() as u32);
        for i in 0..n + 3 {
            let p = out.numbers.as_mut_ptr();
            // SAFETY: all three have n numbers.
            unsafe { step(&n, p, first.as_ptr(), second.as_ptr(), &rate, &scale, &epsilon, i) }
        }
        out.done()
    }
}
