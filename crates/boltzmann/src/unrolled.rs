//! A deep Boltzmann machine as a feed-forward network (Salakhutdinov and Hinton 2009, §4): its lowest layer sees the data v, and beside them the
//! means of the second hidden layer given the data, which stand for what the upper layers say.
//!
//! Before it is fine-tuned the first hidden layer of the network is one update of mean field. At its fixed point, and with two hidden layers, the
//! network's hidden units are the means of the machine. With more layers those above the second have inputs from below alone.

use candle_core::{Tensor, Var};
use rbm_core::{Error, Layer, Rbm, Result, Rows, Units};

use crate::couplings::Couplings;
use crate::learning::Learner;

/// The machines whose up-passes are the network, from the bottom up: the lowest has the units of the data and beside them those of the second
/// hidden layer as its visible ones.
///
/// # Errors
///
/// For a machine with fewer than two hidden layers, with couplings within layers, or with other units than Bernoulli ones.
pub fn unrolled(learner: &Learner) -> Result<Vec<Rbm>> {
    let (shape, machine) = (learner.shape(), learner.machine());
    let mut layers = std::iter::once(&shape.visible).chain(&shape.hidden);
    let is_bernoulli = |units: &Units| matches!(units, Units::Bernoulli { .. });
    let is_coupled = shape.couplings != Couplings::None;
    if shape.hidden.len() < 2 || is_coupled || !layers.all(is_bernoulli) {
        let expected =
            "a deep Boltzmann machine of Bernoulli units, with two hidden layers or more";
        let found: Vec<_> = shape.layers().iter().map(Units::to_string).collect();
        return Err(Error::invalid("a classifier from a machine", expected, found.join(", ")));
    }
    let (of_machine, places) = (machine.layers(), shape.places());
    let layer = |k: usize| of_machine[places[k]].0;
    let weights = |k: usize| machine.couplings()[k].weights().as_detached_tensor();
    let rbm = |visible: Box<dyn Layer>, hidden: &dyn Layer, weights: Tensor| {
        Rbm::from_parts(visible, hidden.try_clone()?, Var::from_tensor(&weights.contiguous()?)?)
    };
    let (dtype, device) = (weights(0).dtype(), weights(0).device().clone());
    let seen = Units::bernoulli(shape.visible.width() + shape.hidden[1].width());
    let visible = seen.build(dtype, &device)?;
    if let Some((_, bias)) = visible.vars().first() {
        bias.set(&Tensor::cat(&[&layer(0).bias()?, &layer(2).bias()?], 0)?.detach())?;
    }
    let both = Tensor::cat(&[&weights(0), &weights(1).t()?.contiguous()?], 0)?;
    let mut rbms = vec![rbm(visible, layer(1), both)?];
    for k in 1..shape.hidden.len() {
        rbms.push(rbm(layer(k).try_clone()?, layer(k + 1), weights(k).copy()?)?);
    }
    Ok(rbms)
}

/// What the network sees of `cases` `(n, visible)`: these, and the means of the second hidden layer given them, `(n, visible + second)`. The
/// means are exact where they can be counted, else of mean field; labels are not given. `watch` is called with how many cases are done.
///
/// # Errors
///
/// For cases of another width, and as [`unrolled`].
pub fn seen(learner: &Learner, cases: &Tensor, watch: impl FnMut(usize)) -> Result<Tensor> {
    let hidden = &learner.shape().hidden;
    let [first, second] = [0, 1].map(|k| hidden.get(k).map_or(0, Units::width));
    let means = learner.posterior_watched(cases, watch)?.means;
    let means = means.filter(|_| second > 0 && cases.count() > 0);
    let expected = "a machine with two hidden layers, and cases";
    let means = means.ok_or_else(|| Error::invalid("means of a layer", expected, "none"))?;
    Ok(Tensor::cat(&[cases, &means.narrow(1, first, second)?], 1)?)
}
