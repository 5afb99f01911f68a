//! Label units and their codes.

use candle_core::{DType, Device, Tensor};
pub use rbm_core::model::join_labels;
use rbm_core::{Error, Result, Units};

/// `units` with a site of `classes` label units after them.
pub fn with_label_units(units: &Units, classes: usize) -> Units {
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
pub fn label_codes(
    labels: &[u32],
    classes: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
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
