//! One machine a class on the embedded digits: each learns its own class by persistent chains, then the offsets in the place of
//! their log Z are learned from the classes (Practical Guide §16).
//!
//! ```sh
//! cargo run --release --example per_class
//! ```

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use candle_dbn::{PerClass, data};
use rbm_core::learning::train::Cursor;
use rbm_core::learning::trainer::{Plan, Shuffled};
use rbm_core::learning::transform::{Centre, WeightDecay};
use rbm_core::model::init::Init;
use rbm_core::{Persistent, Rbm, Rng, Schedule, Sgd, Trainer, Units};

const HIDDEN: usize = 50;
const EPOCHS: usize = 200;

fn main() -> Result<()> {
    let digits = data::load("digits", &data::ReadOptions::default())?;
    let classes = digits.classes.context("the digits have labels")?;
    let parts = digits.parts(Some(5), None)?;
    let (train, test) = (parts.train, parts.held_out.context("a part is held out")?);
    let labels = train.labels.clone().context("the digits have labels")?;
    let rng = Rng::new(0);
    let mut rbms = Vec::new();
    for class in 0..classes as u32 {
        let own: Vec<u32> =
            (0..).zip(&labels).filter(|(_, l)| **l == class).map(|(i, _)| i).collect();
        let cases = train.select(&own)?.cases.tensor()?;
        let mut rng = rng.split(class.into());
        let (visible, hidden) = (Units::bernoulli(cases.dim(1)?), Units::bernoulli(HIDDEN));
        let rbm = Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu)?;
        Init::default().apply(&rbm, &cases, &mut rng)?;
        let plan = Plan {
            epochs: EPOCHS,
            learning_rate: Schedule::linear(0.05, 0.0),
            momentum: Schedule::Constant(0.0),
            steps: Schedule::Constant(1.0),
        };
        let mut trainer = Trainer::new(Persistent::new(1, 100), Sgd::new(0.0));
        trainer.transforms.push(Box::new(WeightDecay { l1: 0.0, l2: 1e-3 }));
        trainer.transforms.push(Box::new(Centre::of(&rbm, 0.01)?));
        let source = Shuffled { cases: &cases, batch_size: 10, shuffle: rng.split(1) };
        let _ = trainer.fit(&rbm, &source, &plan, &mut Cursor::default(), &mut rng, &mut ())?;
        rbms.push(rbm);
    }
    let network = PerClass::new(rbms)?;
    let count = test.len();
    println!(
        "held-out error without offsets {:.2} %",
        100.0 * network.errors(&test)? as f64 / count as f64
    );
    network.fit_offsets(&train)?;
    println!("held-out error {:.2} %", 100.0 * network.errors(&test)? as f64 / count as f64);
    Ok(())
}
