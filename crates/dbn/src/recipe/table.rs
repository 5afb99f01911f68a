//! The recipe of tables by the size of the data.

use rbm_core::Units;

use super::Recipe;

/// Updates of each layer that a table gets at most.
const UPDATES: f64 = 3_000.0;

impl Recipe {
    /// The recipe `table` for so many `cases` of `width` values: hidden units by the width, mini-batches and the number of layers by
    /// the cases, epochs so that small tables are seen about as often as large ones.
    #[must_use]
    pub fn sized(mut self, cases: usize, width: usize) -> Self {
        let (batch_size, layers) = match cases {
            ..2_000 => (10, 1),
            2_000..10_000 => (20, 2),
            _ => (100, 2),
        };
        let batches = (cases as f64 / batch_size as f64).max(1.0);
        self.layers.truncate(layers);
        for layer in &mut self.layers {
            layer.hidden = Units::bernoulli((4 * width).clamp(64, 500));
            layer.epochs = ((UPDATES / batches).round() as usize).clamp(10, 200);
            layer.batch_size = batch_size;
        }
        if let Some(classifier) = &mut self.classifier {
            classifier.backpropagation.batch_size = batch_size;
        }
        self
    }
}
