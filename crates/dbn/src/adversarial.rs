//! Cases moved to where a network does worst on them, to be learned from there as well.
//!
//! Goodfellow, Shlens, Szegedy 2015, equation for J̃ with α = ½; the move is a step along the gradient of a given Euclidean length
//! (Miyato, Dai, Goodfellow 2017, equation 4), not one along its sign, so that pixels that say nothing stay as they are.

use candle_core::{Tensor, Var};
use rbm_core::{Error, Result, Rng, ops};

use crate::unrolled::Slopes;

/// The mean of what `slopes` says of the `cases` `(batch, width)` as they are, and of the same moved by `distance` each against
/// the objective's gradient. Both times the generator is the same, so the same units are left out.
pub(crate) fn slopes(
    cases: &Tensor,
    distance: f64,
    rng: &mut Rng,
    slopes: impl Fn(&Tensor, &mut Rng) -> Result<Slopes>,
) -> Result<Slopes> {
    let before = *rng;
    let there = slopes(Var::from_tensor(&cases.detach())?.as_tensor(), rng)?;
    let Some(slope) = &there.cases else {
        return Err(Error::invalid("adversarial cases", "a gradient of the cases", "none"));
    };
    let moved = (cases.detach() - steepest(slope, distance)?)?;
    *rng = before;
    let moved = slopes(&moved, rng)?;
    let ascents = there.ascents.into_iter().zip(moved.ascents);
    let ascents = ascents.map(|(there, moved)| there.and(moved)?.times(0.5));
    Ok(Slopes {
        objective: ((there.objective + moved.objective)? * 0.5)?,
        ascents: ascents.collect::<Result<_>>()?,
        cases: None,
    })
}

/// The rows of `slope` `(batch, width)` brought to Euclidean length `length`; a row of zeros stays what it is.
fn steepest(slope: &Tensor, length: f64) -> Result<Tensor> {
    // Squares of gradients of 1e-20 would be zero in f32: the largest value of each row is taken out first.
    let largest = slope.abs()?.max_keepdim(1)?;
    let largest = (&largest + largest.eq(0.0)?.to_dtype(slope.dtype())?)?;
    let scaled = slope.broadcast_div(&largest)?;
    let norm = ops::sum_within_rows(&scaled.sqr()?)?.unsqueeze(1)?.sqrt()?;
    let norm = (&norm + norm.eq(0.0)?.to_dtype(slope.dtype())?)?;
    Ok((scaled.broadcast_div(&norm)? * length)?)
}
