//! Data to measure on, and machines that have learned from them: how many units are on decides how fast a machine is, and
//! a machine at its start has half of its hidden units on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_dbn::data::{self, ReadOptions};
use rbm_core::model::init::Init;
use rbm_core::{ContrastiveDivergence, NegativePhase, Rbm, Rng, Rows, Sgd, Trainer, Units, ops};

use super::plan::{BenchData, CASES, STACK, STATES};
use super::synthetic_digits;
use crate::inputs;

/// Cases in a mini-batch of the stack's learning.
const STACK_BATCH: usize = 100;
/// The learning rate of the `mnist` recipe.
pub const LEARNING_RATE: f64 = 0.05;

/// A trainer of any method.
pub type BenchLearner = Trainer<Box<dyn NegativePhase>, Sgd>;

/// A trainer with the momentum of the `mnist` recipe's first epochs.
pub fn learner(negative: impl NegativePhase + 'static, learning_rate: f64) -> BenchLearner {
    let negative: Box<dyn NegativePhase> = Box::new(negative);
    Trainer::new(negative, Sgd { momentum: 0.5, ..Sgd::new(learning_rate) })
}

/// Mini-batches that come round again and again.
#[derive(Debug, Clone)]
pub struct MeasuredBatches {
    /// The data's name.
    pub name: String,
    /// `(batch, width)` each.
    batches: Vec<Tensor>,
    at: usize,
}

impl MeasuredBatches {
    /// Mini-batches of `size` rows of `cases` `(n, width)`, which come again where there are fewer, on `device`.
    fn new(name: &str, cases: &Tensor, size: usize, device: &Device) -> Result<Self> {
        let n = cases.dim(0)?;
        ensure!(n > 0, "{name}: expected at least one case, found none");
        let batch = |i: usize| -> Result<_> {
            let rows: Vec<u32> = (0..size).map(|j| ((i * size + j) % n) as u32).collect();
            Ok(cases.rows(&rows)?.to_device(device)?)
        };
        let count = (n.min(CASES) / size).max(1);
        let batches = (0..count).map(batch).collect::<Result<_>>()?;
        Ok(Self { name: name.to_owned(), batches, at: 0 })
    }

    /// The next mini-batch.
    pub fn next(&mut self) -> Tensor {
        self.at = (self.at + 1) % self.batches.len();
        self.batches[self.at].clone()
    }
}

/// The user's data.
struct GivenData {
    name: String,
    /// `(n, width)`, values in [0, 1].
    cases: Tensor,
}

/// Where cases and machines come from on one device.
pub struct Fixtures {
    given: Option<GivenData>,
    /// Updates before anything is measured.
    updates: usize,
    device: Device,
    /// Machines of the stack that have learned, from the bottom up.
    stack: Vec<Rbm>,
    /// Made pictures by their width.
    made: BTreeMap<usize, Tensor>,
}

impl Fixtures {
    /// Reads the user's data, if any.
    pub fn new(
        data: Option<(&str, &ReadOptions)>,
        updates: usize,
        device: &Device,
    ) -> Result<Self> {
        let given = data.map(|(source, options)| GivenData::read(source, options)).transpose()?;
        Ok(Self { given, updates, device: device.clone(), stack: vec![], made: BTreeMap::new() })
    }

    /// The width of the user's data.
    pub fn width_of_given(&self) -> Option<usize> {
        self.given.as_ref().and_then(|given| given.cases.dim(1).ok())
    }

    /// Mini-batches of `size` cases that look as asked, `width` values each: the user's where their width is the same.
    pub fn cases(&mut self, look: BenchData, width: usize, size: usize) -> Result<MeasuredBatches> {
        if let BenchData::Above(below) = look {
            return self.cases_above(below, size);
        }
        if look == BenchData::Dense {
            let noise =
                ops::uniform((CASES.max(size), width), DType::F32, &Device::Cpu, &mut Rng::new(2))?;
            return MeasuredBatches::new(
                "random bits",
                &synthetic_digits::binary(&noise)?,
                size,
                &self.device,
            );
        }
        if look == BenchData::Sites {
            let made = sequences(CASES.max(size), width / STATES, &mut Rng::new(6))?;
            return MeasuredBatches::new("sequences", &made, size, &self.device);
        }
        let is_given = self.width_of_given() == Some(width);
        let (name, cases) = match self.given.as_ref().filter(|_| is_given) {
            Some(given) => (given.name.as_str(), &given.cases),
            None => {
                let made = match self.made.entry(width) {
                    Entry::Vacant(place) => {
                        place.insert(synthetic_digits::grey(CASES, width, &mut Rng::new(1))?)
                    }
                    Entry::Occupied(made) => made.into_mut(),
                };
                ("strokes", &*made)
            }
        };
        if look == BenchData::Grey {
            return MeasuredBatches::new(&format!("{name}, grey"), cases, size, &self.device);
        }
        MeasuredBatches::new(name, &synthetic_digits::binary(cases)?, size, &self.device)
    }

    /// Samples of the hidden units of the stack's machine `below`.
    fn cases_above(&mut self, below: usize, size: usize) -> Result<MeasuredBatches> {
        let mut cases = self.cases(BenchData::Binary, STACK[0], size)?;
        self.learn_stack(below + 1)?;
        let mut rng = Rng::new(3);
        for batch in &mut cases.batches {
            for rbm in &self.stack[..=below] {
                *batch = rbm.sample_hidden(batch, &mut rng)?.detach();
            }
        }
        cases.name = format!("{}, layer {}", cases.name, below + 1);
        Ok(cases)
    }

    /// A copy of the first `count` machines of the stack, which have learned one after the other.
    pub fn stack(&mut self, count: usize) -> Result<Vec<Rbm>> {
        self.learn_stack(count)?;
        Ok(self.stack[..count].iter().map(Rbm::try_clone).collect::<rbm_core::Result<_>>()?)
    }

    fn learn_stack(&mut self, count: usize) -> Result<()> {
        while self.stack.len() < count {
            let layer = self.stack.len();
            let look = if layer == 0 { BenchData::Binary } else { BenchData::Above(layer - 1) };
            let mut cases = self.cases(look, STACK[layer], STACK_BATCH)?;
            // Deep layers start further out, as in the `mnist` recipe: with smaller weights most of their units die.
            let deviation = if layer == 0 { 0.01 } else { 0.05 };
            let shape = (STACK[layer], STACK[layer + 1]);
            let visible = Units::bernoulli(shape.0);
            let rbm = self.machine(&mut cases, (&visible, shape.1), deviation, self.updates)?;
            self.stack.push(rbm);
        }
        Ok(())
    }

    /// A machine that has learned from `cases` by CD-1: the stack's own where the shape and the data are the same.
    pub fn learned(
        &mut self,
        cases: &mut MeasuredBatches,
        look: BenchData,
        shape: (usize, usize),
    ) -> Result<Rbm> {
        let layer = match look {
            BenchData::Binary => Some(0),
            BenchData::Above(below) => Some(below + 1),
            BenchData::Grey | BenchData::Dense | BenchData::Sites => None,
        };
        if let Some(layer) = layer
            && STACK[layer..].starts_with(&[shape.0, shape.1])
        {
            self.learn_stack(layer + 1)?;
            return Ok(self.stack[layer].try_clone()?);
        }
        // Random bits teach hidden units to stay off: what is to stay dense learns nothing.
        let updates = if look == BenchData::Dense { 0 } else { self.updates };
        let visible = match look {
            BenchData::Sites => Units::Potts { sites: shape.0 / STATES, states: STATES },
            _ => Units::bernoulli(shape.0),
        };
        self.machine(cases, (&visible, shape.1), 0.01, updates)
    }

    /// A machine of so many Bernoulli hidden units after `updates` updates of CD-1.
    fn machine(
        &self,
        cases: &mut MeasuredBatches,
        (visible, hidden): (&Units, usize),
        deviation: f64,
        updates: usize,
    ) -> Result<Rbm> {
        let mut rng = Rng::new(4);
        let rbm = Rbm::new(visible, &Units::bernoulli(hidden), DType::F32, &self.device)?;
        let all = Tensor::cat(&cases.batches, 0)?;
        let init = Init { weight_deviation: deviation, ..Init::default() };
        init.apply(&rbm, &all, &mut rng)?;
        let mut learner = learner(ContrastiveDivergence::new(1), LEARNING_RATE);
        for _ in 0..updates {
            learner.step(&rbm, &cases.next(), &mut rng)?;
        }
        rbm_core::estimate::monitor::check(&rbm)?;
        Ok(rbm)
    }
}

/// `count` sequences of so many sites `(count, sites * STATES)`: of a family of eight, a letter in three changed.
fn sequences(count: usize, sites: usize, rng: &mut Rng) -> Result<Tensor> {
    const FAMILY: usize = 8;
    const CHANGED: f32 = 0.3;
    let mut draw = |shape: (usize, usize)| -> Result<Vec<Vec<f32>>> {
        Ok(ops::uniform(shape, DType::F32, &Device::Cpu, rng)?.to_vec2()?)
    };
    let below = |chance: f32, end: usize| ((chance * end as f32) as usize).min(end - 1);
    let (ancestors, members) = (draw((FAMILY, sites))?, draw((count, 1))?);
    let (changes, letters) = (draw((count, sites))?, draw((count, sites))?);
    let mut values = vec![0f32; count * sites * STATES];
    for (case, row) in values.chunks_mut((sites * STATES).max(1)).enumerate() {
        let ancestor = &ancestors[below(members[case][0], FAMILY)];
        for (site, states) in row.chunks_mut(STATES).enumerate() {
            let is_changed = changes[case][site] < CHANGED;
            let letter = if is_changed { letters[case][site] } else { ancestor[site] };
            states[below(letter, STATES)] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (count, sites * STATES), &Device::Cpu)?)
}

impl GivenData {
    fn read(source: &str, options: &ReadOptions) -> Result<Self> {
        let dataset = inputs::load_numbers(source, options).context("--data")?;
        data::check_range(source, &dataset.train, 0.0, 1.0, "Bernoulli")?;
        // More cases than are gone through only take time.
        let count = dataset.train.len().min(10 * CASES);
        Ok(Self { name: dataset.name, cases: dataset.train.cases.block(0..count)? })
    }
}
