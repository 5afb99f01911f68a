//! A layer under every sum of one input and one shift: what hidden units are for each of the labels that a case may have.

use candle_core::{D, Tensor};

use super::Layer;
use crate::{Error, Result, ops};

/// Weighted sums of what a layer expects under inputs_i + shifts_k.
#[derive(Debug, Clone)]
pub struct CrossedStatistics {
    /// Σ_k weights_ik·E[T | inputs_i + shifts_k], one `(batch, width)` for each parameter, in the order of [`Layer::vars`].
    pub by_input: Vec<Tensor>,
    /// Σ_i weights_ik·E[x | inputs_i + shifts_k], `(count, width)`.
    pub by_shift: Tensor,
}

/// [`Layer::crossed_cgf`], one shift after the other.
pub(super) fn cgf<L: Layer + ?Sized>(
    layer: &L,
    inputs: &Tensor,
    shifts: &Tensor,
) -> Result<Tensor> {
    let column = |k| layer.cgf(&shifted(inputs, shifts, k)?);
    let columns = (0..shifts.dim(0)?).map(column).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&columns, D::Minus1)?)
}

/// [`Layer::crossed_statistics`], one shift after the other.
pub(super) fn statistics<L: Layer + ?Sized>(
    layer: &L,
    inputs: &Tensor,
    shifts: &Tensor,
    weights: &Tensor,
) -> Result<CrossedStatistics> {
    let mut by_input: Vec<Tensor> = Vec::new();
    let mut by_shift = Vec::new();
    for k in 0..shifts.dim(0)? {
        let weights = weights.narrow(1, k, 1)?.detach();
        let expected = layer.expected_statistics(&shifted(inputs, shifts, k)?.detach())?;
        by_shift.push(weights.t()?.matmul(&layer.mean_among(&expected)?.detach())?);
        let weighted = expected.iter().map(|x| Ok(x.detach().broadcast_mul(&weights)?));
        let weighted = weighted.collect::<Result<Vec<_>>>()?;
        by_input = match k {
            0 => weighted,
            _ => by_input
                .iter()
                .zip(weighted)
                .map(|(sum, x)| Ok((sum + x)?))
                .collect::<Result<_>>()?,
        };
    }
    if by_shift.is_empty() {
        return Err(Error::invalid("shifts of a layer's inputs", "at least one", "none"));
    }
    Ok(CrossedStatistics { by_input, by_shift: Tensor::cat(&by_shift, 0)? })
}

/// `inputs` `(batch, width)` with row `k` of `shifts` added to each of them.
fn shifted(inputs: &Tensor, shifts: &Tensor, k: usize) -> Result<Tensor> {
    ops::add_bias(inputs, &shifts.get(k)?)
}
