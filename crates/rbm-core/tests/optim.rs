//! The laws of optimisers, and of everything that has a memory: saved, restored and continued is never stopped.
//!
//! What they would catch: a momentum applied before the step, a descent, a missing bias correction; memory that is
//! forgotten, shared with the living or restored to the wrong parameter; a missing tensor taken for an empty one.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bits, flat, machine, parameter_bits};
use rbm_core::learning::train::{Command, Cursor, Observer, Step};
use rbm_core::learning::trainer::{Plan, Shuffled};
use rbm_core::learning::transform::{Clip, Sparsity, WeightDecay};
use rbm_core::{
    Adam, Checkpoint, NegativePhase, Optimizer, Persistent, Phase, Rbm, Result, Rng, Schedule, Sgd,
    State, Stateful, Trainer, ops,
};

fn vector(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// Three steps of the gradients (1, −2), (3, 0), (−1, 4) from (10, 20).
fn three_steps(optimizer: &mut dyn Optimizer) -> Vec<Vec<f64>> {
    let parameter = Var::from_tensor(&vector(&[10.0, 20.0])).unwrap();
    let steps = [[1.0, -2.0], [3.0, 0.0], [-1.0, 4.0]];
    let after = steps.map(|gradient| {
        optimizer.ascend(&[&parameter], &[vector(&gradient).into()]).unwrap();
        flat(&parameter)
    });
    after.to_vec()
}

/// Δ ← Δ/2 + gradient/4. By hand: Δ = (1/4, −1/2), (7/8, −1/4), (3/16, 7/8); powers of two, so there is no rounding.
#[test]
fn momentum_by_hand() {
    let mut sgd = Sgd { momentum: 0.5, ..Sgd::new(0.25) };
    let expected = [[10.25, 19.5], [11.125, 19.25], [11.3125, 20.125]];
    assert_eq!(three_steps(&mut sgd), expected);
    let mut plain = Sgd::new(0.25);
    assert_eq!(three_steps(&mut plain), [[10.25, 19.5], [11.0, 19.5], [10.75, 20.5]]);
    let mut set = Sgd::new(9.0);
    set.set_rates(0.25, 0.5);
    assert_eq!(three_steps(&mut set), expected);
}

/// Algorithm 1 of Kingma and Ba, with the sign of ascent, one number at a time. Its first step is the learning rate
/// itself, whatever the gradient.
#[test]
fn adam_by_hand() {
    let (rate, b1, b2, epsilon) = (0.1, 0.9f64, 0.999f64, 1e-8);
    let by_hand = |start: f64, gradients: [f64; 3]| {
        let (mut x, mut m, mut v) = (start, 0.0, 0.0);
        let step = |(t, g): (i32, f64)| {
            m = b1 * m + (1.0 - b1) * g;
            v = b2 * v + (1.0 - b2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - b1.powi(t)), v / (1.0 - b2.powi(t)));
            x += rate * m_hat / (f64::sqrt(v_hat) + epsilon);
            x
        };
        (1..).zip(gradients).map(step).collect::<Vec<_>>()
    };
    let expected = [by_hand(10.0, [1.0, 3.0, -1.0]), by_hand(20.0, [-2.0, 0.0, 4.0])];
    let found = three_steps(&mut Adam::new(rate));
    for (unit, expected) in expected.iter().enumerate() {
        let found: Vec<_> = found.iter().map(|x| x[unit]).collect();
        assert_close("Adam", &found, expected, 1e-14);
    }
    assert_close("first step", &found[0], &[10.1, 19.9], 1e-9);
}

/// The memory as it would come back from a file.
fn saved(memory: &dyn Stateful) -> State {
    memory.state().into_iter().map(|(name, tensor)| (name, tensor.copy().unwrap())).collect()
}

/// Ten steps, and ten steps with a new optimiser after each, give the same bits.
fn continues<O: Optimizer>(new: impl Fn() -> O) {
    let gradients = |step: u64| {
        [common::normal(3, 4, DType::F32, step), common::normal(1, 5, DType::F32, step)]
    };
    let run = |stopping: bool| {
        let parameters = gradients(99).map(|x| Var::from_tensor(&x).unwrap());
        let mut optimizer = new();
        for step in 0..10 {
            if stopping {
                let memory = saved(&optimizer);
                optimizer = new();
                optimizer.restore(&memory).unwrap();
            }
            let gradients = gradients(step);
            let parameters: Vec<_> = parameters.iter().collect();
            optimizer.ascend(&parameters, &gradients.map(Into::into)).unwrap();
        }
        parameters.map(|x| bits(&x))
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn optimisers_continue_as_if_never_stopped() {
    continues(|| Sgd { momentum: 0.9, ..Sgd::new(0.1) });
    continues(|| Adam::new(0.1));
    continues(|| -> Box<dyn Optimizer> { Box::new(Sgd { momentum: 0.9, ..Sgd::new(0.1) }) });
}

/// What is put back does not share memory with what it was taken from.
#[test]
fn a_restored_memory_is_a_copy() {
    let mut first = Sgd { momentum: 0.9, ..Sgd::new(0.1) };
    three_steps(&mut first);
    let mut second = Sgd::new(0.1);
    second.restore(&first.state()).unwrap();
    let before = bits(&second.velocity[0]);
    three_steps(&mut first);
    assert_eq!(bits(&second.velocity[0]), before);
}

fn names_the_missing(memory: &mut dyn Stateful, state: &State, name: &str) {
    let mut state = state.clone();
    state.remove(name).unwrap();
    let message = memory.restore(&state).unwrap_err().to_string();
    assert!(message.contains(name.trim_start_matches("optimizer.")), "{name}: {message}");
}

#[test]
fn a_missing_tensor_is_an_error_that_names_it() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 1);
    let cases = common::matrix(&common::binary(4), DType::F32);
    let mut rng = Rng::new(2);
    let mut sgd = Trainer::new(Persistent::new(1, 5), Sgd::new(0.1));
    sgd.step(&rbm, &cases, &mut rng).unwrap();
    let state = sgd.state();
    names_the_missing(&mut sgd, &state, "optimizer.velocity.0");
    let mut adam = Trainer::new(Persistent::new(1, 5), Adam::new(0.1));
    adam.step(&rbm, &cases, &mut rng).unwrap();
    let state = adam.state();
    for name in ["steps", "first.0", "second.1"] {
        names_the_missing(&mut adam, &state, &format!("optimizer.{name}"));
    }
}

/// A parameter too many or of another shape is refused and not left out.
#[test]
fn a_gradient_of_another_shape_is_an_error() {
    let parameter = Var::from_tensor(&vector(&[1.0, 2.0])).unwrap();
    let wrong = vector(&[1.0, 2.0, 3.0]);
    assert!(Sgd::new(0.1).ascend(&[&parameter], &[wrong.clone().into()]).is_err());
    assert!(Adam::new(0.1).ascend(&[&parameter], &[wrong.clone().into()]).is_err());
    assert_eq!(flat(&parameter), [1.0, 2.0]);
}

/// Chains that are taken out and put back go on as the same chains.
#[test]
fn persistent_chains_continue() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 3);
    let cases = common::matrix(&common::binary(4), DType::F32);
    let positive = Phase::of(&rbm, &cases).unwrap();
    let run = |stopping: bool| {
        let (mut chains, mut rng) = (Persistent::new(2, 7), Rng::new(4));
        let mut all = Vec::new();
        for _ in 0..5 {
            if stopping {
                let memory = saved(&chains);
                chains = Persistent::new(2, 7);
                chains.restore(&memory).unwrap();
            }
            let fantasy = chains.fantasy(&rbm, &positive, &mut rng).unwrap();
            assert_eq!(fantasy.visible.dims(), [7, 4]);
            all.push(bits(&fantasy.visible));
        }
        all
    };
    assert_eq!(run(true), run(false));
}

/// Writes everything to a file and stops after so many steps.
struct StopAfter {
    steps: usize,
    path: PathBuf,
}

impl Observer for StopAfter {
    fn step(&mut self, _: &Step) -> Result<Command> {
        self.steps -= 1;
        Ok(if self.steps > 0 { Command::Continue } else { Command::Stop })
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(&self.path)
    }
}

fn trainer(optimizer: Box<dyn Optimizer>) -> Trainer<Persistent, Box<dyn Optimizer>> {
    let mut trainer = Trainer::new(Persistent::new(1, 5), optimizer);
    trainer.transforms = vec![
        Box::new(WeightDecay { l1: 1e-3, l2: 1e-2 }),
        Box::new(Sparsity::new(0.1, 0.5)),
        Box::new(Clip::new(0.7).unwrap()),
    ];
    trainer
}

/// Three epochs of four mini-batches, with everything that has a memory and every rate on a schedule.
fn learn(
    rbm: &Rbm,
    trainer: &mut Trainer<Persistent, Box<dyn Optimizer>>,
    (cursor, rng): (&mut Cursor, &mut Rng),
    observer: &mut dyn Observer,
) -> ControlFlow<()> {
    let cases = common::normal(14, 6, DType::F32, 5).ge(0.0).unwrap().to_dtype(DType::F32).unwrap();
    let source = Shuffled { cases: &cases, batch_size: 4, shuffle: Rng::new(6) };
    let plan = Plan {
        epochs: 3,
        learning_rate: Schedule::Steps(vec![(0, 0.1), (1, 0.05)]),
        momentum: Schedule::Steps(vec![(0, 0.5), (2, 0.9)]),
        steps: Schedule::Steps(vec![(0, 1.0), (2, 2.0)]),
    };
    trainer.fit(rbm, &source, &plan, cursor, rng, observer).unwrap()
}

/// Stopped after each of its twelve steps, carried through a file into new objects and continued, a training ends with
/// the same parameters, memory, generator and position as one that never stopped.
#[test]
fn a_whole_training_continues_as_if_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let optimizers: [fn() -> Box<dyn Optimizer>; 2] =
        [|| Box::new(Sgd::new(0.1)), || Box::new(Adam::new(0.1))];
    for optimizer in optimizers {
        let new = || machine("gaussian-learned:6", "bernoulli:3", DType::F32, 8);
        let (rbm, mut whole) = (new(), trainer(optimizer()));
        let (mut end, mut last) = (Cursor::default(), Rng::new(7));
        assert!(learn(&rbm, &mut whole, (&mut end, &mut last), &mut ()).is_continue());
        assert_eq!(end, Cursor { epoch: 3, batch: 0 });
        for steps in 1..=12 {
            let mut observer = StopAfter { steps, path: path.clone() };
            let place = (&mut Cursor::default(), &mut Rng::new(7));
            let stopped = learn(&new(), &mut trainer(optimizer()), place, &mut observer);
            assert!(stopped.is_break());
            let (twin, mut rest) =
                (machine("gaussian-learned:6", "bernoulli:3", DType::F32, 0), trainer(optimizer()));
            let checkpoint = Checkpoint::load(&path, &Device::Cpu).unwrap();
            let (mut cursor, mut rng) = rest.resume(&twin, checkpoint).unwrap();
            let _ = learn(&twin, &mut rest, (&mut cursor, &mut rng), &mut ());
            assert_eq!(parameter_bits(&twin), parameter_bits(&rbm), "stopped after {steps}");
            assert_eq!((cursor, rng), (end, last), "stopped after {steps}");
            let all = |trainer: &dyn Stateful| -> Vec<_> {
                trainer.state().into_iter().map(|(name, x)| (name, bits(&x))).collect()
            };
            assert_eq!(all(&rest), all(&whole), "stopped after {steps}");
        }
    }
}

/// The in-place updates are what they say, and refuse shapes that differ.
#[test]
fn updates_in_place_by_hand() {
    let (x, y) = (vector(&[1.0, 2.0, 3.0]), vector(&[4.0, 0.0, -8.0]));
    ops::add_scaled(&x, &y, 0.5).unwrap();
    assert_eq!(flat(&x), [3.0, 2.0, -1.0]);
    ops::add_sign_scaled(&x, &y, 0.5).unwrap();
    assert_eq!(flat(&x), [3.5, 2.0, -1.5]);
    assert!(ops::add_scaled(&x, &vector(&[1.0]), 1.0).is_err());
    assert!(ops::add_scaled(&x, &y.to_dtype(DType::F32).unwrap(), 1.0).is_err());
}

/// A checkpoint that has lost its last tensor must not leave a parameter untrained in silence.
#[test]
fn a_missing_last_tensor_is_an_error() {
    let rbm = machine("bernoulli:4", "bernoulli:3", DType::F32, 1);
    let cases = common::matrix(&common::binary(4), DType::F32);
    let optimizers: [(Box<dyn Optimizer>, &str); 2] =
        [(Box::new(Sgd::new(0.1)), "velocity.2"), (Box::new(Adam::new(0.1)), "second.2")];
    for (optimizer, name) in optimizers {
        let mut trainer = Trainer::new(Persistent::new(1, 5), optimizer);
        trainer.step(&rbm, &cases, &mut Rng::new(2)).unwrap();
        let mut state = trainer.state();
        state.remove(&format!("optimizer.{name}")).unwrap();
        let refused =
            trainer.restore(&state).and_then(|()| trainer.step(&rbm, &cases, &mut Rng::new(2)));
        assert!(refused.is_err(), "{name}");
    }
}
