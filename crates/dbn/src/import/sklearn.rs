//! scikit-learn's `BernoulliRBM`, by its attributes.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_dbn_data::Arrays;
use rbm_core::{Error, Result, Units};

use super::Imported;
use super::assemble::{Named, RbmTensors, stacked};
use super::budget::Budget;

/// The machine whose attributes the file `path` has under their own names:
///
/// ```python
/// np.savez("rbm.npz", components_=rbm.components_, intercept_hidden_=rbm.intercept_hidden_,
///          intercept_visible_=rbm.intercept_visible_)
/// ```
///
/// # Errors
///
/// Where the file is no `.npz`, lacks an array, or has one of another shape or with numbers that are not finite.
pub fn sklearn(path: impl AsRef<Path>) -> Result<Imported> {
    let path = path.as_ref();
    let mut arrays = Arrays::open(path)?;
    let components = arrays.shape("components_")?;
    let &[hidden, visible] = &components[..] else {
        let place = "array \"components_\"";
        let found = format!("{components:?}");
        return Err(Error::file(path, place, "shape (hidden, visible)", found));
    };
    // All shapes before any number.
    let mut budget = Budget::of(path)?;
    for (name, expected) in [
        ("components_", &components),
        ("intercept_visible_", &vec![visible]),
        ("intercept_hidden_", &vec![hidden]),
    ] {
        let (place, found) = (format!("array {name:?}"), arrays.shape(name)?);
        if found != *expected {
            let expected = format!("shape {expected:?}, as components_ has it");
            return Err(Error::file(path, place, expected, format!("{found:?}")));
        }
        budget.take(&place, found.iter().product())?;
    }
    let mut named = |name: &str| -> Result<Named> {
        let (shape, values) = arrays.get(name)?;
        Ok(Named::new(name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    let components = named("components_")?;
    let found = RbmTensors {
        visible: Units::bernoulli(visible),
        hidden: Units::bernoulli(hidden),
        weights: Named::new(components.name, components.tensor.t()?),
        visible_bias: named("intercept_visible_")?,
        hidden_bias: named("intercept_hidden_")?,
    };
    Ok(Imported { model: stacked(path, &[found])?, notes: Vec::new() })
}
