//! Adversarial training: every case is learned from a second time, moved to where its objective falls fastest.
//!
//! Goodfellow, Shlens, Szegedy 2015, the objective J̃ with α = ½. The move is one step down the gradient, of a given Euclidean length
//! and not along the gradient's sign (as in Miyato, Dai, Goodfellow 2017), so that values that say nothing stay as they are. It is
//! measured in the units of the data as the network sees them, scaled or standardised, and may leave their range.
//!
//! Virtual adversarial training (Miyato, Maeda, Koyama, Ishii 2018) asks of the moved case not its label but what the network
//! believes of the case where it is, and moves it to where that belief changes fastest. Where the case is nothing changes yet, so
//! the gradient is that at a random step. The paper has a tiny one; here it is as long as the move: of one a millionth as long,
//! spread over hundreds of values, `f32` would keep a digit or none.

use candle_core::{D, Tensor, Var};
use rbm_core::{Error, Result, Rng, ops};

use crate::unrolled::Slopes;

/// The mean of what `slopes_at` says of the `cases` `(batch, width)` as they are, and of their adversarial examples at `distance`.
/// Both times the generator is the same, so the same units are left out.
pub(crate) fn slopes(
    cases: &Tensor,
    distance: f64,
    rng: &mut Rng,
    slopes_at: impl Fn(&Tensor, &mut Rng) -> Result<Slopes>,
) -> Result<Slopes> {
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
    slopes_at: impl Fn(&Tensor, Option<&Tensor>, &mut Rng) -> Result<(Slopes, Tensor)>,
) -> Result<Slopes> {
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
fn moved(cases: &Tensor, slopes: &Slopes, distance: f64) -> Result<Tensor> {
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
