//! Where paths begin: real-valued units as wide as the data, and discrete ones beside them as they were.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use nalgebra::DMatrix;
use rbm_core::estimate::{
    AisOptions, BidirectionalAis, Estimate, betas, betas_along, log_partition,
};
use rbm_core::model::{Boltzmann, Coupling, Machine, Tempered};
use rbm_core::sampling::AnnealingPath;
use rbm_core::units::BaseUnits;
use rbm_core::{Layer, Rbm, Rng, Units, ops};

const CPU: Device = Device::Cpu;
const CHAINS: usize = 200_000;
/// In standard errors.
const FAR: f64 = 4.5;

fn normal(shape: &[usize], seed: u64) -> Tensor {
    ops::normal(shape, DType::F64, &CPU, &mut Rng::new(seed)).unwrap()
}

fn numbers(x: &[f64]) -> Tensor {
    Tensor::new(x, &CPU).unwrap()
}

fn layer(units: &str) -> Box<dyn Layer> {
    units.parse::<Units>().unwrap().build(DType::F64, &CPU).unwrap()
}

fn set(layer: &dyn Layer, name: &str, value: &[f64]) {
    let vars = layer.vars();
    let (_, var) = vars.into_iter().find(|(found, _)| found.ends_with(name)).unwrap();
    var.set(&numbers(value)).unwrap();
}

/// The mean and the variance of each column.
fn moments(x: &Tensor) -> Vec<[f64; 2]> {
    let columns = x.t().unwrap().contiguous().unwrap().to_vec2::<f64>().unwrap();
    let of = |column: Vec<f64>| {
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let square = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        [mean, square / column.len() as f64]
    };
    columns.into_iter().map(of).collect()
}

/// Errors unless the columns are normal with these means and variances, as far as these two can tell.
fn assert_normal(x: &Tensor, expected: &[[f64; 2]], what: &str) {
    for (column, (found, expected)) in moments(x).iter().zip(expected).enumerate() {
        let n = x.dim(0).unwrap() as f64;
        let [mean, variance] = *expected;
        let off = (found[0] - mean).abs() / (variance / n).sqrt();
        assert!(off < FAR, "{what}, column {column}: {found:?} for {expected:?}");
        let off = (found[1] - variance).abs() / (variance * (2.0 / n).sqrt());
        assert!(off < FAR, "{what}, column {column}: {found:?} for {expected:?}");
    }
}

/// By hand: the precision γ′ = γ + (1 − β)·added, the mean f/γ′, log ∫ exp(f·x − γ′·x²/2) dx = f²/2γ′ + ½·log 2π/γ′, and a bit beside them that hears
/// of nothing. It would catch a scale that is turned over, a bias that is not scaled, and a forgotten volume.
#[test]
fn numbers_are_wider_where_couplings_are_weak() {
    let layer = layer("gaussian-learned:2+bernoulli:1");
    set(&*layer, "0.bias", &[0.7, -1.2]);
    set(&*layer, "precision", &[4.0, 2.5]);
    // The second varies less than it does with all others known: that cannot be, and it stays as it is.
    let mean = numbers(&[1.5, 0.25, 0.3]);
    let variance = numbers(&[2.0, 0.1, 0.21]);
    let base = BaseUnits::of_moments(&*layer, &mean, Some(&variance)).unwrap();
    assert_eq!(base.precision_shares().unwrap(), [0.5 / 4.0, 1.0, 1.0]);
    let field = base.field.to_vec1::<f64>().unwrap();
    for beta in [0.0, 0.35, 1.0] {
        let products = numbers(&[0.8, -0.4, 1.1]);
        let said = products.to_vec1::<f64>().unwrap();
        let inputs = [0.7, -1.2, 0.0].iter().zip(said.iter().zip(&field));
        let inputs: Vec<f64> =
            inputs.map(|(bias, (x, field))| bias + beta * x + (1.0 - beta) * field).collect();
        let precisions = [4.0 - (1.0 - beta) * 3.5, 2.5];
        let known: Vec<_> =
            inputs.iter().zip(precisions).map(|(f, gamma)| [f / gamma, 1.0 / gamma]).collect();
        let rows = |count| products.unsqueeze(0).unwrap().broadcast_as((count, 3)).unwrap();
        let column = |count| numbers(&[beta]).broadcast_as((count, 1)).unwrap();
        let all = rows(CHAINS).contiguous().unwrap();
        let drawn = base.sample(&*layer, &all, &column(CHAINS), &mut Rng::new(1)).unwrap();
        assert_normal(&drawn.narrow(1, 0, 2).unwrap(), &known, &format!("β = {beta}"));
        let on = moments(&drawn)[2][0];
        let p = 1.0 / (1.0 + (-inputs[2]).exp());
        assert!((on - p).abs() < FAR * (p * (1.0 - p) / CHAINS as f64).sqrt(), "{on}, {p}");
        let volumes = inputs
            .iter()
            .zip(precisions)
            .map(|(f, gamma)| 0.5 * (f * f / gamma + (std::f64::consts::TAU / gamma).ln()));
        let expected = volumes.sum::<f64>() + inputs[2].exp().ln_1p();
        let one = rows(1).contiguous().unwrap();
        let found = base.cgf(&*layer, &one, &column(1)).unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((found - expected).abs() < 1e-12, "{beta}: {found}, {expected}");
    }
    // At β = 0 the units are as the data are.
    let drawn = base.sample_at_zero(&*layer, CHAINS, &mut Rng::new(2)).unwrap();
    assert_normal(&drawn.narrow(1, 0, 2).unwrap(), &[[1.5, 2.0], [0.25, 0.4]], "β = 0");
    assert!((moments(&drawn)[2][0] - 0.3).abs() < 0.005);
}

/// Three numbers and two bits that all say something to each other.
fn coupled() -> Machine {
    let layer = layer("gaussian-learned:3+bernoulli:2");
    set(&*layer, "precision", &[3.0, 2.0, 4.0]);
    set(&*layer, "0.bias", &[0.4, -0.3, 0.9]);
    let rough = (normal(&[5, 5], 5) * 0.6).unwrap().to_vec2::<f64>().unwrap();
    let of = |i: usize, j: usize| if i == j { 0.0 } else { rough[i.min(j)][i.max(j)] };
    let weights: Vec<Vec<f64>> = (0..5).map(|i| (0..5).map(|j| of(i, j)).collect()).collect();
    let weights = Var::from_tensor(&Tensor::new(weights, &CPU).unwrap()).unwrap();
    Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]).unwrap()
}

/// Samples of the path at β, made by hand, after a sweep: means and variances stay. It would catch a sweep that forgets the precisions.
#[test]
fn a_sweep_along_the_path_leaves_its_distribution() {
    let machine = coupled();
    let (mean, variance) =
        (numbers(&[0.5, 0.0, 0.3, 0.4, 0.6]), numbers(&[2.0, 1.5, 0.9, 0.24, 0.24]));
    let base = BaseUnits::of_moments(machine.rest(), &mean, Some(&variance)).unwrap();
    let (shares, field) = (base.precision_shares().unwrap(), base.field.to_vec1::<f64>().unwrap());
    let bias = machine.rest().bias().unwrap().to_vec1::<f64>().unwrap();
    let weights = machine.couplings()[0].weights().to_vec2::<f64>().unwrap();
    for beta in [0.0, 0.5, 1.0] {
        let own = [3.0, 2.0, 4.0];
        let matrix = DMatrix::from_fn(3, 3, |i, j| match i == j {
            true => own[i] * (beta + (1.0 - beta) * shares[i]),
            false => -beta * weights[i][j],
        });
        let covariance = matrix.clone().try_inverse().unwrap();
        let root = covariance.clone().cholesky().unwrap().l();
        let heard = |j: usize, bits: [f64; 2]| {
            let from: f64 = (0..2).map(|k| weights[3 + k][j] * bits[k]).sum();
            bias[j] + (1.0 - beta) * field[j] + beta * from
        };
        let states: Vec<[f64; 2]> =
            (0..4).map(|at| [f64::from(at % 2), f64::from(at / 2)]).collect();
        let of = |bits: &[f64; 2]| {
            let f = DMatrix::from_fn(3, 1, |j, _| heard(j, *bits));
            let mean = &covariance * &f;
            let own: f64 =
                (0..2).map(|k| bits[k] * (bias[3 + k] + (1.0 - beta) * field[3 + k])).sum();
            (own + beta * weights[3][4] * bits[0] * bits[1] + 0.5 * f.dot(&mean), mean)
        };
        let all: Vec<_> = states.iter().map(of).collect();
        let sum: f64 = all.iter().map(|(log_p, _)| log_p.exp()).sum();
        let (chance, noise) = (
            ops::uniform(CHAINS, DType::F64, &CPU, &mut Rng::new(3)).unwrap(),
            normal(&[CHAINS, 3], 4).to_vec2::<f64>().unwrap(),
        );
        let mut rows = Vec::new();
        for (mut left, noise) in chance.to_vec1::<f64>().unwrap().into_iter().zip(noise) {
            let at = all.iter().position(|(log_p, _)| {
                left -= log_p.exp() / sum;
                left < 0.0
            });
            let at = at.unwrap_or(3);
            for i in 0..3 {
                let off: f64 = (0..3).map(|j| root[(i, j)] * noise[j]).sum();
                rows.push(all[at].1[i] + off);
            }
            rows.extend(states[at]);
        }
        let rows = Tensor::from_vec(rows, (CHAINS, 5), &CPU).unwrap();
        let none = Tensor::zeros((CHAINS, 0), DType::F64, &CPU).unwrap();
        let betas = numbers(&[beta]).broadcast_as((CHAINS, 1)).unwrap().contiguous().unwrap();
        let tempered = Some(Tempered { base: &base, betas: &betas });
        let after = machine.draw_rest(Some(&rows), &none, tempered, &mut Rng::new(5)).unwrap();
        // Both are samples of the same: their means and mean squares differ by chance alone.
        let products = |x: &Tensor| Tensor::cat(&[x, &x.sqr().unwrap()], 1).unwrap();
        for (column, (old, new)) in
            moments(&products(&rows)).iter().zip(moments(&products(&after))).enumerate()
        {
            let error = ((old[1] + new[1]) / CHAINS as f64).sqrt();
            assert!(
                (old[0] - new[0]).abs() < FAR * error,
                "β = {beta}, column {column}: {old:?}, {new:?}"
            );
        }
    }
}

/// Four measurements of three kinds that lie far apart, as iris' do, and the kind beside them.
fn kinds() -> (Machine, Tensor) {
    let layer = layer("gaussian-learned:4+potts(3):1");
    set(&*layer, "precision", &[12.0; 4]);
    let centres = [[-1.4, 0.8, -1.3, -1.2], [0.1, -0.9, 0.3, 0.2], [1.0, 0.2, 1.1, 1.2]];
    // Given the kind: precision 12 on the diagonal, −2 beside it, the mean a centre.
    let within = |i: usize, j: usize| if i == j { 12.0 } else { -2.0 };
    let said = centres
        .map(|centre| [0, 1, 2, 3].map(|i| (0..4).map(|j| within(i, j) * centre[j]).sum::<f64>()));
    let of = |i: usize, j: usize| match (i.min(j), i.max(j)) {
        (i, j) if i == j || i >= 4 => 0.0,
        (_, j) if j < 4 => 2.0,
        (i, j) => said[j - 4][i],
    };
    let weights: Vec<Vec<f64>> = (0..7).map(|i| (0..7).map(|j| of(i, j)).collect()).collect();
    // As probable one as the others.
    let shares =
        [0, 1, 2].map(|kind| -0.5 * (0..4).map(|i| said[kind][i] * centres[kind][i]).sum::<f64>());
    set(&*layer, "1.bias", &shares);
    let cases = (0..300).flat_map(|at| {
        let kind = at % 3;
        let mut case = centres[kind].to_vec();
        case.extend((0..3).map(|k| f64::from(u8::from(k == kind))));
        case
    });
    let cases = Tensor::from_iter(cases, &CPU).unwrap().reshape((300, 7)).unwrap();
    let noise = Tensor::cat(
        &[&(normal(&[300, 4], 6) * 0.3).unwrap(), &normal(&[300, 3], 7).zeros_like().unwrap()],
        1,
    );
    let weights = Var::from_tensor(&Tensor::new(weights, &CPU).unwrap()).unwrap();
    let machine = Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]).unwrap();
    (machine, (cases + noise.unwrap()).unwrap())
}

/// However far the precisions fall, no step lets one grow to twice what it was, where weights on the way back would have no variance; and single
/// precision tells the lowest from none.
#[test]
fn steps_are_short_where_precisions_change() {
    let layer = "gaussian-learned:3".parse::<Units>().unwrap().build(DType::F32, &CPU).unwrap();
    layer.vars()[1].1.set(&Tensor::new(&[1f32, 1e4, 1e9], &CPU).unwrap()).unwrap();
    let number = |x: f32| Tensor::new(&[x; 3], &CPU).unwrap();
    let base = BaseUnits::of_moments(&*layer, &number(0.5), Some(&number(2.0))).unwrap();
    let shares = base.precision_shares().unwrap().to_vec();
    assert_eq!(shares, [0.5, 1e-4, 1e-4]);
    let drawn = base.sample_at_zero(&*layer, 10_000, &mut Rng::new(1)).unwrap();
    let drawn = drawn.to_dtype(DType::F64).unwrap();
    assert_normal(&drawn, &[[0.5, 2.0], [0.5, 1.0], [0.5, 1e-5]], "f32");
    let path = AnnealingPath { last: base.clone(), rest: base };
    for count in [100, 1000, 14_500] {
        let betas = betas_along(&path, count);
        assert!(betas.len() >= count - 2 && betas.len() <= count, "{}", betas.len());
        assert_eq!((betas[0], *betas.last().unwrap()), (0.0, 1.0));
        let precision = |beta: f64| beta + (1.0 - beta) * 1e-4;
        let grows = betas.windows(2).map(|pair| precision(pair[1]) / precision(pair[0]));
        assert!(grows.clone().all(|by| by > 1.0), "they ascend");
        assert!(grows.fold(0.0, f64::max) < 1.5, "{count}");
    }
    let plain = AnnealingPath {
        rest: BaseUnits::of_biases(&*layer).unwrap(),
        last: BaseUnits::of_biases(&*layer).unwrap(),
    };
    assert_eq!(betas_along(&plain, 100), betas(100));
}

fn both_sides(machine: &dyn Boltzmann, path: AnnealingPath) -> [Estimate; 3] {
    let options = AisOptions { chains: 100, betas: 1000, ..AisOptions::brief(1) };
    let mut sides = BidirectionalAis::new(machine, path, options).unwrap();
    while !sides.is_done() {
        sides.step().unwrap();
    }
    let found = sides.found().clone();
    [found.forward.unwrap(), found.reverse.unwrap(), found.bridge.unwrap()]
}

/// Measurements of kinds that lie far apart are found, each of them, where the units begin as wide as the data are.
#[test]
fn log_z_of_kinds_that_lie_far_apart() {
    let (machine, cases) = kinds();
    let exact = log_partition(&machine).unwrap();
    let path = AnnealingPath::from_cases(&machine, &cases).unwrap();
    for side in both_sides(&machine, path) {
        let off = (side.value - exact).abs();
        assert!(off < FAR * side.error + 0.02, "{} ± {}, {exact}", side.value, side.error);
        // A kind that is missed costs log 3/2, 0.41 nats.
        assert!(side.error < 0.15, "{}", side.error);
    }
}

/// Of a restricted machine, whose hidden numbers are summed out: their precisions are lower too.
#[test]
fn log_z_of_numbers_on_both_sides() {
    let units = ["gaussian-learned:4", "gaussian:3"].map(|units| units.parse::<Units>().unwrap());
    let rbm = Rbm::new(&units[0], &units[1], DType::F64, &CPU).unwrap();
    set(rbm.visible(), "precision", &[3.0, 2.0, 5.0, 4.0]);
    set(rbm.visible(), "bias", &[0.3, 0.1, -0.5, 0.2]);
    rbm.weights().set(&(normal(&[4, 3], 8) * 0.6).unwrap()).unwrap();
    let weights = rbm.weights().to_vec2::<f64>().unwrap();
    let matrix = DMatrix::from_fn(7, 7, |i, j| match (i < 4, j < 4) {
        (true, true) => {
            if i == j {
                [3.0, 2.0, 5.0, 4.0][i]
            } else {
                0.0
            }
        }
        (false, false) => f64::from(u8::from(i == j)),
        (true, false) => -weights[i][j - 4],
        (false, true) => -weights[j][i - 4],
    });
    let field = DMatrix::from_column_slice(7, 1, &[0.3, 0.1, -0.5, 0.2, 0.0, 0.0, 0.0]);
    let covariance = matrix.clone().try_inverse().unwrap();
    let mean = &covariance * &field;
    let exact =
        0.5 * (7.0 * std::f64::consts::TAU.ln() - matrix.determinant().ln() + field.dot(&mean));
    let root = covariance.cholesky().unwrap().l();
    let cases =
        normal(&[2000, 7], 9).matmul(&Tensor::from_slice(root.as_slice(), (7, 7), &CPU).unwrap());
    let mean = numbers(mean.as_slice()).narrow(0, 0, 4).unwrap();
    let cases = cases.unwrap().narrow(1, 0, 4).unwrap().broadcast_add(&mean).unwrap();
    let path = AnnealingPath::from_cases(&rbm, &cases.contiguous().unwrap()).unwrap();
    let shares = path.last.precision_shares().unwrap();
    assert!(shares.iter().all(|share| *share < 0.95), "{shares:?}");
    for side in both_sides(&rbm, path) {
        let off = (side.value - exact).abs();
        assert!(off < FAR * side.error + 1e-3, "{} ± {}, {exact}", side.value, side.error);
    }
}
