//! What a recipe must satisfy before anything is done with it.

use rbm_core::{Error, Result, Schedule};

use super::{Classifier, Layer, Recipe};

impl Recipe {
    /// Errors with the key, what is allowed and what was found.
    pub(super) fn check(&self) -> Result<()> {
        self.visible_units(1)?;
        must(!self.layers.is_empty(), "layers", "at least one", "none")?;
        must(self.data.hold_out_one_in != 1, "data.hold_out_one_in", "0 or at least 2", "1")?;
        let scale = self.data.scale;
        must(scale.is_finite() && scale >= 0.0, "data.scale", "a number of at least 0", scale)?;
        for (i, layer) in self.layers.iter().enumerate() {
            layer.check(&format!("layers.{i}"))?;
        }
        self.classifier.as_ref().map_or(Ok(()), Classifier::check)
    }
}

impl Layer {
    fn check(&self, name: &str) -> Result<()> {
        must(self.batch_size > 0, &format!("{name}.batch_size"), "at least 1", 0)?;
        schedule(&format!("{name}.learning_rate"), &self.learning_rate)?;
        schedule(&format!("{name}.momentum"), &self.momentum)?;
        schedule(&format!("{name}.steps"), &self.steps)?;
        for (key, value) in [
            ("l1", self.l1),
            ("l2", self.l2),
            ("sparsity_cost", self.sparsity_cost),
            ("clip", self.clip),
            ("weight_deviation", self.weight_deviation),
        ] {
            must(
                value >= 0.0 && value.is_finite(),
                &format!("{name}.{key}"),
                "a number of at least 0",
                value,
            )?;
        }
        let bias = self.hidden_bias;
        must(bias.is_finite(), &format!("{name}.hidden_bias"), "a finite number", bias)?;
        let target = self.sparsity_target;
        must(
            target > 0.0 && target < 1.0,
            &format!("{name}.sparsity_target"),
            "a number between 0 and 1",
            target,
        )
    }
}

impl Classifier {
    fn check(&self) -> Result<()> {
        must(self.batch_size > 0, "classifier.batch_size", "at least 1", 0)?;
        must(self.validate_one_in != 1, "classifier.validate_one_in", "0 or at least 2", 1)?;
        schedule("classifier.learning_rate", &self.learning_rate)?;
        schedule("classifier.momentum", &self.momentum)?;
        for (key, value) in
            [("dropout_visible", self.dropout_visible), ("dropout_hidden", self.dropout_hidden)]
        {
            let expected = "a number of at least 0 and below 1";
            must((0.0..1.0).contains(&value), &format!("classifier.{key}"), expected, value)?;
        }
        must(
            self.l2 >= 0.0 && self.l2.is_finite(),
            "classifier.l2",
            "a number of at least 0",
            self.l2,
        )
    }
}

fn must(holds: bool, what: &str, expected: &str, found: impl ToString) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(what, expected, found.to_string())) }
}

fn schedule(what: &str, schedule: &Schedule) -> Result<()> {
    match schedule.problem() {
        None => Ok(()),
        Some(problem) => {
            Err(Error::invalid(what, "a number, [[epoch, number], ...] or { from, to }", problem))
        }
    }
}
