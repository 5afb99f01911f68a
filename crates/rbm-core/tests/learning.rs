//! Whole trainings on a problem whose answer is known: 3×3 bars and stripes, 14 patterns, at best −log 14 a pattern.
//!
//! What they would catch: anything that lets a machine learn less than it can, from the sign of a momentum to a
//! schedule that is not applied; a divergence that goes unnoticed; a monitor that moves what it looks at.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bernoulli, matrix, parameter_bits, patterns};
use rbm_core::estimate::log_likelihood;
use rbm_core::estimate::monitor::{self, Monitor};
use rbm_core::learning::schedule::{Curve, Per};
use rbm_core::learning::train::{Cursor, EpochMetrics, Observer};
use rbm_core::learning::trainer::{Plan, Shuffled};
use rbm_core::learning::transform::Centre;
use rbm_core::model::init::Init;
use rbm_core::ops::Ascent;
use rbm_core::{
    Adam, ContrastiveDivergence, Error, Exact, FastPersistent, MeanField, NegativePhase, Optimizer,
    ParallelTrajectory, Persistent, Rbm, Result, Rng, Schedule, Sgd, State, Stateful,
    TemperedPersistent, Trainer, Units,
};

/// The 14 distinct patterns of 3×3 bars and stripes.
fn bars_and_stripes() -> Tensor {
    let lines = || common::binary(3).into_iter();
    let bars = lines().map(|line| line.iter().flat_map(|x| [*x; 3]).collect());
    let stripes = lines().map(|line| line.repeat(3));
    let mut all: Vec<Vec<f64>> = bars.chain(stripes).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.dedup();
    assert_eq!(all.len(), 14);
    matrix(&all, DType::F32)
}

/// A machine of ten hidden units before learning.
fn new_machine(cases: &Tensor) -> Rbm {
    let rbm = Rbm::bernoulli(cases, 10, &mut Rng::new(1)).unwrap();
    Init { weight_deviation: 0.1, hidden_bias: 0.0 }.draw_weights(&rbm, &mut Rng::new(2)).unwrap();
    rbm
}

fn fit<N: NegativePhase, O: Optimizer>(
    rbm: &Rbm,
    cases: &Tensor,
    trainer: &mut Trainer<N, O>,
    (epochs, rate): (usize, f64),
) -> Result<Rng> {
    let source = Shuffled { cases, batch_size: 14, shuffle: Rng::new(3) };
    let plan = Plan {
        epochs,
        learning_rate: Schedule::linear(rate, rate / 10.0),
        momentum: 0.5.into(),
        steps: 1.0.into(),
    };
    let mut rng = Rng::new(4);
    let _ = trainer.fit(rbm, &source, &plan, &mut Cursor::default(), &mut rng, &mut ())?;
    Ok(rng)
}

/// Nothing is sampled here: the gap to the best possible is what 1500 steps have left of it.
#[test]
fn exact_learning_reaches_the_best_possible() {
    let cases = bars_and_stripes();
    let rbm = new_machine(&cases);
    fit(&rbm, &cases, &mut Trainer::new(Exact, Adam::new(0.0)), (1500, 0.05)).unwrap();
    let (found, best) = (log_likelihood(&rbm, &cases).unwrap(), -(14f64.ln()));
    assert!(found > best - 0.05, "{found}, at best {best}");
    assert!(found < best + 1e-5, "{found} is better than possible: log Z is wrong");
}

#[test]
fn samples_are_enough_to_learn_from() {
    let cases = bars_and_stripes();
    let before = log_likelihood(&new_machine(&cases), &cases).unwrap();
    // Base rates alone: nine pixels of a half each.
    assert_close("before", &[before], &[-9.0 * 2f64.ln()], 0.05);
    let learned = |negative: Box<dyn NegativePhase>| {
        let rbm = new_machine(&cases);
        fit(&rbm, &cases, &mut Trainer::new(negative, Sgd::new(0.0)), (3000, 0.1)).unwrap();
        log_likelihood(&rbm, &cases).unwrap()
    };
    let cd = learned(Box::new(ContrastiveDivergence::new(1)));
    let pcd = learned(Box::new(Persistent::new(1, 100)));
    let fast = learned(Box::new(FastPersistent::new(1, 100, 0.05)));
    let mean_field = learned(Box::new(MeanField::new(1)));
    let tempered = learned(Box::new(TemperedPersistent::new(1, 50, None)));
    let trajectory = learned(Box::new(ParallelTrajectory::new(1, 50)));
    // All are biased or noisy, and must still win half of what there is to win.
    let half = (before - 14f64.ln()) / 2.0;
    for (name, after) in [
        ("CD-1", cd),
        ("PCD-1", pcd),
        ("FPCD-1", fast),
        ("mean-field", mean_field),
        ("tempering", tempered),
        ("trajectory", trajectory),
    ] {
        assert!(after > half, "from {before} to {after} with {name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_machine() {
    let cases = bars_and_stripes();
    let run = || {
        let rbm = new_machine(&cases);
        let mut trainer = Trainer::new(Persistent::new(1, 20), Sgd::new(0.0));
        let rng = fit(&rbm, &cases, &mut trainer, (20, 0.1)).unwrap();
        (parameter_bits(&rbm), rng)
    };
    assert_eq!(run(), run());
}

#[test]
fn divergence_is_an_error_and_not_a_panic() {
    let cases = common::normal(100, 6, DType::F32, 5);
    for visible in [Units::gaussian(6), "gaussian-learned:6".parse().unwrap()] {
        let rbm = Rbm::new(&visible, &Units::bernoulli(4), DType::F32, &Device::Cpu).unwrap();
        Init::default().apply(&rbm, &cases, &mut Rng::new(6)).unwrap();
        let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.0));
        let error = fit(&rbm, &cases, &mut trainer, (50, 1e4)).unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }), "{error}");
        assert!(error.to_string().contains("learning rate"), "{error}");
    }
}

#[test]
fn no_cases_are_an_error() {
    let none = Tensor::zeros((0, 9), DType::F32, &Device::Cpu).unwrap();
    let rbm = new_machine(&bars_and_stripes());
    let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.0));
    assert!(matches!(fit(&rbm, &none, &mut trainer, (1, 0.1)), Err(Error::Invalid { .. })));
}

/// Visible biases say 1 for unit 0 and 0 for unit 1; hidden biases switch unit 0 off, unit 1 on, and unit 2 half.
#[test]
fn a_report_is_what_it_says_and_moves_nothing() {
    let weights = [vec![0.0, 0.0, -0.5], vec![0.0, 0.0, 0.25]];
    let rbm = bernoulli(&weights, &[3.0, -3.0], &[-9.0, 9.0, 0.0], DType::F32);
    let rng = Rng::new(7);
    let (likely, unlikely) = (patterns("10 10", DType::F32), patterns("01", DType::F32));
    let before = parameter_bits(&rbm);
    let monitor = |train: &Tensor, held_out: &Tensor| {
        let held_out = Some(held_out.clone());
        Monitor { train: train.clone(), held_out, rng }.report(&rbm).unwrap()
    };
    let report = monitor(&likely, &unlikely);
    assert_eq!((report.dead_units, report.stuck_units), (1, 1));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mean = [sigmoid(-9.0), sigmoid(9.0), sigmoid(-0.5)];
    let close = |what, found: f64, expected: f64| assert_close(what, &[found], &[expected], 1e-6);
    close("activity", report.hidden_activity, mean.iter().sum::<f64>() / 3.0);
    close("mean |W|", report.mean_weight, 0.75 / 6.0);
    let back = [sigmoid(3.0 - 0.5 * mean[2]), sigmoid(-3.0 + 0.25 * mean[2])];
    let error = ((1.0 - back[0]).powi(2) + back[1].powi(2)) / 2.0;
    close("reconstruction", report.reconstruction_error, error);
    // F(01) − F(10): what the machine finds less likely has the higher free energy.
    let softplus = |x: f64| x.exp().ln_1p();
    close("gap", report.free_energy_gap.unwrap(), 6.0 + softplus(-0.5) - softplus(0.25));
    close(
        "gap",
        monitor(&unlikely, &likely).free_energy_gap.unwrap(),
        -report.free_energy_gap.unwrap(),
    );
    assert!(
        report.pseudo_likelihood.unwrap() > monitor(&unlikely, &likely).pseudo_likelihood.unwrap()
    );
    assert_eq!(monitor(&likely, &unlikely), report, "the same cases, the same numbers");
    assert_eq!((parameter_bits(&rbm), rng), (before, Rng::new(7)));
}

/// Numbers that are still finite, and a machine that means nothing; then one that has learned nothing.
#[test]
fn a_report_tells_divergence_from_bad_learning() {
    let train = patterns("10 10 01 00", DType::F32);
    let report = |weights: &[Vec<f64>]| {
        let rbm = bernoulli(weights, &[0.0, 0.0], &[0.0; 4], DType::F32);
        let report = Monitor { train: train.clone(), held_out: None, rng: Rng::new(3) };
        (report.report(&rbm).unwrap(), rbm)
    };
    let (healthy, rbm) = report(&[vec![0.1; 4], vec![-0.1; 4]]);
    // Half of the cases have unit 0 on, a quarter unit 1.
    assert_close("means", &[healthy.means_error], &[(0.25 + 0.1875) / 2.0], 1e-6);
    let none: [Tensor; 0] = [];
    healthy.check(&rbm, &none).unwrap();
    let hidden = rbm.hidden().units();
    assert!(healthy.warnings(&Units::bernoulli(4)).len() < 2, "{healthy:?}");

    for (name, broken) in [
        ("reconstruction", monitor::Report { reconstruction_error: 1e5, ..healthy.clone() }),
        ("pseudo", monitor::Report { pseudo_likelihood: Some(-1e6), ..healthy.clone() }),
        ("energy", monitor::Report { free_energy: f64::NAN, ..healthy.clone() }),
        ("gap", monitor::Report { free_energy_gap: Some(-1e12), ..healthy.clone() }),
    ] {
        let error = broken.check(&rbm, &none).unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let far = [matrix(&[vec![1e9, 0.0]], DType::F32)];
    assert!(healthy.check(&rbm, &far).unwrap_err().to_string().contains("fantasies"));

    let bad = monitor::Report { dead_units: 3, reconstruction_error: 0.5, ..healthy };
    let warnings = bad.warnings(&hidden);
    assert!(warnings[0].contains("3 of 4 hidden units are dead"), "{warnings:?}");
    assert!(warnings[1].contains("worse than the columns' means"), "{warnings:?}");
}

/// Watching a training does not change it.
#[test]
fn a_report_after_every_epoch_changes_nothing() {
    /// Looks at the machine after every epoch.
    struct Reports<'a>(&'a Monitor, &'a Rbm, usize);

    impl Observer for Reports<'_> {
        fn epoch(&mut self, _: &EpochMetrics) -> Result<()> {
            self.0.report(self.1)?;
            self.2 += 1;
            Ok(())
        }
    }

    let cases = bars_and_stripes();
    let monitor = Monitor { train: cases.clone(), held_out: Some(cases.clone()), rng: Rng::new(8) };
    let run = |rbm: &Rbm, observer: &mut dyn Observer| {
        let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.0));
        let source = Shuffled { cases: &cases, batch_size: 5, shuffle: Rng::new(3) };
        let constant = |value: f64| Schedule::Constant(value);
        let plan = Plan {
            epochs: 4,
            learning_rate: constant(0.1),
            momentum: constant(0.5),
            steps: constant(1.0),
        };
        let mut rng = Rng::new(9);
        let _ =
            trainer.fit(rbm, &source, &plan, &mut Cursor::default(), &mut rng, observer).unwrap();
        (parameter_bits(rbm), rng)
    };
    let (watched, alone) = (new_machine(&cases), new_machine(&cases));
    let mut reports = Reports(&monitor, &watched, 0);
    assert_eq!(run(&watched, &mut reports), run(&alone, &mut ()));
    assert_eq!(reports.2, 4);
}

#[test]
fn moments_and_first_biases_are_the_datas() {
    let cases =
        matrix(&[vec![0.0, 1.0, 2.0], vec![0.0, 1.0, 4.0], vec![0.0, 1.0, 9.0]], DType::F32);
    let (mean, variance) = rbm_core::model::init::moments(&cases).unwrap();
    assert_close("mean", &common::flat(&mean), &[0.0, 1.0, 5.0], 1e-6);
    assert_close("variance", &common::flat(&variance), &[0.0, 0.0, 26.0 / 3.0], 1e-6);
    // 1e4 ± 1: E[x²] − E[x]² would be lost in the rounding of 1e8.
    let far = (common::normal(5000, 1, DType::F32, 10) + 1e4).unwrap();
    let (_, variance) = rbm_core::model::init::moments(&far).unwrap();
    assert!((common::flat(&variance)[0] - 1.0).abs() < 4.0 * (2.0f64 / 5000.0).sqrt());
}

#[test]
fn check_names_what_is_wrong() {
    let rbm = bernoulli(&[vec![0.0], vec![0.0]], &[0.0; 2], &[0.0], DType::F32);
    assert!(monitor::check(&rbm).is_ok());
    rbm.hidden().vars()[0].1.set(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap();
    assert!(monitor::check(&rbm).unwrap_err().to_string().contains("hidden_bias"));
    let rbm = bernoulli(&[vec![1e4], vec![1e4]], &[0.0; 2], &[0.0], DType::F32);
    assert!(monitor::check(&rbm).unwrap_err().to_string().contains("weight"));
}

/// Every source of fantasies, with momentum and moving offsets, taken up again after every step by a trainer that knows
/// nothing but the state: to the bit the same machine.
#[test]
fn learning_is_taken_up_again_at_any_step() {
    let cases = bars_and_stripes();
    let kinds: [fn() -> Box<dyn NegativePhase>; 7] = [
        || Box::new(ContrastiveDivergence::new(2)),
        || Box::new(Persistent::new(1, 20)),
        || Box::new(FastPersistent::new(1, 20, 0.05)),
        || Box::new(MeanField::new(2)),
        || Box::new(TemperedPersistent::new(1, 20, 4)),
        || Box::new(TemperedPersistent::new(20, None, None)),
        || Box::new(ParallelTrajectory::new(2, 10)),
    ];
    for (i, kind) in kinds.into_iter().enumerate() {
        let new = || {
            let mut trainer = Trainer::new(kind(), Sgd { momentum: 0.5, ..Sgd::new(0.1) });
            trainer.transforms.push(Box::new(Centre::new(0.1)));
            trainer
        };
        let learn = |stop: bool| {
            let (rbm, mut rng, mut trainer) = (new_machine(&cases), Rng::new(8), new());
            for _ in 0..12 {
                trainer.step(&rbm, &cases, &mut rng).unwrap();
                if stop {
                    let state: State =
                        trainer.state().into_iter().map(|(k, v)| (k, v.copy().unwrap())).collect();
                    trainer = new();
                    trainer.restore(&state).unwrap();
                }
            }
            (parameter_bits(&rbm), rng)
        };
        assert!(learn(true) == learn(false), "negative phase {i}");
    }
}

/// An optimiser that moves nothing and keeps the rates of its steps.
#[derive(Default)]
struct RatesAlone {
    now: (f64, f64),
    all: Vec<(f64, f64)>,
}

impl Stateful for RatesAlone {}

impl Optimizer for RatesAlone {
    fn ascend(&mut self, _: &[&Var], _: &[Ascent]) -> Result<()> {
        self.all.push(self.now);
        Ok(())
    }

    fn set_rates(&mut self, learning_rate: f64, momentum: f64) {
        self.now = (learning_rate, momentum);
    }

    fn forget(&mut self) {}
}

/// Rates that change at every update do so whether a training begins at the beginning or in the middle of an epoch.
#[test]
fn rates_change_from_update_to_update() {
    let cases = bars_and_stripes();
    let rates_from = |cursor: Cursor| {
        let mut trainer = Trainer::new(ContrastiveDivergence::new(1), RatesAlone::default());
        let source = Shuffled { cases: &cases, batch_size: 7, shuffle: Rng::new(3) };
        let falls = |from, to| Schedule::Ramp { from, to, curve: Curve::Linear, per: Per::Update };
        let plan = Plan {
            epochs: 2,
            learning_rate: falls(1.0, 0.0),
            momentum: falls(0.5, 0.9),
            steps: 1.0.into(),
        };
        let (mut cursor, mut rng) = (cursor, Rng::new(4));
        let _ = trainer
            .fit(&new_machine(&cases), &source, &plan, &mut cursor, &mut rng, &mut ())
            .unwrap();
        trainer.optimizer.all
    };
    let all = rates_from(Cursor::default());
    let learning_rates: Vec<f64> = all.iter().map(|rates| rates.0).collect();
    assert_eq!(learning_rates, [1.0, 0.75, 0.5, 0.25]);
    let known = [0.5, 0.6, 0.7, 0.8];
    assert!(all.iter().zip(known).all(|(rates, known)| (rates.1 - known).abs() < 1e-12), "{all:?}");
    assert_eq!(rates_from(Cursor { epoch: 0, batch: 1 }), all[1..]);
}
