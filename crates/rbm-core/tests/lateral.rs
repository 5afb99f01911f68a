//! Sweeps through units that are all coupled with each other, beside a plain loop.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::{BinaryGraph, Boltzmann, Coupling, Machine, Tempered};
use rbm_core::sampling::GraphChains;
use rbm_core::units::{BaseUnits, States};
use rbm_core::{Rng, Units, ops, stats};

const CPU: Device = Device::Cpu;

/// A machine of one layer, its units coupled at random, and as wide as it is.
fn machine(units: &str, dtype: DType) -> (Machine, usize) {
    let mut rng = Rng::new(11);
    let layer = units.parse::<Units>().unwrap().build(dtype, &CPU).unwrap();
    let width = layer.units().width();
    let mut normal = |shape: &[usize]| ops::normal(shape, DType::F64, &CPU, &mut rng).unwrap();
    for (_, bias) in layer.vars() {
        bias.set(&normal(bias.dims()).to_dtype(dtype).unwrap()).unwrap();
    }
    // The site of each column.
    let mut sites: Vec<usize> = (0..width).collect();
    for support in layer.support() {
        if let States::OneOf(states) = support.states {
            let start = support.columns.start;
            support.columns.for_each(|j| sites[j] = start + (j - start) / states * states);
        }
    }
    let rough = normal(&[width, width]).to_vec2::<f64>().unwrap();
    let scale = 1.5 / (width as f64).sqrt();
    let of = |i: usize, j: usize| {
        if sites[i] == sites[j] { 0.0 } else { scale * rough[i.min(j)][i.max(j)] }
    };
    let all: Vec<f64> = (0..width * width).map(|at| of(at / width, at % width)).collect();
    let weights = Tensor::from_vec(all, (width, width), &CPU).unwrap().to_dtype(dtype).unwrap();
    let weights = Var::from_tensor(&weights).unwrap();
    (Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }]).unwrap(), width)
}

/// One column after the other, row by row, in `f64`: what a sweep is.
fn plainly(
    machine: &Machine,
    x: &Tensor,
    tempered: Option<(&[f64], &[f64])>,
    free: Option<&Tensor>,
    rng: &mut Rng,
) -> Vec<Vec<f64>> {
    let host = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
    let mut rows = host(x).to_vec2::<f64>().unwrap();
    let layer = machine.rest();
    let bias = host(&layer.bias().unwrap()).to_vec1::<f64>().unwrap();
    let weights = host(machine.couplings()[0].weights()).to_vec2::<f64>().unwrap();
    let support = layer.discrete().unwrap().support();
    let states = |states: &States| if let States::OneOf(states) = states { *states } else { 1 };
    let units: usize = support.iter().map(|of| of.columns.len() / states(&of.states)).sum();
    let chance = ops::uniform((rows.len(), units), DType::F64, &CPU, rng).unwrap();
    let chance = chance.to_vec2::<f64>().unwrap();
    let free = free.map(|free| host(free).to_vec2::<f64>().unwrap());
    for (at, x) in rows.iter_mut().enumerate() {
        let (beta, told) = match tempered {
            Some((betas, field)) => {
                (betas[at], field.iter().map(|field| (1.0 - betas[at]) * field).collect())
            }
            None => (1.0, vec![0.0; bias.len()]),
        };
        let field = |x: &[f64], j: usize| {
            let said: f64 = x.iter().zip(&weights).map(|(x, row)| x * row[j]).sum();
            told[j] + bias[j] + beta * said
        };
        let mut words = chance[at].iter();
        for support in layer.discrete().unwrap().support() {
            let states = states(&support.states);
            for first in support.columns.step_by(states) {
                let chance = *words.next().unwrap();
                if free.as_ref().is_some_and(|free| free[at][first] == 0.0) {
                    continue;
                }
                if let States::Values(values) = &support.states {
                    let field = field(x, first);
                    let logits = values.iter().map(|(value, ways)| field * value + ways);
                    x[first] = values[stats::categorical(logits, chance)].0;
                } else {
                    let logits: Vec<_> = (first..first + states).map(|j| field(x, j)).collect();
                    let drawn = stats::categorical(logits.iter().copied(), chance);
                    (0..states).for_each(|k| x[first + k] = f64::from(u8::from(k == drawn)));
                }
            }
        }
    }
    rows
}

/// Units of every kind that is drawn one by one: fewer than a panel has, as many, and many more; sites wider than a panel.
const KINDS: [&str; 10] = [
    "spin:5",
    "spin:64",
    "bernoulli:150",
    "binomial(3):70",
    "potts(3):2",
    "potts(4):41",
    "potts(2):40",
    "potts(70):3",
    "bernoulli:9",
    "potts(2):33",
];

/// Rows that differ: the part of three sweeps in which a row is as the plain loop says.
fn agreement(units: &str, rows: usize, dtype: DType, is_tempered: bool, is_held: bool) -> f64 {
    let (machine, width) = machine(units, dtype);
    let mut rng = Rng::new(5);
    let number = |x: Tensor| x.to_dtype(dtype).unwrap();
    let none = Tensor::zeros((rows, 0), dtype, &CPU).unwrap();
    let zeros = Tensor::zeros((rows, width), dtype, &CPU).unwrap();
    let mut x = machine.rest().sample(&zeros, &mut rng).unwrap();
    let betas: Vec<f64> = (0..rows).map(|row| 0.2 + 1.5 * row as f64 / rows as f64).collect();
    let field: Vec<f64> = (0..width).map(|j| 0.25 * (j % 5) as f64 - 0.5).collect();
    let base = BaseUnits::of_field(number(Tensor::new(&field[..], &CPU).unwrap()));
    let betas_tensor = number(Tensor::new(&betas[..], &CPU).unwrap()).reshape((rows, 1)).unwrap();
    let free = (0..rows * width).map(|at| f64::from(u8::from(at / 7 % 3 > 0))).collect();
    let free: Tensor = number(Tensor::from_vec::<_, f64>(free, (rows, width), &CPU).unwrap());
    let mut alike = 0;
    for _ in 0..3 {
        let mut again = rng;
        let tempered = is_tempered.then_some(Tempered { base: &base, betas: &betas_tensor });
        let (drawn, held) = if is_held {
            (machine.draw_rest_held(&x, &none, &free, &mut rng).unwrap(), Some(&free))
        } else {
            (machine.draw_rest(Some(&x), &none, tempered, &mut rng).unwrap(), None)
        };
        let tempered = is_tempered.then_some((&betas[..], &field[..]));
        let expected = plainly(&machine, &x, tempered, held, &mut again);
        let found = drawn.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        // A column that `free` holds alone, within a site that is drawn, is put back afterwards: that is no matter of the sweep.
        alike += found.iter().zip(&expected).filter(|(found, expected)| found == expected).count();
        x = drawn;
    }
    alike as f64 / (3 * rows) as f64
}

/// In `f64` every sample is that of the plain loop, and in `f32` but for chances that hit a probability to within rounding: a unit
/// in 10⁵, of the 150 of a row at most.
#[test]
fn sweeps_draw_what_a_plain_loop_draws() {
    for units in KINDS {
        for (rows, is_tempered) in [(1, false), (32, false), (33, true), (70, false)] {
            let agreement = |dtype| agreement(units, rows, dtype, is_tempered, false);
            assert_eq!(agreement(DType::F64), 1.0, "{units}, {rows} rows");
            assert!(agreement(DType::F32) >= 0.95, "{units}, {rows} rows of f32");
        }
    }
    for units in ["spin:64", "bernoulli:150", "binomial(3):70"] {
        assert_eq!(agreement(units, 40, DType::F64, false, true), 1.0, "{units}, some held");
    }
}

/// Sites that are held stay, and are heard.
#[test]
fn sites_that_are_held_stay() {
    let (machine, width) = machine("potts(4):41", DType::F64);
    let mut rng = Rng::new(5);
    let none = Tensor::zeros((40, 0), DType::F64, &CPU).unwrap();
    let zeros = Tensor::zeros((40, width), DType::F64, &CPU).unwrap();
    let x = machine.rest().sample(&zeros, &mut rng).unwrap();
    let free = (0..40 * width).map(|at| f64::from(u8::from(at % width / 4 % 3 > 0))).collect();
    let free = Tensor::from_vec::<_, f64>(free, (40, width), &CPU).unwrap();
    let mut again = rng;
    let drawn = machine.draw_rest_held(&x, &none, &free, &mut rng).unwrap();
    let expected = plainly(&machine, &x, None, Some(&free), &mut again);
    assert_eq!(drawn.to_vec2::<f64>().unwrap(), expected);
}

/// The bits do not depend on who else draws: other numbers of threads, and other chains behind.
#[test]
fn neither_threads_nor_later_rows_change_a_row() {
    for units in ["spin:200", "potts(4):41", "gaussian:150", "relu:70"] {
        let (machine, width) = machine(units, DType::F32);
        let zeros = Tensor::zeros((100, width), DType::F32, &CPU).unwrap();
        let x = machine.rest().sample(&zeros, &mut Rng::new(1)).unwrap();
        let swept = |threads: usize, rows: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let x = x.narrow(0, 0, rows).unwrap();
            let none = Tensor::zeros((rows, 0), DType::F32, &CPU).unwrap();
            let sweep = || machine.draw_rest(Some(&x), &none, None, &mut Rng::new(2)).unwrap();
            pool.install(sweep).to_vec2::<f32>().unwrap()
        };
        let one = swept(1, 100);
        assert_eq!(swept(3, 100), one);
        assert_eq!(swept(2, 40), one[..40]);
    }
}

/// Configurations that are in no state of a site, as all zeros are, say nothing.
#[test]
fn sites_that_are_in_no_state_are_heard_as_they_are() {
    let (machine, width) = machine("potts(4):41", DType::F64);
    let none = Tensor::zeros((3, 0), DType::F64, &CPU).unwrap();
    let x = Tensor::zeros((3, width), DType::F64, &CPU).unwrap();
    let drawn = machine.draw_rest(Some(&x), &none, None, &mut Rng::new(7)).unwrap();
    let expected = plainly(&machine, &x, None, None, &mut Rng::new(7));
    assert_eq!(drawn.to_vec2::<f64>().unwrap(), expected);
}

/// Graphs of which most pairs are coupled are swept by products; units that nobody hears make the same graph a sparse one.
#[test]
fn dense_graphs_are_swept_as_sparse_ones_are() {
    let (units, more) = (150u32, 300);
    let pairs: Vec<_> = (0..units).flat_map(|i| (i + 1..units).map(move |j| [i, j])).collect();
    let normal = |count: usize, seed| {
        let numbers = ops::normal(count, DType::F64, &CPU, &mut Rng::new(seed)).unwrap();
        numbers.to_vec1::<f64>().unwrap()
    };
    let couplings: Vec<_> = normal(pairs.len(), 1).into_iter().map(|w| w / 12.0).collect();
    let mut biases = normal(units as usize, 2);
    for low in [-1.0, 0.0] {
        biases.truncate(units as usize);
        let dense = BinaryGraph::new(&pairs, &couplings, &biases, low).unwrap();
        biases.resize(more, 0.0);
        let sparse = BinaryGraph::new(&pairs, &couplings, &biases, low).unwrap();
        let swept = |graph: &BinaryGraph| {
            let mut rng = Rng::new(3);
            let mut chains = GraphChains::evenly(graph, 32, &mut rng).unwrap();
            chains.sweep(&[0.3, 0.7, 1.0, 1.5], &mut rng);
            let x = chains.configurations().unwrap().narrow(1, 0, units as usize).unwrap();
            (x.to_vec2::<f32>().unwrap(), chains.energies(), chains.configurations().unwrap())
        };
        let ((found, energies, all), (expected, ..)) = (swept(&dense), swept(&sparse));
        let alike = found.iter().zip(&expected).filter(|(found, expected)| found == expected);
        assert!(alike.count() >= 31, "from {low}");
        for (energy, x) in energies.iter().zip(all.to_vec2::<f32>().unwrap()) {
            assert!((energy - dense.energy(|unit| x[unit])).abs() < 1e-3);
        }
    }
}
