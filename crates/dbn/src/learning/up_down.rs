//! Up-down: all layers of a deep belief network learn together, by a contrastive form of wake-sleep.
//!
//! Hinton, Osindero, Teh 2006, §5 and Appendix B. Awake, the data go up through sampled recognition, and every generative layer
//! learns to make of what it sees above what is there below. The top machine takes k Gibbs steps from what has arrived, and
//! learns by contrastive divergence. Asleep, what these steps have ended in goes down through sampled generation, and every
//! recognition layer learns to find above what it was made of.
//!
//! The published pseudo-code has two errors, which are not repeated here: `poshidstates`, which nothing sets, stands for the
//! wake states of the first hidden layer; and the exponents of the predictions of the sleep phase lack their minus signs.

use candle_core::{Tensor, Var};
use rbm_core::ops::Ascent;
use rbm_core::{
    ContrastiveDivergence, Error, Gradient, NegativePhase, Optimizer, Phase, Result, Rng,
};

use crate::Dbn;
use crate::network::conditional_layer::delta_rule;
use crate::network::dbn::join_labels;

/// One step of up-down after the other.
pub struct UpDown {
    /// k, the Gibbs steps of the top machine between wake and sleep, at least 1.
    pub steps: usize,
    /// L2 penalty of all weights.
    pub l2: f64,
    /// Moves [`parameters`] of the network.
    pub optimizer: Box<dyn Optimizer>,
}

/// What learns: the top machine; of each layer below it, from the lowest up, recognition (the weights and hidden units of its
/// machine) and generation.
pub fn parameters(dbn: &Dbn) -> Vec<&Var> {
    let mut vars: Vec<&Var> = dbn.top().parameters().into_iter().map(|(_, var)| var).collect();
    for (rbm, generative) in dbn.below_top().iter().zip(&dbn.generative) {
        vars.push(rbm.weights());
        vars.extend(rbm.hidden().vars().into_iter().map(|(_, var)| var));
        vars.extend(generative.parameters().into_iter().map(|(_, var)| var));
    }
    vars
}

impl UpDown {
    /// Learns from `v` `(batch, width)`, with one-hot `codes` `(batch, classes)` of the labels where the network has label units.
    ///
    /// # Errors
    ///
    /// When the way down has no weights of its own ([`Dbn::untie`]), and when there are label units without codes.
    pub fn step(
        &mut self,
        dbn: &Dbn,
        v: &Tensor,
        codes: Option<&Tensor>,
        rng: &mut Rng,
    ) -> Result<()> {
        let (below, top) = (dbn.below_top(), dbn.top());
        if dbn.generative.len() != below.len() {
            let expected = "generative weights of their own for every layer below the top";
            return Err(Error::invalid("up-down", expected, dbn.generative.len().to_string()));
        }
        // Wake.
        let mut wake = vec![v.clone()];
        for (rbm, layer) in below.iter().zip(0..) {
            wake.push(rbm.sample_hidden(&wake[layer], rng)?);
        }
        let penultimate = &wake[below.len()];
        let visible = match (dbn.classes, codes) {
            (None, _) => penultimate.clone(),
            (Some(_), Some(codes)) => join_labels(penultimate, codes)?,
            (Some(_), None) => {
                return Err(Error::invalid("up-down", "a label for each case", "none"));
            }
        };
        // The top machine.
        let positive = Phase::of(top, &visible)?;
        let negative = ContrastiveDivergence::new(self.steps).fantasy(top, &positive, rng)?;
        let mut ascents = Gradient::between(top, &positive, &negative)?.ascents();
        // Sleep.
        let mut sleep = vec![dbn.without_labels(below.len(), negative.visible)?];
        for layer in (0..below.len()).rev() {
            let (above, generative) = (&sleep[sleep.len() - 1], &dbn.generative[layer]);
            sleep.push(match layer {
                // Probabilities, as in Appendix B.
                0 => generative.mean(above)?.detach(),
                _ => generative.sample(above, rng)?,
            });
        }
        sleep.reverse();
        for (layer, (rbm, generative)) in below.iter().zip(&dbn.generative).enumerate() {
            ascents.extend(delta_rule(
                rbm.weights(),
                rbm.hidden(),
                &sleep[layer],
                &sleep[layer + 1],
            )?);
            ascents.extend(generative.ascents(&wake[layer + 1], &wake[layer])?);
        }
        let vars = parameters(dbn);
        for (var, ascent) in vars.iter().zip(&mut ascents) {
            if var.rank() == 2 {
                ascent.penalty.l2 = self.l2;
            }
        }
        self.ascend(dbn, &vars, &ascents)
    }

    fn ascend(&mut self, dbn: &Dbn, vars: &[&Var], ascents: &[Ascent]) -> Result<()> {
        self.optimizer.ascend(vars, ascents)?;
        dbn.rbms.iter().try_for_each(rbm_core::Rbm::constrain)?;
        dbn.generative.iter().try_for_each(|layer| layer.units.constrain())
    }
}
