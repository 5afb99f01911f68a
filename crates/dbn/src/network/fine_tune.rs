//! A network unrolled from a stack, as backpropagation sees it: parameters, an objective with its ascent, a score.

use crate::Examples;
use candle_core::{D, Tensor, Var};
use rbm_core::ops::{Ascent, Connection, Deferred};
use rbm_core::{Error, Layer, Result, Rng, Units, ops};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A feed-forward network that is fine-tuned by backpropagation.
pub trait FineTune: Debug {
    /// Every parameter, in the order in which the data pass them.
    fn vars(&self) -> Vec<&Var>;

    /// What is climbed, and its ascent for each of [`FineTune::vars`], in their order. The former is a leaf on the device, so
    /// that nothing waits for it.
    ///
    /// # Errors
    ///
    /// When shapes do not fit the network, and for a mini-batch without what its objective needs.
    fn ascents(&self, batch: &Batch, rng: &mut Rng) -> Result<(Tensor, Vec<Ascent>)>;

    /// Brings parameters that a step has pushed out of their range back into it.
    ///
    /// # Errors
    ///
    /// When a parameter cannot be read or written.
    fn constrain(&self) -> Result<()>;

    /// How well the network does on the cases of `part`.
    ///
    /// # Errors
    ///
    /// For a part without what is predicted, and when shapes do not fit the network.
    fn score(&self, part: &Examples) -> Result<Score>;
}

/// E[x | x_below·W] of `layer` in a network of layers that answer with their means, from `below` `(batch, below)`: `(batch, above)`.
/// Of Bernoulli units in one pass with the product. Differentiable.
pub(crate) fn mean_above(
    layer: &dyn Layer,
    below: &Tensor,
    connection: &Connection,
) -> Result<Tensor> {
    match (layer.units(), layer.vars().first()) {
        (Units::Bernoulli { .. }, Some((_, bias))) => connection.sigmoid(below, bias),
        _ => layer.mean(&connection.inputs(below)?),
    }
}

/// Cases to learn from together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// `(batch, width)`.
    pub cases: &'a Tensor,
    /// The class of each, for a network that learns classes.
    pub labels: Option<&'a [u32]>,
    /// What is to be predicted of each, for a network that predicts a measurement.
    pub targets: Option<&'a [f32]>,
    /// What is left out of the network for them.
    pub dropout: Dropout,
    /// Where each is learned from besides where it is, for a network that learns classes.
    pub adversary: Adversary,
}

/// The fractions of units that are left out at random while learning, the others being scaled up to make good for them
/// (Srivastava et al. 2014).
///
/// The scaling is done to the units while learning, and not to the weights afterwards: the input of a unit has the same
/// mean with and without dropout, so weights that come from pre-training are taken over as they are. Srivastava et al. leave
/// the units as they are and divide pre-trained weights by the share that is kept, which comes to the same.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Dropout {
    /// Of the data's values.
    pub visible: f64,
    /// Of each hidden layer's units.
    pub hidden: f64,
}

impl Dropout {
    /// Layer `i` of a network, counted from the data, with what is left out below it drawn.
    ///
    /// # Errors
    ///
    /// For a fraction that is not from 0 to below 1.
    pub(super) fn connection<'a>(
        self,
        i: usize,
        weights: &'a Var,
        gradient: Option<Deferred>,
        rng: &mut Rng,
    ) -> Result<Connection<'a>> {
        let fraction = if i == 0 { self.visible } else { self.hidden };
        Ok(Connection { weights, dropout: ops::DropoutMask::draw(fraction, rng)?, gradient })
    }
}

/// Where a case is learned from besides where it is; distances are Euclidean.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adversary {
    /// Nowhere else.
    #[default]
    None,
    /// This far down the gradient of its objective, with its label (Goodfellow, Shlens, Szegedy 2015).
    Label(f64),
    /// This far towards where the network changes its mind, with what it believes of the case (Miyato et al. 2018).
    Virtual(f64),
}

/// How well a network does on some cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// What the network is for: cases put into the wrong class, in percent, or the squared error of a case's reconstruction,
    /// summed over its values.
    pub error: f64,
    /// What it learns by: the mean of −log p of the class, or of the case given its code, nats.
    pub loss: f64,
}

/// What a backward pass says.
pub(crate) struct Gradients {
    /// The objective that was climbed, a leaf.
    pub objective: Tensor,
    /// Its ascent for each parameter.
    pub ascents: Vec<Ascent>,
    /// Its gradient where the cases are, `(batch, width)`, if they are a variable.
    pub cases: Option<Tensor>,
}

impl Gradients {
    /// Those of `objective`, for `vars` and for `cases`; the ascents of the matrices as the backward pass leaves them in
    /// `deferred`, one for each matrix in the same order.
    ///
    /// # Errors
    ///
    /// Where the objective does not depend on a variable.
    pub fn of(
        objective: &Tensor,
        vars: &[&Var],
        deferred: &[Deferred],
        cases: &Tensor,
    ) -> Result<Self> {
        let slopes = objective.backward()?;
        let mut deferred = deferred.iter().map(Deferred::take);
        let mut ascents = Vec::with_capacity(vars.len());
        for var in vars {
            let outers = if var.rank() == 2 { deferred.next() } else { None };
            ascents.push(match (outers, slopes.get(var)) {
                (Some(outers), _) if !outers.is_empty() => outers.into(),
                // Detached, because what keeps a gradient must not keep the graph that it came from.
                (_, Some(slope)) => slope.detach().contiguous()?.into(),
                (_, None) => var.as_detached_tensor().zeros_like()?.into(),
            });
        }
        let cases = slopes.get(cases).map(Tensor::detach);
        Ok(Self { objective: objective.detach(), ascents, cases })
    }

    /// Those of the sum of both objectives.
    ///
    /// # Errors
    ///
    /// Where both are not of the same variables.
    pub fn and(self, other: Self) -> Result<Self> {
        let ascents = self.ascents.into_iter().zip(other.ascents);
        Ok(Self {
            objective: (self.objective + other.objective)?,
            ascents: ascents.map(|(one, other)| one.and(other)).collect::<Result<_>>()?,
            cases: None,
        })
    }

    /// Those of `factor` times the objective.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn times(self, factor: f64) -> Result<Self> {
        let ascents = self.ascents.into_iter().map(|ascent| ascent.times(factor));
        Ok(Self {
            objective: (self.objective * factor)?,
            ascents: ascents.collect::<Result<_>>()?,
            cases: None,
        })
    }
}

/// The mean of what `slopes_at` says of the `cases` `(batch, width)` as they are, and of their adversarial examples at `distance`.
/// Both times the generator is the same, so the same units are left out.
pub(crate) fn slopes(
    cases: &Tensor,
    distance: f64,
    rng: &mut Rng,
    slopes_at: impl Fn(&Tensor, &mut Rng) -> Result<Gradients>,
) -> Result<Gradients> {
    let cases = cases.detach();
    let before = *rng;
    let there = slopes_at(Var::from_tensor(&cases)?.as_tensor(), rng)?;
    let examples = moved(&cases, &there, distance)?;
    *rng = before;
    let moved = slopes_at(&examples, rng)?;
    there.and(moved)?.times(0.5)
}

/// What `slopes_at` says of the `cases` `(batch, width)`, and of how little the network changes its mind at `distance`: minus the
/// Kullback-Leibler divergence from its belief where they are to its belief there (Miyato et al. 2018, eqs 5 to 8, α = 1; the
/// direction is one gradient, at a random step). Every time the generator is the same, so the same units are left out.
/// `slopes_at` takes the beliefs `(batch, classes)` to hold to, in place of the labels, and gives the logits too.
pub(crate) fn virtual_slopes(
    cases: &Tensor,
    distance: f64,
    rng: &mut Rng,
    slopes_at: impl Fn(&Tensor, Option<&Tensor>, &mut Rng) -> Result<(Gradients, Tensor)>,
) -> Result<Gradients> {
    let cases = cases.detach();
    let noise = ops::normal(cases.shape(), cases.dtype(), cases.device(), rng)?;
    let before = *rng;
    let (there, logits) = slopes_at(&cases, None, rng)?;
    let beliefs = candle_nn::ops::softmax(&logits, D::Minus1)?;
    let nearby = Var::from_tensor(&(&cases + brought_to(distance, &noise)?)?)?;
    *rng = before;
    let (nearby, _) = slopes_at(nearby.as_tensor(), Some(&beliefs), rng)?;
    let examples = moved(&cases, &nearby, distance)?;
    *rng = before;
    let (moved, _) = slopes_at(&examples, Some(&beliefs), rng)?;
    there.and(moved)
}

/// The `cases` a step of length `distance` down the gradient that `slopes` have for them.
fn moved(cases: &Tensor, slopes: &Gradients, distance: f64) -> Result<Tensor> {
    let Some(slope) = &slopes.cases else {
        return Err(Error::invalid("adversarial examples", "a gradient of the cases", "none"));
    };
    Ok((cases - brought_to(distance, slope)?)?)
}

/// The rows of `slope` `(batch, width)` with Euclidean length `length`; a row of zeros stays what it is.
fn brought_to(length: f64, slope: &Tensor) -> Result<Tensor> {
    // Squares of gradients of 1e-20 would be zero in f32: the largest value of each row is taken out first.
    let largest = slope.abs()?.max_keepdim(1)?;
    let largest = (&largest + largest.eq(0.0)?.to_dtype(slope.dtype())?)?;
    let scaled = slope.broadcast_div(&largest)?;
    let norm = ops::sum_within_rows(&scaled.sqr()?)?.unsqueeze(1)?.sqrt()?;
    let norm = (&norm + norm.eq(0.0)?.to_dtype(slope.dtype())?)?;
    Ok((scaled.broadcast_div(&norm)? * length)?)
}
