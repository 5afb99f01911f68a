//! The laws of parallel trajectory tempering: frozen machines keep their distributions, and chains follow what learns.
//!
//! What they would catch: an exchange with a wrong sign or stale products, samples of a copy that drift while it is frozen, an
//! overlap that believes chains which lag behind, a step that is undone but not forgotten, a checkpoint that has lost a level.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{Plain, assert_mean, binary, bits, machine, matrix, parameter_bits, patterns, rows};
use rbm_core::estimate::{Bridge, log_partition};
use rbm_core::learning::negative::{Decision, StepOutcome};
use rbm_core::sampling::trajectory::{Level, ScoredSamples, Trajectory, exchange, overlap};
use rbm_core::{
    Gibbs, Gradient, Kernel, NegativePhase, ParallelTrajectory, Phase, Rbm, Rng, Sgd, State,
    Stateful, Trainer,
};

/// `count` rows drawn from the distribution `p` over [`binary`], by a generator that is not the crate's.
fn exact_sample(p: &[f64], count: usize, seed: u64) -> Tensor {
    let mut x = seed;
    let mut uniform = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 11) as f64 / 2f64.powi(53)
    };
    let all = binary(p.len().ilog2() as usize);
    let mut draw = || {
        let mut left = uniform();
        let below = |p: &f64| {
            left -= p;
            left < 0.0
        };
        all[p.iter().position(below).unwrap_or(p.len() - 1)].clone()
    };
    matrix(&(0..count).map(|_| draw()).collect::<Vec<_>>(), DType::F32)
}

/// The total variation between binary rows and `p`, in units of its Monte-Carlo floor, as in `stationarity.rs`.
fn drift(x: &Tensor, p: &[f64]) -> f64 {
    let mut counts = vec![0.0; p.len()];
    for row in rows(x) {
        counts[row.iter().enumerate().map(|(i, &bit)| (bit as usize) << i).sum::<usize>()] += 1.0;
    }
    let n = counts.iter().sum::<f64>();
    let distance: f64 = counts.iter().zip(p).map(|(c, p)| (c / n - p).abs()).sum();
    distance / p.iter().map(|p| (p * (1.0 - p) / n).sqrt()).sum::<f64>()
}

const LIMIT: f64 = 4.0;

/// The machine with its weights and its hidden biases `factor` times as large.
fn scaled(rbm: &Rbm, factor: f64) -> Rbm {
    let scaled = rbm.try_clone().unwrap();
    for var in [scaled.weights(), scaled.hidden().vars()[0].1] {
        var.set(&(var.as_detached_tensor() * factor).unwrap()).unwrap();
    }
    scaled
}

fn restricted(level: &Level) -> &Rbm {
    Rbm::of(&*level.machine).unwrap()
}

fn probabilities(rbm: &Rbm) -> Vec<f64> {
    Plain::of(rbm).visible_probabilities()
}

/// Σ p(x)·q(y)·min(1, p(y)q(x) / (p(x)q(y))) = Σ min(p(x)q(y), p(y)q(x)).
fn exact_overlap(p: &[f64], q: &[f64]) -> f64 {
    let pair = |x: usize| (0..q.len()).map(move |y| (p[x] * q[y]).min(p[y] * q[x]));
    (0..p.len()).flat_map(pair).sum()
}

fn nothing(rbm: &Rbm) -> Gradient {
    let phase = Phase::of(rbm, &Tensor::zeros((1, width(rbm)), DType::F32, rbm.device()).unwrap());
    let phase = phase.unwrap();
    Gradient::between(rbm, &phase, &phase).unwrap()
}

fn width(rbm: &Rbm) -> usize {
    rbm.visible().units().width()
}

/// Bottom, half way, and the machine itself, each with exact samples.
fn ladder(rbm: &Rbm, chains: usize, reservoir: usize, rng: &mut Rng) -> ParallelTrajectory {
    let half = scaled(rbm, 0.5);
    let bottom = Trajectory::new(rbm, chains, chains, rng).unwrap();
    let bottom = restricted(&bottom.levels()[0]).try_clone().unwrap();
    let level = |rbm: Rbm, rows: usize, seed: u64| {
        Level::new(&rbm, exact_sample(&probabilities(&rbm), rows, seed), chains).unwrap()
    };
    let levels = vec![level(bottom, chains, 1), level(half, reservoir, 2)];
    let visible = exact_sample(&probabilities(rbm), chains, 3);
    let hidden = rbm.sample_hidden(&visible, rng).unwrap();
    let mut phase = ParallelTrajectory::new(1, chains);
    phase.begin(Trajectory::of(levels, chains).unwrap(), hidden).unwrap();
    phase
}

/// An update leads on, makes a copy, or is taken back; a copy of what was frozen just now helps nothing.
#[test]
fn the_decision_table() {
    let phase = ParallelTrajectory::new(1, None);
    for (overlap, since, expected) in [
        (0.5, 1, Decision::Accept),
        (0.5, 9, Decision::Accept),
        (0.3, 1, Decision::Accept),
        (0.2, 2, Decision::Freeze),
        (0.1, 2, Decision::Freeze),
        (0.2, 1, Decision::Reject),
        (0.05, 5, Decision::Reject),
        (f64::NAN, 5, Decision::Reject),
    ] {
        assert_eq!(phase.decide(overlap, since), expected, "{overlap} after {since}");
    }
}

/// By enumeration of both machines, from samples of one of them alone; and what exchanges of both's samples come to.
#[test]
fn the_overlap_is_the_acceptance_of_samples_of_both() {
    let far = scaled(&machine("bernoulli:4", "bernoulli:3", DType::F32, 1), 3.0);
    for (i, factor) in [1.0, 0.7, 0.0].into_iter().enumerate() {
        let near = scaled(&far, factor);
        let (p, q) = (probabilities(&near), probabilities(&far));
        let exact = exact_overlap(&p, &q);
        assert!(i == 0 || exact < 0.9, "{factor}: {exact}");
        let mut rng = Rng::new(2);
        let (mut found, mut swapped) = (Vec::new(), Vec::new());
        for batch in 0..40 {
            let x = ScoredSamples::by(&near, exact_sample(&p, 2000, 100 + batch)).unwrap();
            let y = ScoredSamples::by(&far, exact_sample(&q, 2000, 200 + batch)).unwrap();
            let other = ScoredSamples::by(&far, x.visible.clone()).unwrap();
            let weights =
                x.free_energy.iter().zip(other.free_energy).map(|(own, other)| own - other);
            found.push(overlap(&weights.collect::<Vec<_>>()));
            swapped.push(exchange((&near, x), (&far, y), &mut rng).unwrap().acceptance);
        }
        if factor == 1.0 {
            common::assert_close("the same machine", &found, &[1.0; 40], 1e-4);
        } else {
            assert_mean("overlap", &found, exact);
            assert_mean("acceptance", &swapped, exact);
        }
    }
}

/// 20,000 chains and 40,000 samples of the copy, all exact, through four updates of nothing: every level stays where it is, and
/// so does a level that is frozen while chains run.
#[test]
fn chains_and_copies_stay_at_their_distributions() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 3);
    let mut rng = Rng::new(4);
    let mut phase = ladder(&rbm, 20_000, 40_000, &mut rng);
    let few = Phase::of(&rbm, &patterns("1010", DType::F32)).unwrap();
    for round in 0..4 {
        let fantasy = phase.fantasy(&rbm, &few, &mut rng).unwrap();
        assert_eq!(phase.after_step(&rbm, &nothing(&rbm), &mut rng).unwrap(), StepOutcome::Kept);
        let away = drift(&fantasy.visible, &probabilities(&rbm));
        assert!(away < LIMIT, "round {round}: drift {away} of the chains");
        common::assert_close(
            "products",
            &common::flat(&fantasy.hidden_inputs),
            &common::flat(&rbm.hidden_inputs(&fantasy.visible).unwrap()),
            1e-5,
        );
        for (i, level) in phase.trajectory().unwrap().levels().iter().enumerate() {
            let away = drift(&level.visible, &probabilities(restricted(level)));
            assert!(away < LIMIT, "round {round}, level {i}: drift {away}");
        }
    }
    let mut trajectory = Trajectory::new(&rbm, 20_000, 40_000, &mut rng).unwrap();
    for (i, factor) in [0.3, 0.6].into_iter().enumerate() {
        trajectory.freeze(&scaled(&rbm, factor), 20, 0.1, &mut rng).unwrap();
        for (j, level) in trajectory.levels().iter().enumerate() {
            let away = drift(&level.visible, &probabilities(restricted(level)));
            assert!(away < LIMIT, "{i} copies, level {j}: drift {away}");
            assert_eq!(level.visible.dim(0).unwrap(), if j == i + 1 { 40_000 } else { 20_000 });
        }
    }
}

/// Ten units of ±1 that one Gaussian unit makes alike, up more often than down, in zeros and ones: s = 2v − 1.
fn hopfield() -> Rbm {
    let (units, field, coupling) = (10, 0.03, 0.8);
    let rbm = Rbm::new(
        &rbm_core::Units::bernoulli(units),
        &rbm_core::Units::gaussian(1),
        DType::F32,
        &Device::Cpu,
    )
    .unwrap();
    let weights = vec![vec![2.0 * coupling]; units];
    common::set(rbm, &weights, &vec![2.0 * field; units], &[-coupling * units as f64])
}

fn is_up(row: &[f64]) -> bool {
    row.iter().sum::<f64>() > 5.0
}

/// Gibbs chains that begin up stay up; chains that have followed the way of learning there are in both modes with their
/// weights, whatever the steps were.
#[test]
fn two_modes_are_found_on_the_way() {
    let target = hopfield();
    let p = probabilities(&target);
    let truth: f64 = binary(10).iter().zip(&p).filter(|(v, _)| is_up(v)).map(|(_, p)| p).sum();
    let down: f64 = binary(10)
        .iter()
        .zip(&p)
        .filter(|(v, _)| v.iter().sum::<f64>() < 5.0)
        .map(|(_, p)| p)
        .sum();
    assert!(truth > 0.55 && down > 0.2, "up {truth}, down {down}");
    let mut rng = Rng::new(5);
    let gibbs = Gibbs::default();
    let up = Tensor::ones((100, 10), DType::F32, &Device::Cpu).unwrap();
    let mut chains = gibbs.init(&target, up, &mut rng).unwrap();
    (0..200).for_each(|_| gibbs.step(&target, &mut chains, &mut rng).unwrap());
    let stuck = rows(&chains.visible).iter().filter(|row| is_up(row)).count();
    assert!(stuck > 95, "plain Gibbs: {stuck} of 100 are up");

    // Learning walks from no couplings to the target; where a step is undone it goes half as far.
    let rbm = scaled(&target, 0.0);
    let mut phase = ParallelTrajectory::new(1, 200);
    let few = Phase::of(&rbm, &patterns("1111111111 0000000000", DType::F32)).unwrap();
    let (mut at, mut undone) = (0.0, 0);
    while at < 1.0 {
        phase.fantasy(&rbm, &few, &mut rng).unwrap();
        let next = f64::min(at + 0.3 * phase.learning_rate_factor(), 1.0);
        rbm.set(&scaled(&target, next)).unwrap();
        match phase.after_step(&rbm, &nothing(&rbm), &mut rng).unwrap() {
            StepOutcome::Kept => at = next,
            StepOutcome::Undone => undone += 1,
        }
        assert!(undone < 100, "it gets nowhere: {at}");
    }
    let levels = phase.trajectory().unwrap().levels().len();
    assert!(undone > 0 && levels > 2, "{levels} levels, {undone} steps undone");
    let mut shares = vec![0.0; 200];
    let rounds = 400;
    for _ in 0..rounds {
        let fantasy = phase.fantasy(&rbm, &few, &mut rng).unwrap();
        let up = rows(&fantasy.visible);
        shares.iter_mut().zip(up).for_each(|(share, row)| {
            *share += f64::from(u8::from(is_up(&row))) / f64::from(rounds);
        });
    }
    // Rows meet no rows but those of their own column, but begin as copies of each other where a level was resampled: blocks of
    // ten rows are far enough apart to be independent.
    let blocks: Vec<f64> =
        (0..20).map(|b| (0..10).map(|i| shares[b + 20 * i]).sum::<f64>() / 10.0).collect();
    assert_mean("the share of the upper mode", &blocks, truth);
}

/// Chains that still sit where the copy's do are exchanged with them again and again, and prove nothing. The copy's own samples
/// do: the step is undone to the bit, the momentum forgotten, the rate halved.
#[test]
fn chains_that_lag_behind_deceive_nobody() {
    let rbm = machine("bernoulli:10", "bernoulli:3", DType::F32, 6);
    let mut rng = Rng::new(7);
    let mut phase = ladder(&rbm, 500, 5000, &mut rng);
    let few = Phase::of(&rbm, &patterns("1010101010", DType::F32)).unwrap();
    (0..3).for_each(|_| drop(phase.fantasy(&rbm, &few, &mut rng).unwrap()));
    let before = parameter_bits(&rbm);
    let copy = phase.trajectory().unwrap().newest().unwrap();
    let leap = machine("bernoulli:10", "bernoulli:3", DType::F32, 8);
    let bias = leap.visible().vars()[0].1;
    bias.set(&(bias.as_detached_tensor() * 2.0).unwrap()).unwrap();
    let exact = exact_overlap(&probabilities(restricted(copy)), &probabilities(&leap));
    assert!(exact < 0.08, "{exact}");
    // The chains as they are, taken for samples of where the machine has leapt to.
    let [x, y] = [4, 9].map(|seed| exact_sample(&probabilities(restricted(copy)), 2000, seed));
    let (x, y) =
        (ScoredSamples::by(restricted(copy), x).unwrap(), ScoredSamples::by(&leap, y).unwrap());
    let online = exchange((restricted(copy), x), (&leap, y), &mut rng).unwrap().acceptance;
    assert!(online > 0.4, "lagging chains would say {online}");
    rbm.set(&leap).unwrap();
    assert_eq!(phase.after_step(&rbm, &nothing(&rbm), &mut rng).unwrap(), StepOutcome::Undone);
    assert_eq!(parameter_bits(&rbm), before);
    assert_eq!(phase.learning_rate_factor(), 0.5);
    let mixing = phase.mixing().unwrap().unwrap();
    assert_eq!((mixing.undone, mixing.pace), (Some(1), Some(0.5)));
}

fn copy_of(state: State) -> State {
    state.into_iter().map(|(name, tensor)| (name, tensor.copy().unwrap())).collect()
}

/// A training whose steps are so long that copies are frozen and steps undone, taken up again at every step from its state.
#[test]
fn learning_goes_on_from_its_state_to_the_bit() {
    let cases = patterns("11110000 11110000 00001111 11001100 00110011 10101010", DType::F32);
    let few = Phase::of(&Rbm::bernoulli(&cases, 6, &mut Rng::new(9)).unwrap(), &cases).unwrap();
    let learn = |stop: bool| {
        let rbm = Rbm::bernoulli(&cases, 6, &mut Rng::new(9)).unwrap();
        let mut rng = Rng::new(10);
        let new = || {
            let sgd = Sgd { momentum: 0.5, ..Sgd::new(0.0) };
            Trainer::new(ParallelTrajectory::new(1, 20), sgd)
        };
        let mut trainer = new();
        let mut undone = 0;
        for _ in 0..150 {
            trainer.optimizer.learning_rate = 1.5 * trainer.negative.learning_rate_factor();
            trainer.step(&rbm, &cases, &mut rng).unwrap();
            undone += usize::from(trainer.optimizer.velocity.is_empty());
            if stop {
                let state = copy_of(trainer.state());
                trainer = new();
                trainer.restore(&state).unwrap();
                assert_eq!(
                    trainer.state().keys().collect::<Vec<_>>(),
                    state.keys().collect::<Vec<_>>(),
                    "a state that was put back is the same state"
                );
            }
        }
        trainer.negative.fantasy(&rbm, &few, &mut rng).unwrap();
        let ladder = trainer.negative.trajectory().unwrap();
        let samples: Vec<_> = ladder.levels().iter().map(|level| bits(&level.visible)).collect();
        (parameter_bits(&rbm), rng, samples, undone)
    };
    let whole = learn(false);
    assert!(whole.2.len() > 2 && whole.3 > 0, "{} levels, {} undone", whole.2.len(), whole.3);
    assert!(whole == learn(true));
}

/// The ladder gives log Z step by step, within four errors of the exact.
#[test]
fn the_ladder_gives_log_z() {
    let rbm = machine("bernoulli:8", "bernoulli:5", DType::F32, 11);
    let mut rng = Rng::new(12);
    let mut trajectory = Trajectory::new(&rbm, 400, 4000, &mut rng).unwrap();
    for factor in [0.25, 0.5, 0.75, 1.0] {
        trajectory.freeze(&scaled(&rbm, factor), 20, 0.1, &mut rng).unwrap();
    }
    let gaps = trajectory.levels().len() - 1;
    let mut bridge = Bridge::new(gaps, 400);
    for _ in 0..100 {
        for gap in 0..gaps {
            assert_eq!(trajectory.visit(&mut rng).unwrap().unwrap().0, gap);
        }
        let (up, down) = trajectory.log_ratios().unwrap();
        bridge.push(&up, &down).unwrap();
    }
    let ratio = bridge.log_ratio().unwrap();
    let found = ratio.value + trajectory.log_partition_at_bottom().unwrap();
    let exact = log_partition(&rbm).unwrap();
    assert!(
        (found - exact).abs() < 4.0 * ratio.error,
        "{found} ± {}, exactly {exact}",
        ratio.error
    );
    assert!(ratio.error < 0.02, "{}", ratio.error);
}

/// A copy that is out of reach is no level, and the one below keeps all its samples.
#[test]
fn a_copy_out_of_reach_is_given_up() {
    let rbm = machine("bernoulli:8", "bernoulli:5", DType::F32, 18);
    let mut rng = Rng::new(19);
    let mut trajectory = Trajectory::new(&rbm, 100, 500, &mut rng).unwrap();
    let found = trajectory.freeze(&rbm, 5, 0.9, &mut rng).unwrap();
    assert!(found < 0.9, "{found}");
    assert_eq!(trajectory.levels().len(), 1);
    assert_eq!(trajectory.newest().unwrap().visible.dims(), [500, 8]);
    let found = trajectory.freeze(&rbm, 5, 0.01, &mut rng).unwrap();
    assert!(found > 0.01 && trajectory.levels().len() == 2, "{found}");
}

#[test]
fn what_cannot_be_a_ladder_is_refused() {
    let rbm = machine("bernoulli:10", "bernoulli:6", DType::F32, 13);
    let far = scaled(&rbm, 5.0);
    let few = Phase::of(&rbm, &patterns("1010101010", DType::F32)).unwrap();
    let mut phase = ParallelTrajectory::new(1, 100);
    let error = phase.fantasy(&far, &few, &mut Rng::new(14)).unwrap_err().to_string();
    assert!(error.contains("independent") && !error.contains('\n'), "{error}");
    assert!(Trajectory::of(Vec::new(), 10).is_err());
    assert!(Trajectory::new(&rbm, 10, 15, &mut Rng::new(15)).is_err());
    let trajectory = Trajectory::new(&rbm, 10, 20, &mut Rng::new(16)).unwrap();
    let hidden = Tensor::zeros((11, 6), DType::F32, &Device::Cpu).unwrap();
    assert!(phase.begin(trajectory, hidden).is_err());
}

/// Rows that are drawn from a place go back to it, with what they weigh; all others stay.
#[test]
fn rows_go_back_to_their_place() {
    const PORTION: usize = 2;
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F64, 3);
    let mut rng = Rng::new(4);
    let rows = exact_sample(&probabilities(&rbm), 6, 1).to_dtype(DType::F64).unwrap();
    let level = Level::new(&rbm, rows.copy().unwrap(), PORTION).unwrap();
    let mut trajectory = Trajectory::of(vec![level], PORTION).unwrap();
    let new = ScoredSamples::by(&rbm, patterns("0110 1001", DType::F64)).unwrap();
    let start = loop {
        let (_, start) = trajectory.draw(0, &mut rng).unwrap();
        if start > 0 {
            break start;
        }
    };
    trajectory.put(0, start, &new).unwrap();
    let (before, level) = (common::flat(&rows), &trajectory.levels()[0]);
    let mut expected = before;
    expected[4 * start..4 * (start + PORTION)].copy_from_slice(&common::flat(&new.visible));
    assert_eq!(common::flat(&level.visible), expected);
    let weighed = common::flat(&rbm.free_energy(&level.visible).unwrap());
    common::assert_close("free energies", &level.free_energy, &weighed, 1e-12);
}
