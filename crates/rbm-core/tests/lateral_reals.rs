//! Real-valued units that are coupled with each other, alone and beside discrete ones: multivariate normal distributions, whose numbers are
//! known.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use nalgebra::DMatrix;
use rbm_core::estimate::{
    AisOptions, BidirectionalAis, exact_samples, exact_samples_given, log_likelihood, log_partition,
};
use rbm_core::learning::negative::NegativePhase;
use rbm_core::learning::positive::lower_bounds;
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::sampling::{AnnealingPath, SimulatedAnnealing};
use rbm_core::{Exact, Phase, Rng, Units, ops};

const CPU: Device = Device::Cpu;
const CHAINS: usize = 200_000;

/// The same numbers at every run.
fn normal(shape: &[usize], seed: u64) -> Tensor {
    ops::normal(shape, DType::F64, &CPU, &mut Rng::new(seed)).unwrap()
}

fn var(x: &Tensor) -> Var {
    Var::from_tensor(x).unwrap()
}

/// Symmetric couplings of so many columns, 0 within the columns `site`.
fn couplings(width: usize, scale: f64, site: std::ops::Range<usize>) -> Vec<Vec<f64>> {
    let rough = normal(&[width, width], 4).to_vec2::<f64>().unwrap();
    let is_within = |i, j| i == j || site.contains(&i) && site.contains(&j);
    let of = |i: usize, j: usize| {
        if is_within(i, j) { 0.0 } else { scale * rough[i.min(j)][i.max(j)] }
    };
    (0..width).map(|i| (0..width).map(|j| of(i, j)).collect()).collect()
}

/// A visible layer, its units coupled, and hidden Bernoulli units above it, where there are to be any.
fn machine(units: &str, hidden: usize, site: std::ops::Range<usize>) -> Machine {
    let layer = units.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    let width = layer.units().width();
    for (k, (name, parameter)) in layer.vars().into_iter().enumerate() {
        let rough = normal(parameter.dims(), 7 + k as u64);
        let value = match name.ends_with("precision") {
            true => (rough.abs().unwrap() + 1.2).unwrap(),
            false => (rough * 0.5).unwrap(),
        };
        parameter.set(&value).unwrap();
    }
    let lateral = var(&Tensor::new(couplings(width, 0.3, site), &CPU).unwrap());
    let mut all = vec![Coupling::Lateral { layer: 0, weights: lateral }];
    let mut layers = vec![layer];
    if hidden > 0 {
        layers.push(Units::bernoulli(hidden).build(DType::F64, &CPU).unwrap());
        layers[1].vars()[0].1.set(&normal(&[hidden], 17)).unwrap();
        all.push(Coupling::Dense { layers: [0, 1], weights: var(&normal(&[width, hidden], 18)) });
    }
    Machine::new(layers, all).unwrap()
}

/// Three numbers of their own precisions, a site of three states, a bit: columns 0 to 2, 3 to 5, 6.
const MIXED: &str = "gaussian-learned:3+potts(3):1+bernoulli:1";
const NUMBERS: usize = 3;

/// The discrete columns of [`MIXED`].
fn discrete() -> Vec<Vec<f64>> {
    let states = (0..6).map(|at| {
        let site = (0..3).map(|k| f64::from(u8::from(k == at % 3)));
        site.chain([(at / 3) as f64]).collect()
    });
    states.collect()
}

/// A machine of [`MIXED`] and two hidden bits, counted: for each configuration of the discrete units its probability, and the means of the
/// numbers given it; and the covariances of these, which are always the same.
struct Counted {
    machine: Machine,
    log_z: f64,
    /// Discrete visible columns, then hidden ones.
    all: Vec<Vec<f64>>,
    p: Vec<f64>,
    means: Vec<Vec<f64>>,
    covariance: DMatrix<f64>,
}

/// By completing the square, in plain numbers.
fn counted() -> Counted {
    let machine = machine(MIXED, 2, 3..6);
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let weights = machine.couplings().iter().map(|c| c.weights().to_vec2::<f64>().unwrap());
    let weights: Vec<_> = weights.collect();
    let (lateral, dense) = (&weights[0], &weights[1]);
    let vars: Vec<Vec<f64>> = machine.rest().vars().iter().map(|(_, v)| flat(v)).collect();
    let [bias, precision, site, bit] = &vars[..] else { panic!("{}", vars.len()) };
    let hidden_bias = flat(&machine.last().bias().unwrap());
    let mut matrix = DMatrix::from_fn(NUMBERS, NUMBERS, |i, j| -lateral[i][j]);
    (0..NUMBERS).for_each(|i| matrix[(i, i)] = precision[i]);
    let covariance = matrix.clone().try_inverse().unwrap();
    let (mut all, mut log_p, mut means) = (Vec::new(), Vec::new(), Vec::new());
    for visible in discrete() {
        for h in 0..4 {
            let hidden = [f64::from(h % 2), f64::from(h / 2)];
            let own: f64 = visible.iter().zip(site.iter().chain(bit)).map(|(x, b)| x * b).sum();
            let mut value = own + hidden[0] * hidden_bias[0] + hidden[1] * hidden_bias[1];
            let mut field = bias.clone();
            for (i, x) in visible.iter().enumerate() {
                let i = NUMBERS + i;
                (0..NUMBERS).for_each(|j| field[j] += lateral[i][j] * x);
                for (k, y) in visible.iter().enumerate() {
                    value += 0.5 * lateral[i][NUMBERS + k] * x * y;
                }
                value += x * (dense[i][0] * hidden[0] + dense[i][1] * hidden[1]);
            }
            (0..NUMBERS)
                .for_each(|j| field[j] += dense[j][0] * hidden[0] + dense[j][1] * hidden[1]);
            let field = DMatrix::from_column_slice(NUMBERS, 1, &field);
            let mean = &covariance * &field;
            value += 0.5 * field.dot(&mean);
            log_p.push(value);
            means.push(mean.iter().copied().collect());
            all.push([&visible[..], &hidden].concat());
        }
    }
    let highest = log_p.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let sum: f64 = log_p.iter().map(|x| (x - highest).exp()).sum();
    let log_sum = highest + sum.ln();
    let volume = 0.5 * (NUMBERS as f64 * std::f64::consts::TAU.ln() - matrix.determinant().ln());
    let p = log_p.iter().map(|x| (x - log_sum).exp()).collect();
    Counted { machine, log_z: log_sum + volume, all, p, means, covariance }
}

impl Counted {
    /// Exact samples, rest and last.
    fn sample(&self, rng: &mut Rng) -> (Tensor, Tensor) {
        let root = self.covariance.clone().cholesky().unwrap().l();
        let chance = ops::uniform(CHAINS, DType::F64, &CPU, rng).unwrap().to_vec1::<f64>().unwrap();
        let noise = ops::normal((CHAINS, NUMBERS), DType::F64, &CPU, rng).unwrap();
        let noise = noise.to_vec2::<f64>().unwrap();
        let (mut rest, mut last) = (Vec::new(), Vec::new());
        for (chance, noise) in chance.iter().zip(noise) {
            let mut left = *chance;
            let at = self.p.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let at = at.unwrap_or(self.p.len() - 1);
            for i in 0..NUMBERS {
                let shift: f64 = (0..NUMBERS).map(|j| root[(i, j)] * noise[j]).sum();
                rest.push(self.means[at][i] + shift);
            }
            rest.extend(&self.all[at][..4]);
            last.extend(&self.all[at][4..]);
        }
        let tensor = |x: Vec<f64>, width| Tensor::from_vec(x, (CHAINS, width), &CPU).unwrap();
        (tensor(rest, NUMBERS + 4), tensor(last, 2))
    }

    /// The expectation of the product of every pair of columns, and of every column, rest and last side by side.
    fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let width = NUMBERS + 6;
        let (mut first, mut second) = (vec![0.0; width], vec![0.0; width * width]);
        for ((row, p), mean) in self.all.iter().zip(&self.p).zip(&self.means) {
            let row: Vec<f64> = mean.iter().chain(row).copied().collect();
            for i in 0..width {
                first[i] += p * row[i];
                for j in 0..width {
                    let spread = match i.max(j) < NUMBERS {
                        true => self.covariance[(i, j)],
                        false => 0.0,
                    };
                    second[i * width + j] += p * (row[i] * row[j] + spread);
                }
            }
        }
        (first, second)
    }
}

/// How many standard errors the averages of rows' columns and of their products are from what is expected, at most.
fn deviation(rows: &Tensor, (first, second): &(Vec<f64>, Vec<f64>)) -> f64 {
    let rows = rows.to_vec2::<f64>().unwrap();
    let (count, width) = (rows.len() as f64, first.len());
    let mut worst = 0f64;
    let mut compare = |of: &dyn Fn(&[f64]) -> f64, expected: f64| {
        let mean: f64 = rows.iter().map(|row| of(row)).sum::<f64>() / count;
        let square: f64 = rows.iter().map(|row| (of(row) - mean).powi(2)).sum::<f64>() / count;
        let error = (square / count).sqrt();
        let off = (mean - expected).abs();
        worst = worst.max(if error > 0.0 { off / error } else { off * 1e9 });
    };
    for i in 0..width {
        compare(&|row| row[i], first[i]);
        (i..width).for_each(|j| compare(&|row| row[i] * row[j], second[i * width + j]));
    }
    worst
}

/// 54 averages: five standard errors once in 30,000 right programs.
const FAR: f64 = 5.0;

#[test]
fn sweeps_of_numbers_and_categories_leave_their_distribution_as_it_is() {
    let counted = counted();
    let (moments, mut rng) = (counted.moments(), Rng::new(3));
    let (rest, last) = counted.sample(&mut rng);
    let both = |rest: &Tensor, last: &Tensor| Tensor::cat(&[rest, last], 1).unwrap();
    let before = deviation(&both(&rest, &last), &moments);
    assert!(before < FAR, "the samples themselves: {before}");
    let machine = &counted.machine;
    let moved = machine.draw_rest(Some(&rest), &last, None, &mut rng).unwrap();
    let last = machine.last().sample(&machine.last_inputs(&moved).unwrap(), &mut rng).unwrap();
    let after = deviation(&both(&moved, &last), &moments);
    assert!(after < FAR, "{after} standard errors");
    // Everything has been drawn anew.
    let same = moved.narrow(1, 0, NUMBERS).unwrap().eq(&rest.narrow(1, 0, NUMBERS).unwrap());
    assert_eq!(
        same.unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap(),
        0.0
    );
}

#[test]
fn samples_without_chains_are_of_the_distribution() {
    let counted = counted();
    let mut rng = Rng::new(6);
    let rest = exact_samples(&counted.machine, CHAINS, &mut rng).unwrap().unwrap();
    let inputs = counted.machine.last_inputs(&rest).unwrap();
    let last = counted.machine.last().sample(&inputs, &mut rng).unwrap();
    let off = deviation(&Tensor::cat(&[rest, last], 1).unwrap(), &counted.moments());
    assert!(off < FAR, "{off} standard errors");
    let bits = "bernoulli:3".parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    let machine = Machine::new(vec![bits], Vec::new()).unwrap();
    assert!(exact_samples(&machine, 3, &mut rng).unwrap().is_none());
}

#[test]
fn held_numbers_stay() {
    let counted = counted();
    let mut rng = Rng::new(3);
    let (rest, last) = counted.sample(&mut rng);
    let free = Tensor::new(&[[0f64, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]], &CPU).unwrap();
    let free = free.broadcast_as(rest.dims()).unwrap().contiguous().unwrap();
    let moved = counted.machine.draw_rest_held(&rest, &last, &free, &mut rng).unwrap();
    for (column, is_held) in [(0, true), (1, false), (2, true), (6, true)] {
        let [a, b] =
            [&rest, &moved].map(|x| x.narrow(1, column, 1).unwrap().flatten_all().unwrap());
        let is_same = a.to_vec1::<f64>().unwrap() == b.to_vec1::<f64>().unwrap();
        assert_eq!(is_same, is_held, "column {column}");
    }
}

/// Given a bit and a number, all else is drawn from its distribution given these: averages of exact samples that happen to have the bit, weighed by how
/// probable the number is there, are beside it.
#[test]
fn samples_given_what_is_held_are_of_the_conditional_distribution() {
    let counted = counted();
    let (value, bit, mut rng) = (0.7, 1.0, Rng::new(6));
    let mut row = vec![0.0; 7];
    (row[1], row[6]) = (value, bit);
    let free: Vec<bool> = (0..7).map(|j| j != 1 && j != 6).collect();
    let rows = Tensor::new(row, &CPU).unwrap().unsqueeze(0).unwrap().repeat((CHAINS, 1)).unwrap();
    let drawn = exact_samples_given(&counted.machine, &rows, &free, &mut rng).unwrap().unwrap();
    // Of each configuration: how probable it is given both, and the means of the other numbers.
    let spread = counted.covariance[(1, 1)];
    let (mut total, mut expected) = (0.0, [0.0; 5]);
    for ((states, p), mean) in counted.all.iter().zip(&counted.p).zip(&counted.means) {
        if states[3] != bit {
            continue;
        }
        let off = value - mean[1];
        let weight = p * (-0.5 * off * off / spread).exp();
        let others = [0, 2].map(|j| mean[j] + counted.covariance[(j, 1)] / spread * off);
        total += weight;
        let all = [others[0], others[1], states[0], states[1], states[2]];
        expected.iter_mut().zip(all).for_each(|(sum, x)| *sum += weight * x);
    }
    let drawn = drawn.to_vec2::<f64>().unwrap();
    assert!(drawn.iter().all(|row| row[1] == value && row[6] == bit));
    for (expected, column) in expected.into_iter().zip([0, 2, 3, 4, 5]) {
        let mean = drawn.iter().map(|row| row[column]).sum::<f64>() / CHAINS as f64;
        let square = drawn.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>();
        let error = (square / (CHAINS as f64).powi(2)).sqrt();
        let off = (mean - expected / total).abs();
        assert!(off < FAR * error, "column {column}: {mean} {}", expected / total);
    }
    // Where all numbers are held the categories are left, and where all is held nothing.
    let mut free = vec![false; 7];
    free[3..6].fill(true);
    let few = rows.narrow(0, 0, 500).unwrap();
    let sites = exact_samples_given(&counted.machine, &few, &free, &mut rng).unwrap().unwrap();
    assert!(sites.narrow(1, 3, 3).unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap() == [1.0; 500]);
    let same = exact_samples_given(&counted.machine, &few, &[false; 7], &mut rng).unwrap().unwrap();
    assert_eq!(same.to_vec2::<f64>().unwrap(), few.to_vec2::<f64>().unwrap());
}

/// log Z, counted and integrated, beside plain numbers; and from both sides.
#[test]
fn log_z_is_known() {
    let counted = counted();
    let found = log_partition(&counted.machine).unwrap();
    assert!((found - counted.log_z).abs() < 1e-10, "{found}, {}", counted.log_z);
    let (rest, _) = counted.sample(&mut Rng::new(1));
    let cases = rest.narrow(0, 0, 500).unwrap();
    let path = AnnealingPath::from_cases(&counted.machine, &cases).unwrap();
    let options = AisOptions { chains: 200, betas: 500, ..AisOptions::brief(1) };
    let mut sides = BidirectionalAis::new(&counted.machine, path, options).unwrap();
    while !sides.is_done() {
        sides.step().unwrap();
    }
    for side in [&sides.found().forward, &sides.found().reverse, &sides.found().bridge] {
        let side = side.as_ref().unwrap();
        let off = (side.value - found).abs();
        assert!(off < 4.0 * side.error + 1e-3, "{} ± {}, {found}", side.value, side.error);
    }
}

/// Without anything else the machine is a normal distribution: its density is the textbook's.
#[test]
fn coupled_numbers_alone_are_a_normal_distribution() {
    let machine = machine("gaussian-learned:4", 0, 0..0);
    let vars = machine.rest().vars();
    let [bias, precision] = [0, 1].map(|k| vars[k].1.to_vec1::<f64>().unwrap());
    let weights = machine.couplings()[0].weights().to_vec2::<f64>().unwrap();
    let mut matrix = DMatrix::from_fn(4, 4, |i, j| -weights[i][j]);
    (0..4).for_each(|i| matrix[(i, i)] = precision[i]);
    let mean = matrix.clone().try_inverse().unwrap() * DMatrix::from_column_slice(4, 1, &bias);
    let cases = normal(&[5, 4], 31);
    let expected = cases.to_vec2::<f64>().unwrap().into_iter().map(|x| {
        let off = DMatrix::from_column_slice(4, 1, &x) - &mean;
        let log_norm = 0.5 * (matrix.determinant().ln() - 4.0 * std::f64::consts::TAU.ln());
        log_norm - 0.5 * (off.transpose() * &matrix * &off)[(0, 0)]
    });
    let expected: Vec<f64> = expected.collect();
    let found = log_likelihood(&machine, &cases).unwrap();
    assert!((found - expected.iter().sum::<f64>() / 5.0).abs() < 1e-10, "{found}");
}

/// Points that stand for the distribution: their averages are the derivatives of log Z, by central differences of it.
#[test]
fn the_exact_gradient_is_the_derivative_of_log_z() {
    let machine = machine(MIXED, 0, 3..6);
    let positive = Phase::of(&machine, &normal(&[1, 7], 9)).unwrap();
    let found = Exact.averages(&machine, &positive, &mut Rng::new(0)).unwrap();
    let weights = machine.couplings()[0].weights();
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let all = [vec![found.couplings[0].tensor(weights).unwrap()], found.visible].concat();
    for ((name, parameter), found) in machine.parameters().into_iter().zip(all) {
        let (at, found, is_pair) = (flat(parameter), flat(&found), parameter.rank() == 2);
        for k in 0..at.len() {
            let (i, j) = (k / 7, k % 7);
            if is_pair && (i >= j || (3..6).contains(&i) && (3..6).contains(&j)) {
                continue;
            }
            let sides = [1e-5, -1e-5].map(|step| {
                let mut moved = at.clone();
                moved[k] += step;
                if is_pair {
                    moved[j * 7 + i] += step;
                }
                parameter.set(&Tensor::from_vec(moved, parameter.dims(), &CPU).unwrap()).unwrap();
                log_partition(&machine).unwrap()
            });
            let expected = (sides[0] - sides[1]) / 2e-5;
            assert!((found[k] - expected).abs() < 1e-6, "{name} {k}: {} {expected}", found[k]);
        }
        parameter.set(&Tensor::from_vec(at, parameter.dims(), &CPU).unwrap()).unwrap();
    }
}

/// Of two rectified numbers that push each other away, averages by quadrature; the coupling may be as strong as it likes.
#[test]
fn rectified_numbers_that_are_coupled_have_their_averages() {
    let strength = -1.7;
    let layer = "relu:2".parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    layer.vars()[0].1.set(&Tensor::new(&[0.8, 0.4], &CPU).unwrap()).unwrap();
    let weights = var(&Tensor::new(&[[0.0, strength], [strength, 0.0]], &CPU).unwrap());
    let machine = Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]).unwrap();
    machine.check_normalisable().unwrap();
    let (mut sums, step) = ([0.0; 4], 0.01);
    for i in 0..800 {
        for j in 0..800 {
            let [x, y] = [i, j].map(|k| (f64::from(k) + 0.5) * step);
            let log_p = 0.8 * x + 0.4 * y - 0.5 * (x * x + y * y) + strength * x * y;
            let p = log_p.exp();
            [1.0, x, y, x * y].iter().zip(&mut sums).for_each(|(of, sum)| *sum += p * of);
        }
    }
    let expected = [1, 2, 3].map(|k| sums[k] / sums[0]);
    let none = Tensor::zeros((CHAINS, 0), DType::F64, &CPU).unwrap();
    let mut x = machine
        .rest()
        .sample(&Tensor::zeros((CHAINS, 2), DType::F64, &CPU).unwrap(), &mut Rng::new(1))
        .unwrap();
    for sweep in 0..30 {
        x = machine.draw_rest(Some(&x), &none, None, &mut Rng::new(2 + sweep)).unwrap();
    }
    let rows = x.to_vec2::<f64>().unwrap();
    let averages = |row: &Vec<f64>| [row[0], row[1], row[0] * row[1]];
    for (k, expected) in expected.into_iter().enumerate() {
        let of = |row: &Vec<f64>| averages(row)[k];
        let mean = rows.iter().map(of).sum::<f64>() / CHAINS as f64;
        let square = rows.iter().map(|row| (of(row) - mean).powi(2)).sum::<f64>() / CHAINS as f64;
        let error = (square / CHAINS as f64).sqrt();
        assert!((mean - expected).abs() < 5.0 * error, "{mean}, {expected} ± {error}");
    }
}

/// Gaussian hidden units that are coupled: no lower bound is above log p(v), and without couplings among them it is log p(v).
#[test]
fn mean_field_of_numbers_is_a_lower_bound() {
    for (scale, is_tight) in [(0.0, true), (0.4, false)] {
        let build = |units: &str| units.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
        let layers = vec![build("bernoulli:3"), build("gaussian-learned:2")];
        layers[1].vars()[1].1.set(&Tensor::new(&[1.5, 0.7], &CPU).unwrap()).unwrap();
        let dense = Coupling::Dense { layers: [0, 1], weights: var(&normal(&[3, 2], 18)) };
        let within = Tensor::new(couplings(2, scale, 0..0), &CPU).unwrap();
        let lateral = Coupling::Lateral { layer: 1, weights: var(&within) };
        let machine = Machine::new(layers, vec![dense, lateral]).unwrap();
        let case = Tensor::new(&[[1f64, 0.0, 1.0]], &CPU).unwrap();
        let (phase, _) =
            rbm_core::learning::positive::mean_field(&machine, &case, 1000, 1e-14).unwrap();
        let bound = lower_bounds(&machine, &phase, 3).unwrap()[0];
        // −F(v) by the integral over both hidden units.
        let dense = machine.couplings()[0].weights().to_vec2::<f64>().unwrap();
        let weights = machine.couplings()[1].weights().to_vec2::<f64>().unwrap();
        let field: Vec<f64> = (0..2).map(|j| dense[0][j] + dense[2][j]).collect();
        let matrix = DMatrix::from_row_slice(2, 2, &[1.5, -weights[0][1], -weights[1][0], 0.7]);
        let field = DMatrix::from_column_slice(2, 1, &field);
        let mean = matrix.clone().try_inverse().unwrap() * &field;
        let exact =
            0.5 * field.dot(&mean) + std::f64::consts::TAU.ln() - 0.5 * matrix.determinant().ln();
        assert!(bound <= exact + 1e-9, "{bound}, {exact}");
        assert_eq!((exact - bound).abs() < 1e-9, is_tight, "{bound}, {exact}");
    }
}

/// Couplings that let units run away are refused, with how strong they are; weak ones are not.
#[test]
fn couplings_that_make_no_distribution_are_refused() {
    let of = |units: &str, coupling: f64| {
        let layer = units.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
        let weights = Tensor::new(&[[0.0, coupling], [coupling, 0.0]], &CPU).unwrap();
        let lateral = Coupling::Lateral { layer: 0, weights: var(&weights) };
        Machine::new(vec![layer], vec![lateral]).unwrap()
    };
    of("gaussian:2", 0.99).check_normalisable().unwrap();
    of("gaussian:2", -0.99).check_normalisable().unwrap();
    for (units, coupling) in [("gaussian:2", 1.01), ("gaussian:2", -1.01), ("relu:2", 1.01)] {
        let error = of(units, coupling).check_normalisable().unwrap_err().to_string();
        assert!(error.contains("cannot be normalised") && error.contains("1.01"), "{error}");
        assert!(log_partition(&of(units, coupling)).is_err());
    }
    // Between two layers as between the sides of a restricted machine.
    let build = |units: &str| units.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    for (strength, is_fine) in [(0.49, true), (0.51, false)] {
        let layers = vec![build("gaussian:2"), build("gaussian:2")];
        let weights = var(&(Tensor::ones((2, 2), DType::F64, &CPU).unwrap() * strength).unwrap());
        let machine = Machine::new(layers, vec![Coupling::Dense { layers: [0, 1], weights }]);
        assert_eq!(machine.unwrap().check_normalisable().is_ok(), is_fine, "{strength}");
    }
    // What is no number is no weak coupling.
    for (units, coupling, precision) in [
        ("gaussian:2", f64::NAN, None),
        ("relu:2", f64::NAN, None),
        ("gaussian-learned:2", 0.1, Some(-1.0)),
    ] {
        let machine = of(units, 0.0);
        let weights = Tensor::new(&[[0.0, coupling], [coupling, 0.0]], &CPU).unwrap();
        machine.couplings()[0].weights().set(&weights).unwrap();
        if let Some(precision) = precision {
            let value = Tensor::new(&[precision, 1.0], &CPU).unwrap();
            machine.rest().vars()[1].1.set(&value).unwrap();
        }
        assert!(machine.check_normalisable().is_err(), "{units} {coupling} {precision:?}");
    }
    // Colder machines would be none.
    let cold = SimulatedAnnealing::between(1.0, 0.1, 10).unwrap();
    let error = cold.run(&of("gaussian:2", 0.5), 2, &mut Rng::new(0)).unwrap_err().to_string();
    assert!(error.contains("bounds"), "{error}");
    // A precision is no coupling of a unit with itself.
    let layer = "gaussian:1".parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    let weights = var(&Tensor::new(&[[0.5f64]], &CPU).unwrap());
    let refused = Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]);
    assert!(refused.unwrap_err().to_string().contains("its precision says the same"));
    let layer = "multinomial(3):4".parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap();
    let weights = var(&Tensor::zeros((4, 4), DType::F64, &CPU).unwrap());
    let refused = Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]);
    assert!(refused.unwrap_err().to_string().contains("one by one"));
}

/// More columns than a panel has, in single precision, with chains that do not fill their lanes: the moments of a long walk are those of the normal
/// distribution.
#[test]
fn many_coupled_numbers_have_their_covariances() {
    let width = 90;
    let layer = Units::gaussian(width).build(DType::F32, &CPU).unwrap();
    let of = |i: usize, j: usize| if i.abs_diff(j) == 1 { 0.4f32 } else { 0.0 };
    let rows: Vec<Vec<f32>> = (0..width).map(|i| (0..width).map(|j| of(i, j)).collect()).collect();
    let lateral = Coupling::Lateral { layer: 0, weights: var(&Tensor::new(rows, &CPU).unwrap()) };
    let machine = Machine::new(vec![layer], vec![lateral]).unwrap();
    let precisions =
        DMatrix::from_fn(width, width, |i, j| f64::from(u8::from(i == j)) - f64::from(of(i, j)));
    let covariance = precisions.try_inverse().unwrap();
    let (chains, mut rng) = (2001, Rng::new(4));
    let none = Tensor::zeros((chains, 0), DType::F32, &CPU).unwrap();
    let mut x = Tensor::zeros((chains, width), DType::F32, &CPU).unwrap();
    for _ in 0..60 {
        x = machine.draw_rest(Some(&x), &none, None, &mut rng).unwrap();
    }
    let (mut square, mut next, mut count) = (0.0, 0.0, 0.0);
    for _ in 0..20 {
        x = machine.draw_rest(Some(&x), &none, None, &mut rng).unwrap();
        for row in x.to_vec2::<f32>().unwrap() {
            count += 1.0;
            // On both sides of the end of a panel, and away from it.
            square += f64::from(row[40]).powi(2);
            next +=
                f64::from(row[31]) * f64::from(row[32]) + f64::from(row[63]) * f64::from(row[64]);
        }
    }
    let expected = [covariance[(40, 40)], covariance[(31, 32)] + covariance[(63, 64)]];
    // 2,001 independent chains, and sweeps that are not: at most 40,020 and at least 2,001 numbers of deviation 2.
    for (found, expected) in [square / count, next / count].into_iter().zip(expected) {
        assert!((found - expected).abs() < 0.08, "{found} {expected}");
    }
}
