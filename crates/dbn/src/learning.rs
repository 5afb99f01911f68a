//! How a stack learns: machine by machine, and all of them together. Nothing here knows a recipe.
//!
//! Greedy layer-wise pre-training: each machine learns from what the ones below make of the data (Hinton, Osindero, Teh 2006, §4; Bengio, Lamblin, Popovici, Larochelle 2007). The data of a deep layer are never held as
//! a whole, unless [`Caching`] says so: every mini-batch is sent up when its turn comes. [`LayerInput`] is what a machine learns from, drawn
//! anew; [`Propagated`] is what an estimate looks at, by means, the same whenever it is asked for.
//!
//! Up-down: all layers of a deep belief network learn together, by a contrastive form of wake-sleep (Hinton, Osindero,
//! Teh 2006, §5 and Appendix B). Awake, the data go up through sampled recognition, and every generative layer
//! learns to make of what it sees above what is there below. The top machine takes k Gibbs steps from what has arrived, and
//! learns by contrastive divergence. Asleep, what these steps have ended in goes down through sampled generation, and every
//! recognition layer learns to find above what it was made of.
//!
//! The published pseudo-code has two errors, which are not repeated here: `poshidstates`, which nothing sets, stands for the
//! wake states of the first hidden layer; and the exponents of the predictions of the sleep phase lack their minus signs.

use std::ops::Range;

use candle_core::{Tensor, Var};
use rbm_core::learning::trainer::BatchSource;
pub use rbm_core::learning::trainer::Pass;
use rbm_core::model::init::{self, Init};
use rbm_core::ops::Ascent;
use rbm_core::sampling::Imputation;
use rbm_core::{
    Batches, ContrastiveDivergence, Error, Gradient, NegativePhase, Optimizer, Phase, Rbm, Result,
    Rng, Rows, rows,
};
use serde::{Deserialize, Serialize};

use crate::Dbn;
use crate::network::dbn::up;
use crate::network::labels::{join_labels, label_codes};
use rbm_core::model::conditional_layer::delta_rule;

/// Whether the cases of a deep layer are computed once, before the layer learns, or anew for every mini-batch.
///
/// Where samples are passed up, once means one sample of each case for the whole of the layer's training, where every epoch
/// would see another. Where means are passed up, it means other rounding: a row's product may be summed in another order
/// than that of the same row in a larger matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caching {
    /// Anew for every mini-batch.
    #[default]
    Never,
    /// Once, if all of it fits into the bytes that are allowed for it.
    WhenItFits,
}

/// The labels of all cases, for the top machine to learn.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// One class a case.
    pub of_cases: &'a [u32],
    /// How many classes there are.
    pub classes: usize,
}

impl Labels<'_> {
    /// `x` `(cases, width)` with the codes of these labels after it.
    fn beside(self, x: &Tensor, labels: &[u32]) -> Result<Tensor> {
        join_labels(x, &label_codes(labels, self.classes, x.dtype(), x.device())?)
    }
}

/// The cases of one layer: mini-batches of the data, sent up through the machines below.
#[derive(Debug, Clone)]
pub struct LayerInput<'a> {
    /// The data `(n, width)`.
    pub cases: &'a dyn Rows,
    /// One class a case, if mini-batches are to be balanced over them.
    pub balance: Option<&'a [u32]>,
    /// How much each case counts, if not all as much: an epoch then has as many cases as there are, each as often as it counts. Mini-
    /// batches are not balanced then.
    pub weights: Option<&'a [f32]>,
    /// The machines below, from the bottom up; none for the lowest layer.
    pub rbms: &'a [Rbm],
    /// What each of them passes up.
    pub passes: &'a [Pass],
    /// What is taken of the data themselves: their values, or zeros and ones with these probabilities, drawn anew each time.
    pub data: Pass,
    /// How missing values are drawn before a case goes up; without it none may be missing.
    pub imputation: Option<&'a Imputation>,
    /// The labels that the layer learns beside the cases, if it does.
    pub labels: Option<Labels<'a>>,
    /// Cases in a mini-batch.
    pub batch_size: usize,
    /// Where the shuffles come from; it is split by the epoch's number.
    pub shuffle: Rng,
}

impl LayerInput<'_> {
    /// `v` `(batch, width)` sent up.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn send_up(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let v = match (self.imputation, self.rbms.first()) {
            (Some(imputation), Some(bottom)) => &imputation.sample(bottom, v, rng)?,
            _ => v,
        };
        let v = self.data.of_probabilities(v, rng)?;
        self.rbms.iter().zip(self.passes).try_fold(v, |v, (rbm, pass)| match pass {
            Pass::Mean => Ok(rbm.hidden_mean(&v)?.detach()),
            Pass::Sample => rbm.sample_hidden(&v, rng),
        })
    }

    /// All cases sent up, in their own order, `(n, visible)`: where samples are passed up, one of each. It draws in
    /// blocks of a fixed size, so that the same generator gives the same bits again.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read, and where there are none.
    pub fn send_all_up(&self, rng: &mut Rng) -> Result<Tensor> {
        let mut whole: Option<Tensor> = None;
        let mut start = 0;
        for block in rows::blocks(self.cases) {
            let block = self.send_up(&block?, rng)?.contiguous()?;
            let (rows, width) = block.dims2()?;
            let whole = match &mut whole {
                Some(whole) => whole,
                // In place, so that it is there only once.
                none => none.insert(Tensor::zeros(
                    (self.cases.count(), width),
                    block.dtype(),
                    block.device(),
                )?),
            };
            whole.slice_set(&block, 0, start)?;
            start += rows;
        }
        whole.ok_or_else(|| Error::invalid("the data of a layer", "at least one case", "none"))
    }

    /// Mean and variance of the cases sent up, each `(visible,)`, by means, a block at a time.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read, and where there are none.
    pub fn moments(&self) -> Result<(Tensor, Tensor)> {
        let blocks = || {
            let mut start = 0;
            rows::blocks(self.cases).map(move |block| {
                let block = match self.imputation {
                    Some(imputation) => imputation.started(&block?)?,
                    None => block?,
                };
                let sent_up = up(self.rbms, &block)?.detach();
                let range = start..start + sent_up.dim(0)?;
                start = range.end;
                let weights = self.weights.map(|weights| weights[range.clone()].to_vec());
                Ok(match self.labels {
                    Some(labels) => (labels.beside(&sent_up, &labels.of_cases[range])?, weights),
                    None => (sent_up, weights),
                })
            })
        };
        init::moments_of_weighted_blocks(blocks)
    }

    /// Initialises `rbm` to learn from these cases.
    ///
    /// # Errors
    ///
    /// As [`LayerInput::moments`], and for a machine of another width.
    pub fn init(&self, rbm: &Rbm, init: &Init, rng: &mut Rng) -> Result<()> {
        init.draw_weights(rbm, rng)?;
        let (mean, variance) = self.moments()?;
        rbm.visible().fit_moments(&mean, &variance)
    }
}

impl BatchSource for LayerInput<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn order(&self, epoch: usize) -> Batches {
        let batches = Batches::new(self.cases.count(), self.batch_size);
        let mut rng = self.shuffle.split(epoch as u64);
        if let Some(weights) = self.weights {
            return Batches::weighted(weights, self.batch_size, &mut rng);
        }
        match self.balance {
            None => batches.shuffled(&mut rng),
            Some(labels) => batches.balanced(labels, &mut rng),
        }
    }

    fn batch(&self, indices: &[u32], rng: &mut Rng) -> Result<Tensor> {
        let sent_up = self.send_up(&self.cases.rows(indices)?, rng)?;
        let Some(labels) = self.labels else { return Ok(sent_up) };
        let of_batch: Vec<u32> = indices.iter().map(|&i| labels.of_cases[i as usize]).collect();
        labels.beside(&sent_up, &of_batch)
    }
}

/// Cases sent up to a machine of the stack, by means, made when they are asked for; at label units their labels, or what
/// the machine believes of them where there are none.
#[derive(Debug)]
pub struct Propagated<'a> {
    /// Prepared for the network, `(n, width)`.
    pub cases: &'a dyn Rows,
    /// One a case, where they are known.
    pub labels: Option<&'a [u32]>,
    /// The stack.
    pub dbn: &'a Dbn,
    /// The number of the machine to which they are sent; 0 is the lowest.
    pub layer: usize,
}

impl Propagated<'_> {
    /// What becomes of `cases` whose labels are these.
    fn above(&self, cases: &Tensor, labels: Option<Vec<u32>>) -> Result<Tensor> {
        let (below, _) = self.dbn.machine(self.layer)?;
        let x = up(below, cases)?.detach();
        let Some(top) = self.dbn.class_rbm().filter(|_| self.layer + 1 == self.dbn.depth()) else {
            return Ok(x);
        };
        let codes = match labels {
            Some(labels) => label_codes(&labels, top.classes(), x.dtype(), x.device())?,
            None => top.probabilities(&x)?,
        };
        join_labels(&x, &codes)
    }
}

impl Rows for Propagated<'_> {
    fn count(&self) -> usize {
        self.cases.count()
    }

    fn width(&self) -> usize {
        self.dbn.rbm(self.layer).map_or(0, |rbm| rbm.visible().units().width())
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        let of = |labels: &[u32]| indices.iter().map(|&i| labels[i as usize]).collect();
        self.above(&self.cases.rows(indices)?, self.labels.map(of))
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        let labels = self.labels.map(|labels| labels[range.clone()].to_vec());
        self.above(&self.cases.block(range)?, labels)
    }
}

/// One step of up-down after the other.
pub struct UpDown {
    /// k, the Gibbs steps of the top machine between wake and sleep, at least 1.
    pub steps: usize,
    /// L2 penalty of all weights.
    pub l2: f64,
    /// Moves [`up_down_parameters`] of the network.
    pub optimizer: Box<dyn Optimizer>,
}

/// What learns: the top machine; of each layer below it, from the lowest up, recognition (the weights and hidden units of its
/// machine) and generation.
pub fn up_down_parameters(dbn: &Dbn) -> Vec<&Var> {
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
        let visible = match (dbn.classes(), codes) {
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
        let vars = up_down_parameters(dbn);
        for (var, ascent) in vars.iter().zip(&mut ascents) {
            if var.rank() == 2 {
                ascent.penalty.l2 = self.l2;
            }
        }
        self.ascend(dbn, &vars, &ascents)
    }

    fn ascend(&mut self, dbn: &Dbn, vars: &[&Var], ascents: &[Ascent]) -> Result<()> {
        self.optimizer.ascend(vars, ascents)?;
        dbn.rbms().try_for_each(Rbm::constrain)?;
        dbn.generative.iter().try_for_each(|layer| layer.units.constrain())
    }
}
