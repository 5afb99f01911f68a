//! What the law files share: machines with known parameters, the same machines as plain loops, and comparisons.
#![allow(dead_code, clippy::unwrap_used)]

pub mod numbered;

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::units::Variance;
use rbm_core::{Layer, Rbm, Rng, Units, ops};

/// All values, row by row.
pub fn flat(x: &Tensor) -> Vec<f64> {
    x.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// All values to the bit: every `f32` is an `f64`, so equal bits here are equal bits there.
pub fn bits(x: &Tensor) -> Vec<u64> {
    flat(x).into_iter().map(f64::to_bits).collect()
}

/// The values of one column.
pub fn column(x: &Tensor, j: usize) -> Vec<f64> {
    flat(&x.narrow(1, j, 1).unwrap())
}

/// The rows of a matrix.
pub fn rows(x: &Tensor) -> Vec<Vec<f64>> {
    x.detach().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// A matrix from its rows.
pub fn matrix(rows: &[Vec<f64>], dtype: DType) -> Tensor {
    let values: Vec<f64> = rows.concat();
    let matrix = Tensor::from_vec(values, (rows.len(), rows[0].len()), &Device::Cpu).unwrap();
    matrix.to_dtype(dtype).unwrap()
}

/// Configurations written as digits: `"1010 0101"`.
pub fn patterns(text: &str, dtype: DType) -> Tensor {
    let digits = |word: &str| word.bytes().map(|digit| f64::from(digit - b'0')).collect();
    matrix(&text.split_whitespace().map(digits).collect::<Vec<_>>(), dtype)
}

/// Standard normal numbers `(rows, columns)`, the same for `f32` and `f64`.
pub fn normal(rows: usize, columns: usize, dtype: DType, seed: u64) -> Tensor {
    ops::normal((rows, columns), dtype, &Device::Cpu, &mut Rng::new(seed)).unwrap()
}

/// Panics unless every value is within `tolerance · max(1, |expected|)` of what is expected.
pub fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: how many values");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let close = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(close, "{what}[{i}]: expected {expected}, found {got}");
    }
}

/// Panics unless the mean of independent `values` is within four of its standard errors of `expected`. The chance that
/// a right program fails is 6e-5 for a new seed; the seeds are fixed.
pub fn assert_mean(what: &str, values: &[f64], expected: f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    let close = (mean - expected).abs() <= 4.0 * error + 1e-12;
    assert!(close, "{what}: expected {expected}, found {mean} ± {error}");
}

/// log Σ exp(x).
pub fn log_sum_exp(x: &[f64]) -> f64 {
    let highest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + x.iter().map(|x| (x - highest).exp()).sum::<f64>().ln()
}

/// Every configuration of `width` binary units.
pub fn binary(width: usize) -> Vec<Vec<f64>> {
    let digits = |n: usize| (0..width).map(|i| (n >> i & 1) as f64).collect();
    (0..1 << width).map(digits).collect()
}

/// Sets every parameter to N(0, 1), precisions to values between 0.5 and 2; the same for `f32` and `f64`.
pub fn scatter<'a>(vars: impl IntoIterator<Item = (impl AsRef<str>, &'a Var)>, seed: u64) {
    let mut rng = Rng::new(seed);
    for (name, var) in vars {
        let (shape, dtype) = (var.shape(), var.dtype());
        let value = if name.as_ref().ends_with("precision") {
            ops::uniform(shape, dtype, &Device::Cpu, &mut rng).unwrap().affine(1.5, 0.5)
        } else {
            Ok(ops::normal(shape, dtype, &Device::Cpu, &mut rng).unwrap())
        };
        var.set(&value.unwrap()).unwrap();
    }
}

/// A machine whose parameters are all random and of order one: `machine("gaussian:3", "bernoulli:4", …)`.
pub fn machine(visible: &str, hidden: &str, dtype: DType, seed: u64) -> Rbm {
    let (visible, hidden): (Units, Units) = (visible.parse().unwrap(), hidden.parse().unwrap());
    let rbm = Rbm::new(&visible, &hidden, dtype, &Device::Cpu).unwrap();
    scatter(rbm.parameters(), seed);
    rbm
}

/// A Bernoulli machine with the given parameters.
pub fn bernoulli(weights: &[Vec<f64>], visible: &[f64], hidden: &[f64], dtype: DType) -> Rbm {
    let (v, h) = (Units::bernoulli(visible.len()), Units::bernoulli(hidden.len()));
    set(Rbm::new(&v, &h, dtype, &Device::Cpu).unwrap(), weights, visible, hidden)
}

/// The machine with the given weights and biases.
pub fn set(rbm: Rbm, weights: &[Vec<f64>], visible: &[f64], hidden: &[f64]) -> Rbm {
    let vector = |x: &[f64]| Tensor::new(x, &Device::Cpu).unwrap().to_dtype(rbm.dtype()).unwrap();
    rbm.weights().set(&matrix(weights, rbm.dtype())).unwrap();
    for (layer, biases) in [(rbm.visible(), visible), (rbm.hidden(), hidden)] {
        let vars = layer.vars();
        for (k, columns) in layer.biases() {
            vars[k].1.set(&vector(&biases[columns])).unwrap();
        }
    }
    rbm
}

/// The machine of PyDeep's tests (`pydeep/testunits/test_rbm`), trained on 2×2 bars and stripes until its logits reached ±60.
pub mod pydeep {
    pub const WEIGHTS: [[f64; 4]; 4] = [
        [0.12179488, 2.95950177, 0.33513356, 35.05380642],
        [0.20318085, -28.62372894, 26.52611278, 28.41793445],
        [-0.19105386, -28.58530584, -26.52747507, 28.78447320],
        [0.08953740, -59.82556859, -0.06665933, -27.71723459],
    ];
    pub const VISIBLE: [f64; 4] = [-19.24399659, -13.26258696, 13.25909850, 43.74408543];
    pub const HIDDEN: [f64; 4] = [-0.11155958, 57.02097584, -0.13331758, -32.25991501];
    pub const LOG_Z: f64 = 59.6749019652105; // again
    pub const DATA: &str = "0000 0000 1010 0101 1100 0011 1111 1111";

    pub fn machine(dtype: super::DType) -> super::Rbm {
        super::bernoulli(&WEIGHTS.map(|row| row.to_vec()), &VISIBLE, &HIDDEN, dtype)
    }
}

/// Every parameter of a machine to the bit.
pub fn parameter_bits(rbm: &Rbm) -> Vec<Vec<u64>> {
    rbm.parameters().into_iter().map(|(_, var)| bits(var)).collect()
}

/// log n!, as a sum.
pub fn log_factorial(n: f64) -> f64 {
    (1..=n.round() as usize).map(|k| (k as f64).ln()).sum()
}

/// Every way to pick one of each list.
fn product(lists: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    lists.iter().fold(vec![vec![]], |all, list| {
        let extended = |x: &Vec<f64>| list.iter().map(|y| [&x[..], y].concat()).collect::<Vec<_>>();
        all.iter().flat_map(extended).collect()
    })
}

/// Every configuration of discrete units.
pub fn support(units: &Units) -> Vec<Vec<f64>> {
    let numbers = |low: i32, high: i32, step: usize, size: usize| {
        let alone = (low..=high).step_by(step).map(|x| vec![f64::from(x)]).collect();
        product(&vec![alone; size])
    };
    match units {
        Units::Bernoulli { size } => numbers(0, 1, 1, *size),
        Units::Spin { size } => numbers(-1, 1, 2, *size),
        Units::Binomial { size, trials } => numbers(0, *trials as i32, 1, *size),
        Units::Potts { sites, states } => {
            let one = |q: usize| (0..*states).map(|i| f64::from(u8::from(i == q))).collect();
            product(&vec![(0..*states).map(one).collect(); *sites])
        }
        Units::Multinomial { size, draws } => numbers(0, *draws as i32, 1, *size)
            .into_iter()
            .filter(|x| x.iter().sum::<f64>() == *draws as f64)
            .collect(),
        Units::Concat { groups } => product(&groups.iter().map(support).collect::<Vec<_>>()),
        other => panic!("{other} is not discrete"),
    }
}

/// Units of every discrete kind, few enough for every pair of them to be enumerated.
pub const DISCRETE: [&str; 6] = [
    "bernoulli:3",
    "spin:3",
    "binomial(2):2",
    "potts(3):2",
    "multinomial(3):3",
    "spin:1+potts(3):1+binomial(2):1",
];

/// Units of every other kind.
pub const CONTINUOUS: [&str; 4] =
    ["gaussian:2", "gaussian-learned:2", "relu:2", "relu:1+gaussian-learned:1"];

/// Every pair of these, visible and hidden.
pub fn pairs<'a>(visible: &[&'a str], hidden: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    visible.iter().flat_map(|v| hidden.iter().map(move |h| (*v, *h))).collect()
}

/// log ∫₀^∞ exp(f·x − x²/2) dx by the trapezoid rule in y with x = exp(y − exp(−y)), which makes the integrand fall off
/// doubly exponentially on both sides.
pub fn log_half_gaussian(f: f64) -> f64 {
    let exponent = |i: i32| {
        let y = f64::from(i) / 100.0;
        let x = (y - (-y).exp()).exp();
        f * x - 0.5 * x * x + y - (-y).exp() + (1.0 + (-y).exp()).ln()
    };
    log_sum_exp(&(-400..=600).map(exponent).collect::<Vec<_>>()) - 100f64.ln()
}

/// A layer as plain numbers, its formulas written out by hand.
#[derive(Clone)]
pub struct Side {
    pub units: Units,
    pub bias: Vec<f64>,
    /// Of Gaussian and rectified units; none for others.
    pub precision: Option<Vec<f64>>,
    /// Of several kinds side by side; none for others.
    pub groups: Vec<Side>,
}

impl Side {
    pub fn of(layer: &dyn Layer) -> Self {
        let vars: Vec<_> = layer.vars().into_iter().map(|(name, var)| (name, flat(var))).collect();
        Self::from(&layer.units(), &vars)
    }

    fn from(units: &Units, vars: &[(String, Vec<f64>)]) -> Self {
        if let Units::Concat { groups } = units {
            let group = |(i, units): (usize, &Units)| {
                let below = |(name, var): &(String, Vec<f64>)| {
                    let name = name.strip_prefix(&format!("{i}."))?;
                    Some((name.to_owned(), var.clone()))
                };
                Self::from(units, &vars.iter().filter_map(below).collect::<Vec<_>>())
            };
            let groups: Vec<_> = groups.iter().enumerate().map(group).collect();
            let bias = groups.iter().flat_map(|group| group.bias.clone()).collect();
            return Self { units: units.clone(), bias, precision: None, groups };
        }
        let precision = match *units {
            Units::Gaussian { size, variance: Variance::Unit } | Units::Relu { size } => {
                Some(vec![1.0; size])
            }
            Units::Gaussian { .. } => Some(vars[1].1.clone()),
            _ => None,
        };
        Self { units: units.clone(), bias: vars[0].1.clone(), precision, groups: vec![] }
    }

    /// Σ of what each group says of its part.
    fn over_groups(&self, x: &[f64], of: impl Fn(&Self, &[f64]) -> f64) -> f64 {
        let mut rest = x;
        let mut sum = 0.0;
        for group in &self.groups {
            let (own, others) = rest.split_at(group.bias.len());
            sum += of(group, own);
            rest = others;
        }
        sum
    }

    /// E(x) = Σ −bias·x, precision·x²/2 where there is a precision, less the logarithm of how many ways there are to x.
    pub fn energy(&self, x: &[f64]) -> f64 {
        if !self.groups.is_empty() {
            return self.over_groups(x, Self::energy);
        }
        let linear: f64 = x.iter().zip(&self.bias).map(|(x, b)| -b * x).sum();
        let precision = self.precision.iter().flatten();
        let square: f64 = x.iter().zip(precision).map(|(x, g)| g * x * x / 2.0).sum();
        let ways: f64 = match &self.units {
            Units::Binomial { trials, .. } => {
                let n = *trials as f64;
                let unit = |x: &f64| log_factorial(n) - log_factorial(*x) - log_factorial(n - x);
                x.iter().map(unit).sum()
            }
            Units::Multinomial { draws, .. } => {
                let each: f64 = x.iter().map(|x| log_factorial(*x)).sum();
                log_factorial(*draws as f64) - each
            }
            _ => 0.0,
        };
        linear + square - ways
    }

    /// log Σ or log ∫ exp(inputs·x − E(x)).
    pub fn cgf(&self, inputs: &[f64]) -> f64 {
        if !self.groups.is_empty() {
            return self.over_groups(inputs, Self::cgf);
        }
        let fields = inputs.iter().zip(&self.bias).map(|(i, b)| i + b);
        match (&self.units, &self.precision) {
            (Units::Bernoulli { .. }, _) => {
                fields.map(|f| f.max(0.0) + (-f.abs()).exp().ln_1p()).sum()
            }
            (Units::Relu { .. }, _) => fields.map(log_half_gaussian).sum(),
            (_, Some(precision)) => {
                let unit =
                    |(f, &p): (f64, &f64)| (f * f / p + (std::f64::consts::TAU / p).ln()) / 2.0;
                fields.zip(precision).map(unit).sum()
            }
            (units, None) => {
                let exponent = |x: &Vec<f64>| {
                    inputs.iter().zip(x).map(|(i, x)| i * x).sum::<f64>() - self.energy(x)
                };
                log_sum_exp(&support(units).iter().map(exponent).collect::<Vec<_>>())
            }
        }
    }
}

/// A machine as plain numbers: the oracle, which shares no code with the crate.
#[derive(Clone)]
pub struct Plain {
    pub visible: Side,
    pub hidden: Side,
    /// `weights[i][j]` joins visible unit i and hidden unit j.
    pub weights: Vec<Vec<f64>>,
}

impl Plain {
    pub fn of(rbm: &Rbm) -> Self {
        let weights = rows(rbm.weights());
        Self { visible: Side::of(rbm.visible()), hidden: Side::of(rbm.hidden()), weights }
    }

    pub fn mirror(&self) -> Self {
        let columns = 0..self.weights[0].len();
        let column = |j: usize| self.weights.iter().map(|row| row[j]).collect();
        let weights = columns.map(column).collect();
        Self { visible: self.hidden.clone(), hidden: self.visible.clone(), weights }
    }

    /// vW.
    pub fn hidden_inputs(&self, v: &[f64]) -> Vec<f64> {
        let input = |j: usize| v.iter().zip(&self.weights).map(|(v, row)| v * row[j]).sum();
        (0..self.hidden.bias.len()).map(input).collect()
    }

    pub fn energy(&self, v: &[f64], h: &[f64]) -> f64 {
        let coupling: f64 = self.hidden_inputs(v).iter().zip(h).map(|(i, h)| i * h).sum();
        self.visible.energy(v) + self.hidden.energy(h) - coupling
    }

    pub fn free_energy(&self, v: &[f64]) -> f64 {
        self.visible.energy(v) - self.hidden.cgf(&self.hidden_inputs(v))
    }

    /// p(v) of every configuration of binary visible units, in the order of [`binary`].
    pub fn visible_probabilities(&self) -> Vec<f64> {
        assert!(matches!(self.visible.units, Units::Bernoulli { .. }), "binary visible units");
        self.probabilities(&binary(self.visible.bias.len()))
    }

    /// p(v) of these visible configurations, if there are no others.
    pub fn probabilities(&self, all: &[Vec<f64>]) -> Vec<f64> {
        let weights: Vec<f64> = all.iter().map(|v| -self.free_energy(v)).collect();
        let log_z = log_sum_exp(&weights);
        weights.into_iter().map(|w| (w - log_z).exp()).collect()
    }
}
