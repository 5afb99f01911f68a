//! Adversarial training: every case is learned from a second time, moved to where its objective falls fastest.
//!
//! Goodfellow, Shlens, Szegedy 2015, the objective J̃ with α = ½. The move is one step down the gradient, of a given Euclidean length
//! and not along the gradient's sign (as in Miyato, Dai, Goodfellow 2017), so that values that say nothing stay as they are. It is
//! measured in the units of the data as the network sees them, scaled or standardised, and may leave their range.

use candle_core::{Tensor, Var};
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
    let before = *rng;
    let there = slopes_at(Var::from_tensor(&cases.detach())?.as_tensor(), rng)?;
    let Some(slope) = &there.cases else {
        return Err(Error::invalid("adversarial examples", "a gradient of the cases", "none"));
    };
    let examples = (cases.detach() - brought_to(distance, slope)?)?;
    *rng = before;
    let moved = slopes_at(&examples, rng)?;
    let ascents = there.ascents.into_iter().zip(moved.ascents);
    let ascents = ascents.map(|(there, moved)| there.and(moved)?.times(0.5));
    Ok(Slopes {
        objective: ((there.objective + moved.objective)? * 0.5)?,
        ascents: ascents.collect::<Result<_>>()?,
        cases: None,
    })
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
