//! The CUDA kernels go through NVIDIA's compiler, where its library is: no GPU, driver or toolkit is needed.
//!
//! What it would catch: C++ that the host's compiler takes and NVRTC does not, a kernel without one of its two types, a
//! compiler that fuses, approximates or flushes where the CPU rounds.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use libloading::Library;

const SOURCE: &str = concat!(
    include_str!("../src/ops/cuda/dialect.h"),
    include_str!("../src/ops/arithmetic.h"),
    include_str!("../src/ops/cuda/kernels.cu")
);

/// Every kernel, without the type at the end of its name: what ops/cuda asks for.
const KERNELS: [&str; 16] = [
    "sigmoid",
    "softplus",
    "mean",
    "add_bias",
    "sample",
    "slope",
    "dropout",
    "mean_and_sample",
    "uniform",
    "normal",
    "combine",
    "combine_sign",
    "combine_square",
    "momentum_step",
    "velocity_step",
    "adam_step",
];

/// NVIDIA's run-time compiler.
struct Nvrtc(Library);

type Program = *mut c_void;

impl Nvrtc {
    /// The library under one of the names that it goes by. Says so where there is none.
    fn load() -> Option<Self> {
        let names = [
            "libnvrtc.so.13",
            "libnvrtc.so.12",
            "libnvrtc.so",
            "nvrtc64_130_0.dll",
            "nvrtc64_120_0.dll",
        ];
        for name in names {
            // SAFETY: what the library does when it is loaded is NVIDIA's affair, as in every program that uses it.
            if let Ok(library) = unsafe { Library::new(name) } {
                println!("compiled by {name}");
                return Some(Self(library));
            }
        }
        println!("skipped: none of {names:?} is where libraries are looked for (LD_LIBRARY_PATH)");
        None
    }

    /// A function of the library.
    ///
    /// # Safety
    ///
    /// It has the type `F`.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the caller vouches for the type.
        *unsafe { self.0.get::<F>(name.as_bytes()) }.unwrap()
    }

    /// The source in PTX, or what the compiler has against it.
    fn compile(&self, source: &str, options: &[&str]) -> Result<String, String> {
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
        type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
        let source = CString::new(source).unwrap();
        let options: Vec<_> = options.iter().map(|&option| CString::new(option).unwrap()).collect();
        let pointers: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program: Program = null_mut();
        // SAFETY: the types are those of nvrtc.h; the strings live and end with a zero; the program is destroyed once, at
        // the end.
        unsafe {
            let create: Create = self.function("nvrtcCreateProgram");
            let created =
                create(&mut program, source.as_ptr(), c"kernels.cu".as_ptr(), 0, null(), null());
            assert_eq!(created, 0, "nvrtcCreateProgram");
            let compile: Compile = self.function("nvrtcCompileProgram");
            let compiled = compile(program, pointers.len() as c_int, pointers.as_ptr());
            let text = if compiled == 0 {
                Ok(self.text(program, "PTX"))
            } else {
                Err(self.text(program, "ProgramLog"))
            };
            let destroy: Destroy = self.function("nvrtcDestroyProgram");
            destroy(&mut program);
            text
        }
    }

    /// What the program has of a kind.
    ///
    /// # Safety
    ///
    /// The program has been created and not destroyed.
    unsafe fn text(&self, program: Program, kind: &str) -> String {
        type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
        type Text = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
        let mut len = 0;
        // SAFETY: the types are those of nvrtc.h; the text gets as many bytes as the library asks for, and ends with a zero.
        unsafe {
            let size: Size = self.function(&format!("nvrtcGet{kind}Size"));
            assert_eq!(size(program, &mut len), 0);
            let mut text = vec![0u8; len.max(1)];
            let get: Text = self.function(&format!("nvrtcGet{kind}"));
            assert_eq!(get(program, text.as_mut_ptr().cast()), 0);
            CStr::from_ptr(text.as_ptr().cast()).to_string_lossy().into_owned()
        }
    }
}

/// As ops/cuda compiles them.
fn options(arch: &str) -> [String; 5] {
    let arch = format!("--gpu-architecture={arch}");
    [&arch, "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"].map(str::to_owned)
}

/// The kernels that kernels.cu defines: the first argument of each macro that stands alone on a line.
fn defined() -> BTreeSet<String> {
    let kernels = include_str!("../src/ops/cuda/kernels.cu").lines().filter_map(|line| {
        let (outside, inside) = line.split_once('(')?;
        let is_macro = outside.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
        (is_macro && line.ends_with(')')).then(|| inside.split(',').next().unwrap().to_owned())
    });
    kernels.collect()
}

/// Name and body of every kernel in PTX.
fn entries(ptx: &str) -> Vec<(&str, &str)> {
    let parts = ptx.split(".entry ").skip(1);
    parts
        .map(|part| part.split_once('(').map(|(name, body)| (name.trim(), body)).unwrap())
        .collect()
}

#[test]
fn every_kernel_has_both_types() {
    let both = KERNELS.iter().flat_map(|name| [format!("{name}_f32"), format!("{name}_f64")]);
    assert_eq!(defined(), both.collect());
}

#[test]
fn every_kernel_compiles() {
    let Some(nvrtc) = Nvrtc::load() else { return };
    for arch in ["compute_80", "compute_90", "compute_100"] {
        let options = options(arch);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let ptx = match nvrtc.compile(SOURCE, &options) {
            Ok(ptx) => ptx,
            // Older libraries do not know the newest devices.
            Err(log) if arch == "compute_100" && log.contains("architecture") => continue,
            Err(log) => panic!("{arch}: {log}"),
        };
        let entries = entries(&ptx);
        let names: BTreeSet<_> = entries.iter().map(|(name, _)| (*name).to_owned()).collect();
        println!("{arch}: {} bytes of PTX, {} kernels: {names:?}", ptx.len(), names.len());
        assert_eq!(names, defined(), "{arch}");
        for (name, body) in entries {
            let exponential = ["sigmoid", "softplus", "mean", "sample"];
            // In f64 they are NVIDIA's own, made of fused operations.
            if name.ends_with("_f64") && exponential.iter().any(|e| name.starts_with(e)) {
                continue;
            }
            for word in ["fma.", "mad.rn.f", ".approx", ".ftz"] {
                assert!(!body.contains(word), "{arch}: {name} has {word}");
            }
        }
    }
}

/// The test can fail: the compiler's complaints arrive.
#[test]
fn a_broken_kernel_does_not_compile() {
    let Some(nvrtc) = Nvrtc::load() else { return };
    let broken = SOURCE.replacen("thread_number();", "thread_numbr();", 1);
    let log = nvrtc.compile(&broken, &["--gpu-architecture=compute_80"]).unwrap_err();
    assert!(log.contains("thread_numbr"), "{log}");
}
