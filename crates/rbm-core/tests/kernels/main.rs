//! The GPU's kernels without a GPU: compiled as C++ and compared with the CPU's operations to the bit.
//!
//! What they would catch: another polynomial, another order of roundings, a word that goes to another value, a bias that
//! falls out of step with its column, a last block that is cut off or run over, a forgotten penalty. What they cannot
//! catch: a compiler of the GPU's that rounds otherwise, and anything in the launch.
#![allow(clippy::unwrap_used)]

mod cpp;

use candle_core::{Device, Tensor, Var, WithDType};
use cpp::{Cuda, Gpu, Metal};
use rbm_core::ops::{self, Ascent, Penalty};
use rbm_core::rng::Draw;
use rbm_core::{Result, Rng};

/// Batch and width: shorter than a block of 128, as long, a little longer, many with a short one at the end.
const SHAPES: [(usize, usize); 9] =
    [(1, 1), (3, 5), (60, 3), (300, 1), (2, 64), (1, 129), (4, 33), (7, 1000), (100, 203)];

fn rng() -> Rng {
    // High words in use.
    Rng { seed: 0x0123_4567_89ab_cdef, counter: 0xfedc_ba98_7654_3210 }
}

fn draw() -> Draw {
    rng().draw()
}

fn tensor<T: WithDType>(values: &[T], shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn values<T: WithDType>(x: &Tensor) -> Vec<T> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn normal<T: WithDType>(count: usize, scale: f64, seed: u64) -> Vec<T> {
    let x = ops::normal(count, T::DTYPE, &Device::Cpu, &mut Rng::new(seed)).unwrap();
    values(&(x * scale).unwrap())
}

/// Equal to the bit; what is not a number on one side need only not be one on the other.
fn assert_same<T: WithDType>(what: &str, got: &[T], expected: &[T]) {
    assert_eq!(got.len(), expected.len(), "{what}: how many values");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected) = (got.to_f64(), expected.to_f64());
        let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
        assert!(same, "{what}[{i}]: expected {expected:e}, found {got:e}");
    }
}

/// Within `ulps` units in the last place of f64.
fn assert_within(what: &str, got: &[f64], expected: &[f64], ulps: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: how many values");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let close = (got - expected).abs() <= ulps * f64::EPSILON * expected.abs();
        assert!(close, "{what}[{i}]: expected {expected:e}, found {got:e}");
    }
}

/// 400,000 bit patterns from all of `f32`, infinities and what is not a number among them, and places where cases meet.
fn all_kinds() -> Vec<f32> {
    let spread = (0..=u32::MAX).step_by(10_007).map(f32::from_bits);
    let places = [0.0, -0.0, 87.0, -87.0, 88.0, -88.0, 88.5, -103.0, f32::INFINITY, f32::NAN];
    spread.chain(places).chain([f32::NEG_INFINITY, f32::MIN_POSITIVE]).collect()
}

fn functions_are_the_same(gpu: &impl Gpu<f32>) {
    let x = all_kinds();
    let plain = tensor(&x, x.len());
    for (name, op) in
        [("sigmoid", ops::sigmoid as fn(&Tensor) -> Result<Tensor>), ("softplus", ops::softplus)]
    {
        assert_same(name, &gpu.map(name, &x), &values::<f32>(&op(&plain).unwrap()));
    }
}

fn means_and_samples_are_the_same(gpu: &impl Gpu<f32>) {
    for (batch, width) in SHAPES {
        let x: Vec<f32> = normal(batch * width, 4.0, 1);
        let bias: Vec<f32> = normal(width, 1.0, 2);
        let (inputs, b) = (tensor(&x, (batch, width)), tensor(&bias, width));
        let mean = values::<f32>(&ops::bernoulli_mean(&inputs, &b).unwrap());
        let sample = values::<f32>(&ops::bernoulli_sample(&inputs, &b, &mut rng()).unwrap());
        let what = format!("({batch}, {width})");
        assert_same(&what, &gpu.mean(&x, &bias), &mean);
        assert_same(&what, &gpu.sample(&x, &bias, draw()), &sample);
        assert_same(&what, &gpu.mean_and_sample(&x, &bias, draw()), &[mean, sample].concat());
    }
}

fn backward_passes_are_the_same<T: WithDType>(gpu: &impl Gpu<T>) {
    let (x, grad): (Vec<T>, Vec<T>) = (normal(1003, 3.0, 1), normal(1003, 1.0, 2));
    let var = Var::from_tensor(&tensor(&x, x.len())).unwrap();
    let mean = ops::sigmoid(&var).unwrap();
    let sum = (&mean * tensor(&grad, grad.len())).unwrap().sum_all().unwrap();
    let slopes = sum.backward().unwrap();
    let expected = values::<T>(slopes.get(&var).unwrap());
    assert_same("slope", &gpu.slope(&values::<T>(&mean), &grad), &expected);
    for fraction in [0.2, 0.5, 0.9] {
        let dropout = ops::DropoutMask::draw(fraction, &mut rng()).unwrap().unwrap();
        let expected = values::<T>(&dropout.apply(&tensor(&x, x.len())).unwrap());
        assert_same("dropout", &gpu.dropout(&x, fraction, draw()), &expected);
    }
}

fn random_numbers_are_the_same<T: WithDType>(gpu: &impl Gpu<T>, kinds: &[&str]) {
    for count in [1, 31, 32, 33, 64, 97, 128, 129, 100_003] {
        for kind in kinds {
            let (device, mut rng) = (Device::Cpu, rng());
            let expected = match *kind {
                "normal" => ops::normal(count, T::DTYPE, &device, &mut rng),
                _ => ops::uniform(count, T::DTYPE, &device, &mut rng),
            };
            let expected = expected.unwrap();
            assert_same(kind, &gpu.random(kind, count, draw()), &values::<T>(&expected));
        }
    }
}

fn updates_are_the_same<T: WithDType>(gpu: &impl Gpu<T>) {
    const N: usize = 1000;
    let (target, source): (Vec<T>, Vec<T>) = (normal(N, 1.0, 3), normal(N, 1.0, 4));
    let zeros = vec![T::zero(); 10];
    // Zeros of both kinds: their sign is zero.
    let source = [source, zeros].concat();
    let target = [target, normal(10, 1.0, 5)].concat();
    let apply = |op: &dyn Fn(&Tensor, &Tensor) -> Result<()>| -> Vec<T> {
        let (t, s) = (tensor(&target, target.len()), tensor(&source, source.len()));
        op(&t, &s).unwrap();
        values(&t)
    };
    let got = |name, keep, scale| gpu.combine(name, &target, &source, keep, scale);
    assert_same("add", &got("combine", 1.0, 0.3), &apply(&|t, s| ops::add_scaled(t, s, 0.3)));
    let sign = apply(&|t, s| ops::add_sign_scaled(t, s, -0.3));
    assert_same("add sign", &got("combine_sign", 1.0, -0.3), &sign);
    let average = apply(&|t, s| ops::average_in(t, s, 0.9));
    assert_same("average", &got("combine", 0.9, 1.0 - 0.9), &average);
    let square = apply(&|t, s| ops::average_square_in(t, s, 0.99));
    assert_same("average square", &got("combine_square", 0.99, 1.0 - 0.99), &square);

    let second: Vec<T> = source.iter().map(|&x| x * x).collect();
    let parameter = tensor(&target, target.len());
    let (first, squares) = (tensor(&source, source.len()), tensor(&second, second.len()));
    ops::adam_step(&parameter, &first, &squares, 0.01, 1.7, 1e-8).unwrap();
    let got = gpu.adam_step(&target, &source, &second, [0.01, 1.7, 1e-8]);
    assert_same("adam", &got, &values::<T>(&parameter));
}

/// Velocity and parameter after the step of `gradient`, by the CPU.
fn momentum_on_cpu<T: WithDType>(
    [parameter, velocity, gradient]: [&[T]; 3],
    [momentum, rate, l1, l2]: [f64; 4],
) -> [Vec<T>; 2] {
    let (w, v) = (tensor(parameter, parameter.len()), tensor(velocity, velocity.len()));
    let mut ascent = Ascent::from(tensor(gradient, gradient.len()));
    ascent.penalty = Penalty { l1, l2 };
    ops::momentum_step(&w, &v, &ascent, rate, momentum).unwrap();
    [values(&w), values(&v)]
}

const STEPS: [[f64; 4]; 4] =
    [[0.0, 0.1, 0.0, 0.0], [0.9, 0.1, 0.0, 1e-4], [0.5, 0.3, 2e-4, 0.0], [0.5, 0.3, 2e-4, 1e-3]];

fn momentum_is_the_same<T: WithDType>(gpu: &impl Gpu<T>) {
    let [mut w, v, g]: [Vec<T>; 3] = [6, 7, 8].map(|seed| normal(1003, 0.5, seed));
    w[7] = T::zero();
    for step in STEPS {
        let [momentum, rate, l1, l2] = step;
        let expected = momentum_on_cpu([&w, &v, &g], step);
        let got = gpu.momentum_step([&w, &v, &g], [momentum, rate, -rate * l1, -rate * l2]);
        assert_same(&format!("{step:?}: parameter"), &got[0], &expected[0]);
        assert_same(&format!("{step:?}: velocity"), &got[1], &expected[1]);
    }
}

#[test]
fn cuda_kernels_have_the_bits_of_the_cpu() {
    let Some(cuda) = Cuda::compile() else { return };
    functions_are_the_same(cuda);
    means_and_samples_are_the_same(cuda);
    random_numbers_are_the_same::<f32>(cuda, &["uniform", "normal"]);
    random_numbers_are_the_same::<f64>(cuda, &["uniform", "normal"]);
    backward_passes_are_the_same::<f32>(cuda);
    backward_passes_are_the_same::<f64>(cuda);
    updates_are_the_same::<f32>(cuda);
    updates_are_the_same::<f64>(cuda);
    momentum_is_the_same::<f32>(cuda);
    momentum_is_the_same::<f64>(cuda);
}

#[test]
fn a_bias_is_added_to_its_column() {
    fn same<T: WithDType>(cuda: &Cuda) {
        for (batch, width) in SHAPES {
            let x: Vec<T> = normal(batch * width, 4.0, 1);
            let bias: Vec<T> = normal(width, 1.0, 2);
            let sum = tensor(&x, (batch, width)).broadcast_add(&tensor(&bias, width)).unwrap();
            assert_same("add_bias", &cuda.biased("add_bias", &x, &bias), &values::<T>(&sum));
        }
    }
    let Some(cuda) = Cuda::compile() else { return };
    same::<f32>(cuda);
    same::<f64>(cuda);
}

/// The exponentials are those of another library, each within one unit of the truth; the sigmoid then rounds twice.
#[test]
fn cuda_kernels_agree_in_double_precision() {
    let Some(cuda) = Cuda::compile() else { return };
    let (batch, width) = (100, 203);
    let x: Vec<f64> = normal(batch * width, 30.0, 1);
    let bias: Vec<f64> = normal(width, 1.0, 2);
    let (inputs, b) = (tensor(&x, (batch, width)), tensor(&bias, width));
    for (name, op) in
        [("sigmoid", ops::sigmoid as fn(&Tensor) -> Result<Tensor>), ("softplus", ops::softplus)]
    {
        assert_within(name, &cuda.map(name, &x), &values::<f64>(&op(&inputs).unwrap()), 4.0);
    }
    let mean = values::<f64>(&ops::bernoulli_mean(&inputs, &b).unwrap());
    let sample = values::<f64>(&ops::bernoulli_sample(&inputs, &b, &mut rng()).unwrap());
    assert_within("mean", &cuda.mean(&x, &bias), &mean, 4.0);
    // Twenty thousand numbers, each closer to its mean than 1e-15 with a chance of as much.
    assert_same("sample", &cuda.sample(&x, &bias, draw()), &sample);
    let both = cuda.mean_and_sample(&x, &bias, draw());
    assert_same("sample beside mean", &both[x.len()..], &sample);
}

/// cuBLAS adds the outer products; what is left to do is a step along nothing.
#[test]
fn a_step_along_the_velocity_is_one_along_no_gradient() {
    fn same<T: WithDType>(cuda: &Cuda)
    where
        Cuda: Gpu<T>,
    {
        let [w, v]: [Vec<T>; 2] = [6, 7].map(|seed| normal(1003, 0.5, seed));
        for step in STEPS {
            let [momentum, rate, l1, l2] = step;
            // Adding minus zero changes nothing, not even the sign of a zero.
            let nothing = vec![T::from_f64(-0.0); w.len()];
            let expected = momentum_on_cpu([&w, &v, &nothing], step);
            let got = cuda.velocity_step([&w, &v], [momentum, -rate * l1, -rate * l2]);
            assert_same(&format!("{step:?}: parameter"), &got[0], &expected[0]);
            assert_same(&format!("{step:?}: velocity"), &got[1], &expected[1]);
        }
    }
    let Some(cuda) = Cuda::compile() else { return };
    same::<f32>(cuda);
    same::<f64>(cuda);
}

#[test]
fn metal_kernels_have_the_bits_of_the_cpu() {
    let Some(metal) = Metal::compile() else { return };
    functions_are_the_same(metal);
    means_and_samples_are_the_same(metal);
    random_numbers_are_the_same::<f32>(metal, &["uniform"]);
    backward_passes_are_the_same::<f32>(metal);
    updates_are_the_same::<f32>(metal);
    momentum_is_the_same::<f32>(metal);
}

/// These comparisons can fail: one unit in the last place is enough.
#[test]
fn equal_means_equal_bits() {
    let x = [0.1f32, f32::NAN];
    assert_same("itself", &x, &x);
    let other = std::panic::catch_unwind(|| assert_same("other", &[0.1f32], &[0.1f32.next_up()]));
    assert!(other.is_err());
}
