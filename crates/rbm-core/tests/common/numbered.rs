//! Machines whose parameters are numbers of splitmix64, so that any language can make the same ones and count them.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::{Coupling, Machine};
use rbm_core::{Layer, Units};

/// Word k of splitmix64.
pub fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `n` numbers in [−scale, scale).
pub fn numbers(seed: u64, n: u64, scale: f64) -> Vec<f64> {
    let unit = |k| 2.0 * (word(seed, k) >> 11) as f64 * (-53f64).exp2() - 1.0;
    (0..n).map(|k| scale * unit(k)).collect()
}

/// Units of this kind with these biases, in `f64`.
pub fn layer(units: &str, bias: &[f64]) -> Box<dyn Layer> {
    let layer = units.parse::<Units>().unwrap().build(DType::F64, &Device::Cpu).unwrap();
    layer.vars()[0].1.set(&Tensor::new(bias, &Device::Cpu).unwrap()).unwrap();
    layer
}

/// A symmetric matrix of zero diagonal from its upper triangle, row by row.
pub fn symmetric(n: usize, upper: &[f64]) -> Tensor {
    let mut matrix = vec![0.0; n * n];
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    for ((i, j), &weight) in pairs.zip(upper) {
        (matrix[i * n + j], matrix[j * n + i]) = (weight, weight);
    }
    Tensor::from_vec(matrix, (n, n), &Device::Cpu).unwrap()
}

/// The coupling of a layer with itself of this upper triangle; zero within units of `states` columns.
pub fn lateral(layer: usize, n: usize, upper: &[f64], states: usize) -> Coupling {
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let between = pairs.map(|(i, j)| i / states != j / states);
    let upper: Vec<f64> =
        between.zip(upper).map(|(is_between, w)| if is_between { *w } else { 0.0 }).collect();
    Coupling::Lateral { layer, weights: Var::from_tensor(&symmetric(n, &upper)).unwrap() }
}

/// A matrix from its rows, one after the other.
pub fn matrix(numbers: Vec<f64>, rows: usize, columns: usize) -> Var {
    Var::from_tensor(&Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()).unwrap()
}

/// Ten units, all coupled.
pub fn ten(kind: &str) -> Machine {
    let bias = numbers(2, 10, 0.5);
    let couplings = vec![lateral(0, 10, &numbers(1, 45, 1.0), 1)];
    Machine::new(vec![layer(&format!("{kind}:10"), &bias)], couplings).unwrap()
}

/// Six visible and four hidden units, coupled within both layers and between them.
pub fn with_hidden() -> Machine {
    let layers =
        vec![layer("bernoulli:6", &numbers(6, 6, 0.5)), layer("bernoulli:4", &numbers(7, 4, 0.5))];
    let couplings = vec![
        Coupling::Dense { layers: [0, 1], weights: matrix(numbers(3, 24, 1.0), 6, 4) },
        lateral(0, 6, &numbers(4, 15, 0.8), 1),
        lateral(1, 4, &numbers(5, 6, 0.8), 1),
    ];
    Machine::new(layers, couplings).unwrap()
}
