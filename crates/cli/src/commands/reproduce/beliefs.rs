//! Reproductions about belief nets: causes that explain each other away, and digits by wake-sleep.

use anyhow::{Context, Result};
use candle_boltzmann::MarkovField;
use candle_boltzmann::belief::BeliefNet;
use candle_boltzmann::belief::learning::{BeliefLearner, BeliefLearning, BeliefMethod};
use candle_core::{Device, Tensor};
use candle_dbn::data::{self, Binarise, ReadOptions};
use candle_dbn::viz::{Mark, Plot, Series};
use rbm_core::learning::train::{Command, EpochMetrics, Step};
use rbm_core::learning::trainer::Pass;
use rbm_core::model::ConditionalLayer;
use rbm_core::stats::mean_and_error;
use rbm_core::{Observer, Rng};

use super::machines::{Looking, MachineExperiment, MachineResult, Row};
use crate::interrupt;
use crate::interrupt::Interrupted;

/// All of them.
pub const KNOWN: &[MachineExperiment] = &[
    MachineExperiment {
        name: "house",
        what: "explaining away: posteriors of two causes of a house that jumps, of a burglar alarm, and of an examination",
        theirs: "exact, by hand",
        takes: "a second",
        run: house,
    },
    MachineExperiment {
        name: "belief",
        what: "log p(v) of MNIST's test cases under belief nets of 200-200-200, from below, by wake-sleep and reweighted",
        theirs: "-102.2 (wake-sleep), -96.7 (NVIL): Mnih and Gregor 2014",
        takes: "40 minutes",
        run: belief,
    },
];

/// log p of the biases −10 of truck and earthquake, and −20 of the jump; weights of 20.
fn house(looking: &mut Looking) -> Result<MachineResult> {
    looking.at(0, 1)?;
    let tensor = |x: &[f64], shape: (usize, usize)| Tensor::from_slice(x, shape, &Device::Cpu);
    let biases = |x: &[f64]| Tensor::new(x, &Device::Cpu);
    let jump = ConditionalLayer::bernoulli(&tensor(&[20.0, 20.0], (2, 1))?, &biases(&[-20.0])?)?;
    let net = BeliefNet::new(vec![jump], &biases(&[-10.0, -10.0])?)?;
    let counted = net.counted(&tensor(&[1.0], (1, 1))?)?;
    let log_p = counted.log_probability.to_vec1::<f64>()?[0];
    let hidden = net.hidden_configurations()?;
    let all = [vec![tensor(&[1.0; 4], (4, 1))?], hidden].concat();
    let joint = net.log_joint(&all)?.to_vec1::<f64>()?;
    let posterior: Vec<f64> = joint.iter().map(|joint| (joint - log_p).exp()).collect();
    let quake = posterior[2] + posterior[3];
    let row = |what: &str, ours: f64, known: f64| Row {
        what: what.into(),
        ours,
        error: None,
        known,
        notes: Vec::new(),
    };
    let mut rows = vec![
        row("P(truck | jump)", posterior[1] + posterior[3], 0.5),
        row("P(truck, no earthquake | jump)", posterior[1], 0.4999546042),
        row("P(truck, earthquake | jump)", posterior[3], 4.539580774e-5),
        row("P(truck | jump, earthquake)", posterior[3] / quake, 9.0791615e-5),
    ];
    let alarm = MarkovField::of_potentials(
        &[2; 5],
        &[
            (&[0], &[0.999, 0.001]),
            (&[1], &[0.998, 0.002]),
            (&[0, 1, 2], &[0.999, 0.001, 0.71, 0.29, 0.06, 0.94, 0.05, 0.95]),
            (&[2, 3], &[0.95, 0.05, 0.1, 0.9]),
            (&[2, 4], &[0.99, 0.01, 0.3, 0.7]),
        ],
    )?;
    let of = |field: &MarkovField, variable: usize, given: &[(usize, usize)]| -> Result<f64> {
        Ok(field.infer(1.0, given)?.marginals[variable][1])
    };
    rows.push(row("P(burglary | alarm)", of(&alarm, 0, &[(2, 1)])?, 0.3735512283));
    let with_quake = of(&alarm, 0, &[(2, 1), (1, 1)])?;
    rows.push(row("P(burglary | alarm, earthquake)", with_quake, 0.0032684236));
    let examination = MarkovField::of_potentials(
        &[2; 3],
        &[
            (&[0], &[0.8, 0.2]),
            (&[1], &[0.9, 0.1]),
            (&[0, 1, 2], &[0.999, 0.001, 0.7, 0.3, 0.8, 0.2, 0.4, 0.6]),
        ],
    )?;
    rows.push(row("P(smart | full marks)", of(&examination, 1, &[(2, 1)])?, 0.4950495050));
    let easy = of(&examination, 1, &[(2, 1), (0, 1)])?;
    rows.push(row("P(smart | full marks, easy)", easy, 0.25));
    let hard = of(&examination, 1, &[(2, 1), (0, 0)])?;
    rows.push(row("P(smart | full marks, hard)", hard, 0.9708737864));
    let farthest = rows.iter().map(|row| (row.ours - row.known).abs()).fold(0.0, f64::max);
    // Of the effect alone, and where the other cause is known too.
    let falls = |name: &str, [alone, beside]: [usize; 2]| {
        Series::new(name, Mark::Points, vec![(0.0, rows[alone].ours), (1.0, rows[beside].ours)])
    };
    let panels = vec![Plot {
        title: "Explaining away".into(),
        x: "other causes that are known".into(),
        y: "probability of a cause, given the effect".into(),
        is_log_x: false,
        y_range: Some((0.0, 0.6)),
        series: vec![
            falls("truck (house)", [0, 3]),
            falls("burglary (alarm)", [4, 5]),
            falls("smart (full marks)", [6, 7]),
        ],
    }];
    let verdict = format!("the farthest is {farthest:.0e} away from the exact one");
    Ok(MachineResult { header: &["posterior", "ours", "exact"], rows, panels, verdict })
}

/// Test cases are binarised once (Salakhutdinov and Murray 2008). So is what wake-sleep learns from; reweighted, pixels are drawn anew at every turn.
fn belief(looking: &mut Looking) -> Result<MachineResult> {
    const SAMPLES: usize = 1000;
    let folder = looking.data.clone().context("belief: name the folder of MNIST with --data")?;
    let options = ReadOptions { binarise: Some(Binarise::Sample(0)), ..ReadOptions::default() };
    let dataset = data::load(&folder, &options)?;
    let test = dataset.held_out.context("belief: expected a folder with test cases")?;
    let test = test.cases.tensor()?;
    let bits = dataset.train.cases.tensor()?;
    let grey = data::load(&folder, &ReadOptions::default())?.train.cases.tensor()?;
    let plans = [
        ("wake-sleep", (BeliefMethod::WakeSleep, Pass::Mean), &bits, 150, -102.2),
        (
            "reweighted wake-sleep, 5 samples",
            (BeliefMethod::Reweighted, Pass::Sample),
            &grey,
            110,
            f64::NAN,
        ),
    ];
    let of: usize = plans.iter().map(|(.., epochs, _)| epochs).sum();
    let (mut rows, mut series, mut done) = (Vec::new(), Vec::new(), 0);
    for (name, (method, pass), cases, epochs, known) in plans {
        let learning = BeliefLearning {
            pass,
            epochs,
            batch_size: 100,
            learning_rate: 0.003,
            seed: looking.seed,
            ..BeliefLearning::of(method)
        };
        let mut learner = BeliefLearner::new(&[200, 200, 200], learning, cases)?;
        let mut watcher = TrainingCurve { looking, done, of, points: Vec::new() };
        let stopped = || Interrupted("nothing was written".to_owned());
        if learner.fit(cases, &mut watcher)?.is_break() {
            return Err(stopped().into());
        }
        series.push(Series::new(name, Mark::Line, watcher.points));
        done += epochs;
        let mut rng = Rng::new(looking.seed);
        let machine = learner.machine();
        let found = machine
            .importance_weighted(&test, SAMPLES, &mut rng, |_| !interrupt::is_requested())?;
        if interrupt::is_requested() {
            return Err(stopped().into());
        }
        let (ours, error) = mean_and_error(&found);
        rows.push(Row {
            what: name.into(),
            ours,
            error: Some(error),
            known,
            notes: vec![epochs.to_string()],
        });
    }
    let panels = vec![Plot {
        title: "Belief nets of 200-200-200 on binarised MNIST".into(),
        x: "epochs".into(),
        y: "log p(v) of training cases, from below (nats)".into(),
        is_log_x: false,
        y_range: None,
        series,
    }];
    let verdict = "one-sided: in expectation lower bounds on log p(v); theirs is of other bits, after another number of updates".to_owned();
    let header = &["belief net of 200-200-200", "log p(v) at least", "theirs", "epochs"];
    Ok(MachineResult { header, rows, panels, verdict })
}

/// Keeps the curve of a training, and stops it.
struct TrainingCurve<'a> {
    looking: &'a Looking,
    done: usize,
    of: usize,
    points: Vec<(f64, f64)>,
}

impl Observer for TrainingCurve<'_> {
    fn step(&mut self, _: &Step) -> rbm_core::Result<Command> {
        Ok(if interrupt::is_requested() { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> rbm_core::Result<()> {
        self.looking.show(self.done + metrics.epoch, self.of);
        self.points.extend(metrics.importance_weighted.map(|y| (metrics.epoch as f64, y)));
        Ok(())
    }
}
