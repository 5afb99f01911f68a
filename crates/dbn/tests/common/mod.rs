//! Someone who watches a training and stops it, and what it comes to, bit by bit.

use candle_core::Tensor;
use candle_dbn::Model;
use candle_dbn::training::{Checkpoint, Command, EpochMetrics, Observer, StageStart, Step};

/// Stops after every `stride` steps, keeps the last checkpoint, and expects metrics that are finite.
#[derive(Default)]
pub struct Interrupter {
    pub stride: usize,
    pub steps: usize,
    pub epochs: usize,
    pub last: Option<Checkpoint>,
    /// Cases learned from, a number for each stage that was begun or gone on with.
    pub cases: Vec<usize>,
}

impl Observer for Interrupter {
    fn stage(&mut self, _: &StageStart) -> candle_dbn::Result<()> {
        self.cases.push(0);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> candle_dbn::Result<Command> {
        self.steps += 1;
        *self.cases.last_mut().unwrap() += step.cases;
        let stops = self.stride > 0 && self.steps.is_multiple_of(self.stride);
        Ok(if stops { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        self.epochs += 1;
        let report = metrics.report.iter();
        report.for_each(|report| assert!(report.reconstruction_error.is_finite()));
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> candle_dbn::Result<()> {
        self.last = Some(checkpoint.clone());
        Ok(())
    }
}

/// Every parameter of the model by its name, to the bit.
pub fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let tensors = model.tensors().unwrap().into_iter();
    let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    tensors.map(|(name, t)| (name, flat(t).into_iter().map(f32::to_bits).collect())).collect()
}
