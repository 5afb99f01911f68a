//! Label units: a site of one-hot units beside those of the layer below, on the visible side of the top machine.
//!
//! Hinton, Osindero, Teh 2006, §5 and §6.1: the top machine learns pictures and their labels together, so that it can be asked
//! for either by the other; what it says of the labels is [`ClassRbm`](rbm_core::ClassRbm)'s.

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Units};

/// Whether each case has a number of draws of its own: documents of different lengths.
pub fn has_own_draws(units: &Units) -> bool {
    matches!(units, Units::Multinomial { draws: 0, .. })
}

/// `units` with a site of `classes` label units after them.
pub fn beside(units: &Units, classes: usize) -> Units {
    let mut groups: Vec<Units> =
        units.groups().into_iter().map(|(_, units)| units.clone()).collect();
    groups.push(Units::Potts { sites: 1, states: classes });
    Units::Concat { groups }
}

/// One-hot codes `(labels.len(), classes)`.
///
/// # Errors
///
/// For a label that is not below `classes`.
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
///
/// # Errors
///
/// Where there are not as many rows of both.
pub fn joined(x: &Tensor, codes: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[x, codes], 1)?.contiguous()?)
}
