//! What is said where learning has diverged: where, and which key to set to what.

use rbm_core::Error;
use rbm_core::learning::train::Cursor;

use super::Training;
use crate::recipe::{StageKind, one_digit};

impl Training {
    /// `error` with the stage and epoch of a divergence, and with what to do about it.
    pub(super) fn locate(&self, error: Error) -> Error {
        match error {
            Error::Diverged { what, hint, .. } => {
                let hint = self.advice().unwrap_or(hint);
                let Cursor { epoch, batch } = self.record.cursor;
                let epoch = epoch + usize::from(batch > 0);
                let place = format!("{}, epoch {epoch}", self.stage_name());
                Error::Diverged { place, what, hint }
            }
            other => other,
        }
    }

    /// Which key to set to what where learning has diverged.
    fn advice(&self) -> Option<String> {
        let recipe = &self.recipe;
        let (name, rate, epochs) = match self.work()? {
            StageKind::Layer(i) => {
                let layer = &recipe.layers[i];
                (format!("layers.{i}"), layer.learning_rate.as_ref()?, layer.epochs)
            }
            StageKind::UpDown => {
                let table = recipe.updown.as_ref()?;
                ("updown".into(), &table.learning_rate, table.epochs)
            }
            network => {
                let table = recipe.backpropagation(network)?;
                (network.to_string(), &table.learning_rate, table.epochs)
            }
        };
        let now = rate.at(self.record.cursor.epoch, epochs);
        let usual = match self.work()? {
            StageKind::Layer(i) => recipe.usual_rate(i, &self.visible),
            _ => 0.1,
        };
        let lower = one_digit(usual.min(0.1 * now));
        Some(format!("lower the learning rate, {name}.learning_rate={lower} in place of {now}"))
    }
}
