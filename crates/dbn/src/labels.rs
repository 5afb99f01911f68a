//! Label units: a site of one-hot units beside those of the layer below, on the visible side of the top machine.
//!
//! Hinton, Osindero, Teh 2006, §5 and §6.1: the top machine learns pictures and their labels together, so that it can be asked
//! for either by the other.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::log_softmax;
use rbm_core::{Error, Rbm, Result, Units};

/// `units` with a site of `classes` label units after them.
pub fn beside(units: &Units, classes: usize) -> Units {
    let mut groups: Vec<Units> =
        units.groups().into_iter().map(|(_, units)| units.clone()).collect();
    groups.push(Units::Potts { sites: 1, states: classes });
    Units::Concat { groups }
}

/// One-hot codes `(labels.len(), classes)`. Errors for a label that is not below `classes`.
pub fn codes(labels: &[u32], classes: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut values = vec![0f32; labels.len() * classes];
    for (row, &label) in values.chunks_mut(classes.max(1)).zip(labels) {
        match row.get_mut(label as usize) {
            Some(value) => *value = 1.0,
            None => {
                let expected = format!("below the model's {classes} classes");
                return Err(Error::invalid("a label", expected, label.to_string()));
            }
        }
    }
    let codes = Tensor::from_vec(values, (labels.len(), classes), &Device::Cpu)?;
    Ok(codes.to_dtype(dtype)?.to_device(device)?)
}

/// The visible side of the top machine, `(batch, width + classes)`, from what arrives of the data and the labels' codes.
pub fn joined(x: &Tensor, codes: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[x, codes], 1)?.contiguous()?)
}

/// The free energies F(x, y) `(batch, classes)` that the joint machine `top` gives what arrives, `x` `(batch, width)`, with
/// each label y: exact, with one product for x. −F is log p(y | x) up to a constant of each row. Differentiable.
pub fn free_energies(top: &Rbm, classes: usize, x: &Tensor) -> Result<Tensor> {
    let (batch, width) = x.dims2()?;
    let weights = top.weights().as_tensor();
    let inputs = x.matmul(&weights.narrow(0, 0, width)?)?;
    let mut energies = Vec::with_capacity(classes);
    for label in 0..classes as u32 {
        let codes = codes(&vec![label; batch], classes, x.dtype(), x.device())?;
        let inputs = inputs.broadcast_add(&weights.narrow(0, width + label as usize, 1)?)?;
        energies.push((top.visible().energy(&joined(x, &codes)?)? - top.hidden().cgf(&inputs)?)?);
    }
    Ok(Tensor::stack(&energies, 1)?)
}

/// log p(y | x) `(batch, classes)` by the joint machine `top`. Differentiable.
pub fn log_probabilities(top: &Rbm, classes: usize, x: &Tensor) -> Result<Tensor> {
    Ok(log_softmax(&free_energies(top, classes, x)?.neg()?, D::Minus1)?)
}

/// E[h | x] = Σ_y p(y | x)·E[h | x, y], `(batch, hidden)`: what the hidden units of the joint machine `top` do when the label
/// is not known. Differentiable.
pub fn hidden_mean(top: &Rbm, classes: usize, x: &Tensor) -> Result<Tensor> {
    let width = x.dim(1)?;
    let weights = top.weights().as_tensor();
    let inputs = x.matmul(&weights.narrow(0, 0, width)?)?;
    let shares = log_probabilities(top, classes, x)?.exp()?;
    let mut mean = inputs.zeros_like()?;
    for label in 0..classes {
        let inputs = inputs.broadcast_add(&weights.narrow(0, width + label, 1)?)?;
        let share = shares.narrow(1, label, 1)?;
        mean = (mean + top.hidden().mean(&inputs)?.broadcast_mul(&share)?)?;
    }
    Ok(mean)
}
