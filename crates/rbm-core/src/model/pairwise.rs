//! A layer under every sum of one input and one shift: what hidden units are for each of the labels that a case may have.

use candle_core::{D, Tensor};

use crate::{Error, Layer, Result, Units, ops};

/// Weighted sums of what a layer expects under inputs_i + shifts_k.
#[derive(Debug, Clone)]
pub struct PairwiseStatistics {
    /// Σ_k weights_ik·E[T | inputs_i + shifts_k], one `(batch, width)` for each parameter, in the order of [`Layer::vars`].
    pub by_input: Vec<Tensor>,
    /// Σ_i weights_ik·E[x | inputs_i + shifts_k], `(count, width)`.
    pub by_shift: Tensor,
}

/// [`Layer::cgf`] of inputs_i + shifts_k for every row i of `inputs` `(batch, width)` and every row k of `shifts`
/// `(count, width)`: `(batch, count)`. Differentiable.
///
/// # Errors
///
/// When the shapes do not fit the layer.
pub fn pairwise_cgf(layer: &dyn Layer, inputs: &Tensor, shifts: &Tensor) -> Result<Tensor> {
    if let Units::Bernoulli { .. } = layer.units() {
        let bias = bias_of(layer)?;
        return ops::bernoulli_cgf_pairwise(inputs, &ops::add_bias(shifts, &bias)?);
    }
    let column = |k| layer.cgf(&shifted(inputs, shifts, k)?);
    let columns = (0..shifts.dim(0)?).map(column).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&columns, D::Minus1)?)
}

/// What `layer` expects under the same sums, each weighted by one of `weights` `(batch, count)`; leaves.
///
/// # Errors
///
/// When the shapes do not fit the layer, or there are no shifts.
pub fn pairwise_statistics(
    layer: &dyn Layer,
    inputs: &Tensor,
    shifts: &Tensor,
    weights: &Tensor,
) -> Result<PairwiseStatistics> {
    if let Units::Bernoulli { .. } = layer.units() {
        let shifts = ops::add_bias(&shifts.detach(), &bias_of(layer)?.detach())?;
        let (by_input, by_shift) = ops::bernoulli_means_pairwise(inputs, &shifts, weights)?;
        return Ok(PairwiseStatistics { by_input: vec![by_input], by_shift });
    }
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
    Ok(PairwiseStatistics { by_input, by_shift: Tensor::cat(&by_shift, 0)? })
}

/// `inputs` `(batch, width)` with row `k` of `shifts` added to each of them.
fn shifted(inputs: &Tensor, shifts: &Tensor, k: usize) -> Result<Tensor> {
    ops::add_bias(inputs, &shifts.get(k)?)
}

/// The bias of a layer that has no other parameter.
fn bias_of(layer: &dyn Layer) -> Result<Tensor> {
    match layer.vars().first() {
        Some((_, bias)) => Ok(bias.as_tensor().clone()),
        None => Err(Error::invalid("a layer's parameters", "at least a bias", "none")),
    }
}
