//! The laws on a CUDA device, and the device against the CPU. Only with `--features cuda`; without a device each test says
//! that it is skipped.
//!
//! **Never run so far**: there was no GPU where this was written. It has been type-checked. `just gpu-laws` runs it.
//!
//! What it would catch: a kernel that is launched with too few threads or with its arguments out of order, a product whose
//! sides are exchanged, a step that adds the momentum twice, a stream that does not wait.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bits, flat, machine, normal};
use rbm_core::learning::transform::{Sparsity, WeightDecay};
use rbm_core::ops::{self, Ascent, Outer, Penalty, reference};
use rbm_core::{
    Adam, ContrastiveDivergence, Gibbs, Kernel, Optimizer, Persistent, Rbm, Result, Rng, Sgd,
    Trainer,
};

const BOTH: [DType; 2] = [DType::F32, DType::F64];

/// The first device, the same for all tests: the TF32 switch is off.
fn gpu() -> Option<&'static Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| match ops::device::cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: no CUDA device: {}", error.to_string().lines().next().unwrap());
            None
        }
    });
    gpu.as_ref()
}

fn on(device: &Device, x: &Tensor) -> Tensor {
    x.to_device(device).unwrap()
}

fn host(x: &Tensor) -> Tensor {
    x.to_device(&Device::Cpu).unwrap()
}

/// Equal to the bit in `f32`, to `tolerance` in `f64`, where the exponential is another library's.
fn assert_same(what: &str, got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert!(got.device().is_cuda(), "{what}: not on the device");
    assert_eq!(got.dims(), expected.dims(), "{what}");
    if expected.dtype() == DType::F32 {
        assert_eq!(bits(&host(got)), bits(expected), "{what}");
    } else {
        assert_close(what, &flat(&host(got)), &flat(expected), tolerance);
    }
}

/// A copy of the machine on the device.
fn copy(rbm: &Rbm, device: &Device) -> Rbm {
    let new = Rbm::new(&rbm.visible().units(), &rbm.hidden().units(), rbm.dtype(), device).unwrap();
    for ((_, from), (_, to)) in rbm.parameters().into_iter().zip(new.parameters()) {
        to.set(&on(device, &from.as_detached_tensor())).unwrap();
    }
    new
}

#[test]
fn functions_means_and_samples_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for dtype in BOTH {
        let inputs = (normal(1000, 203, dtype, 1) * 8.0).unwrap();
        let bias = normal(1, 203, dtype, 2).squeeze(0).unwrap();
        let (x, b) = (on(gpu, &inputs), on(gpu, &bias));
        let rng = Rng::new(3);
        let sample = ops::bernoulli_sample(&inputs, &bias, &mut rng.clone()).unwrap();
        let mean = ops::bernoulli_mean(&inputs, &bias).unwrap();
        for (name, op) in [
            ("sigmoid", ops::sigmoid as fn(&Tensor) -> Result<Tensor>),
            ("softplus", ops::softplus),
        ] {
            assert_same(name, &op(&x).unwrap(), &op(&inputs).unwrap(), 1e-15);
            // Cut and turned tensors are what their copies are.
            let turned = inputs.t().unwrap();
            assert_same(name, &op(&x.t().unwrap()).unwrap(), &op(&turned).unwrap(), 1e-15);
        }
        assert_same("mean", &ops::bernoulli_mean(&x, &b).unwrap(), &mean, 1e-15);
        let got = ops::bernoulli_sample(&x, &b, &mut rng.clone()).unwrap();
        assert_same("sample", &got, &sample, 0.0);
        let (means, samples) = ops::bernoulli_mean_and_sample(&x, &b, &mut rng.clone()).unwrap();
        assert_same("mean beside sample", &means, &mean, 1e-15);
        assert_same("sample beside mean", &samples, &sample, 0.0);
        let part = x.narrow(0, 7, 100).unwrap();
        let expected =
            ops::bernoulli_sample(&inputs.narrow(0, 7, 100).unwrap(), &bias, &mut rng.clone());
        let got = ops::bernoulli_sample(&part, &b, &mut rng.clone()).unwrap();
        assert_same("some rows", &got, &expected.unwrap(), 0.0);
    }
}

#[test]
fn random_numbers_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for dtype in BOTH {
        for count in [1, 33, 128, 100_003] {
            let rng = Rng { seed: 5, counter: 1 << 40 };
            let draw = |device: &Device| {
                let normal = ops::normal(count, dtype, device, &mut rng.clone()).unwrap();
                (normal, ops::uniform(count, dtype, device, &mut rng.clone()).unwrap())
            };
            let (got, expected) = (draw(gpu), draw(&Device::Cpu));
            assert_eq!(bits(&host(&got.0)), bits(&expected.0), "{count} normal numbers");
            assert_eq!(bits(&host(&got.1)), bits(&expected.1), "{count} uniform numbers");
        }
    }
}

#[test]
fn backward_passes_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for dtype in BOTH {
        let (x, grad) = (normal(100, 50, dtype, 1), normal(100, 50, dtype, 2));
        let slopes = |device: &Device| {
            let var = Var::from_tensor(&on(device, &x)).unwrap();
            let y = (ops::sigmoid(&var).unwrap() + ops::softplus(&var).unwrap()).unwrap();
            let sum = (y * on(device, &grad)).unwrap().sum_all().unwrap();
            sum.backward().unwrap().get(&var).unwrap().clone()
        };
        let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-14 };
        assert_close("slopes", &flat(&host(&slopes(gpu))), &flat(&slopes(&Device::Cpu)), tolerance);
        let dropout = ops::DropoutMask::draw(0.3, &mut Rng::new(4)).unwrap().unwrap();
        let got = dropout.apply(&on(gpu, &x)).unwrap();
        assert_same("dropout", &got, &dropout.apply(&x).unwrap(), 0.0);
    }
}

/// A sum of n products is rounded by at most n·u·Σ|xy| whatever its order (Higham 2002, §3.1).
#[test]
fn sums_of_outer_products_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (dtype, u) in [(DType::F32, 2f64.powi(-24)), (DType::F64, 2f64.powi(-53))] {
        let factors = [(61, 33), (61, 17), (40, 33), (40, 17)];
        let factors = factors.map(|(n, width)| normal(n, width, dtype, (n + width) as u64));
        let terms = |device: &Device, factors: &[Tensor; 4], second: f64| {
            let [a, b, c, d] = factors.each_ref().map(|x| on(device, x));
            [Outer::new(&a, &b, 0.75).unwrap(), Outer::new(&c, &d, second).unwrap()]
        };
        let got = ops::outer_sum(&terms(gpu, &factors, -1.25)).unwrap();
        let expected = ops::outer_sum(&terms(&Device::Cpu, &factors, -1.25)).unwrap();
        let sizes = factors.each_ref().map(|x| x.abs().unwrap());
        let sizes = reference::outer_sum(&terms(&Device::Cpu, &sizes, 1.25)).unwrap();
        let (got, expected) = (flat(&host(&got)), flat(&expected));
        for ((got, expected), size) in got.iter().zip(&expected).zip(flat(&sizes)) {
            assert!((got - expected).abs() <= 2.0 * 103.0 * u * size, "{got} {expected}");
        }
    }
}

#[test]
fn updates_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for dtype in BOTH {
        let numbers = [1, 2, 3, 4].map(|seed| normal(50, 60, dtype, seed));
        let run = |device: &Device| -> Vec<Tensor> {
            let [w, v, g, m] = numbers.each_ref().map(|x| on(device, x).copy().unwrap());
            let second = m.sqr().unwrap();
            let mut ascent = Ascent::from(g.clone());
            ascent.penalty = Penalty { l1: 1e-3, l2: 1e-2 };
            ops::momentum_step(&w, &v, &ascent, 0.1, 0.9).unwrap();
            ops::add_scaled(&w, &g, 0.3).unwrap();
            ops::add_sign_scaled(&w, &g, -0.2).unwrap();
            ops::average_in(&m, &g, 0.9).unwrap();
            ops::average_square_in(&second, &g, 0.99).unwrap();
            ops::adam_step(&w, &m, &second, 0.01, 1.7, 1e-8).unwrap();
            vec![w, v, m, second]
        };
        for (got, expected) in run(gpu).iter().zip(run(&Device::Cpu)) {
            assert_eq!(bits(&host(got)), bits(&expected));
        }
    }
}

/// The step along outer products, added to the velocity by cuBLAS, is the one along their sum.
#[test]
fn a_step_along_outer_products_is_one_along_their_sum() {
    let Some(gpu) = gpu() else { return };
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        for momentum in [0.0, 0.5] {
            let [w, v] = [5, 6].map(|seed| on(gpu, &normal(33, 17, dtype, seed)));
            let (w2, v2) = (w.copy().unwrap(), v.copy().unwrap());
            let factor = |width, seed| on(gpu, &normal(40, width, dtype, seed));
            let terms = vec![
                Outer::new(&factor(33, 7), &factor(17, 8), 0.025).unwrap(),
                Outer::new(&factor(33, 9), &factor(17, 10), -0.025).unwrap(),
            ];
            let mut along_sum = Ascent::from(ops::outer_sum(&terms).unwrap());
            let mut along_outers = Ascent::from(terms);
            let penalty = Penalty { l1: 1e-3, l2: 1e-2 };
            (along_sum.penalty, along_outers.penalty) = (penalty, penalty);
            ops::momentum_step(&w, &v, &along_outers, 0.1, momentum).unwrap();
            ops::momentum_step(&w2, &v2, &along_sum, 0.1, momentum).unwrap();
            assert_close("w", &flat(&host(&w)), &flat(&host(&w2)), tolerance);
            assert_close("velocity", &flat(&host(&v)), &flat(&host(&v2)), tolerance);
        }
    }
}

/// One step of learning, everything switched on. A sample can only differ where a product's rounding moves a mean past its
/// random number: in `f64`, with products of 20 terms, the chance is below 1e-11.
#[test]
fn a_step_of_learning_is_that_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (visible, optimizer) in [
        ("bernoulli:20", Box::new(Sgd::new(0.1)) as Box<dyn Optimizer>),
        ("gaussian-learned:20", Box::new(Adam::new(0.01))),
    ] {
        let rbm = machine(visible, "bernoulli:15", DType::F64, 1);
        let twin = copy(&rbm, gpu);
        let data = ops::uniform((50, 20), DType::F64, &Device::Cpu, &mut Rng::new(2)).unwrap();
        let mut trainer = Trainer::new(ContrastiveDivergence::new(2), optimizer);
        trainer.transforms =
            vec![Box::new(WeightDecay { l1: 1e-4, l2: 1e-3 }), Box::new(Sparsity::new(0.1, 0.01))];
        trainer.step(&rbm, &data, &mut Rng::new(3)).unwrap();
        let mut other: Trainer<_, Box<dyn Optimizer>> = Trainer::new(
            ContrastiveDivergence::new(2),
            if visible.starts_with('b') {
                Box::new(Sgd::new(0.1))
            } else {
                Box::new(Adam::new(0.01))
            },
        );
        other.transforms =
            vec![Box::new(WeightDecay { l1: 1e-4, l2: 1e-3 }), Box::new(Sparsity::new(0.1, 0.01))];
        other.step(&twin, &on(gpu, &data), &mut Rng::new(3)).unwrap();
        for ((name, cpu), (_, cuda)) in rbm.parameters().into_iter().zip(twin.parameters()) {
            assert_close(&name, &flat(&host(cuda)), &flat(cpu), 1e-9);
        }
    }
}

/// The no-drift law of `stationarity.rs` on the device: chains at the machine's distribution stay there.
#[test]
fn chains_at_the_distribution_stay_there() {
    const CHAINS: usize = 100_000;
    let Some(gpu) = gpu() else { return };
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 1);
    let p = common::Plain::of(&rbm).visible_probabilities();
    let twin = copy(&rbm, gpu);
    // Inverts the cumulated probabilities at numbers of a generator split off for this alone.
    let uniform = ops::uniform(CHAINS, DType::F64, &Device::Cpu, &mut Rng::new(77).split(1));
    let all = common::binary(4);
    let start: Vec<_> = flat(&uniform.unwrap())
        .into_iter()
        .map(|mut left| {
            let below = |p: &f64| {
                left -= p;
                left < 0.0
            };
            all[p.iter().position(below).unwrap_or(p.len() - 1)].clone()
        })
        .collect();
    let start = on(gpu, &common::matrix(&start, DType::F32));
    let (gibbs, mut rng) = (Gibbs::default(), Rng::new(2));
    let mut chains = gibbs.init(&twin, start, &mut rng).unwrap();
    for step in 1..=5 {
        gibbs.step(&twin, &mut chains, &mut rng).unwrap();
        let mut counts = [0.0; 16];
        for row in common::rows(&host(&chains.visible)) {
            counts[row.iter().enumerate().map(|(i, &bit)| (bit as usize) << i).sum::<usize>()] +=
                1.0;
        }
        let n = CHAINS as f64;
        let distance: f64 = counts.iter().zip(&p).map(|(c, p)| (c / n - p).abs()).sum();
        // In units of the Monte-Carlo floor, as in stationarity.rs.
        let drift = distance / p.iter().map(|p| (p * (1.0 - p) / n).sqrt()).sum::<f64>();
        assert!(drift < 4.0, "step {step}: drift {drift}");
    }
}

/// Two hundred steps of PCD, twice: the device adds in the same order every time.
#[test]
fn learning_is_reproducible() {
    let Some(gpu) = gpu() else { return };
    let data = ops::uniform((100, 64), DType::F32, &Device::Cpu, &mut Rng::new(2)).unwrap();
    let learn = || {
        let rbm = copy(&machine("bernoulli:64", "bernoulli:30", DType::F32, 1), gpu);
        let (mut trainer, mut rng) =
            (Trainer::new(Persistent::new(1, 100), Sgd::new(0.01)), Rng::new(3));
        let data = on(gpu, &data);
        for _ in 0..200 {
            trainer.step(&rbm, &data, &mut rng).unwrap();
        }
        common::parameter_bits(&copy(&rbm, &Device::Cpu))
    };
    assert_eq!(learn(), learn());
}
