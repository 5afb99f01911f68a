//! Machines of files of named arrays: scikit-learn's `BernoulliRBM` by its attributes, and the HDF5 files of `rbms` (DsysDML), one machine as
//! it was after each of several numbers of updates.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_dbn_data::Arrays;
use hdf5_pure::File;
use rbm_core::{Error, Result, Units};

use super::{Budget, Imported, NamedTensor, RbmTensors, stacked};

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
    let mut named = |name: &str| -> Result<NamedTensor> {
        let (shape, values) = arrays.get(name)?;
        Ok(NamedTensor::new(name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    let components = named("components_")?;
    let found = RbmTensors {
        visible: Units::bernoulli(visible),
        hidden: Units::bernoulli(hidden),
        weights: NamedTensor::new(components.name, components.tensor.t()?),
        visible_bias: named("intercept_visible_")?,
        hidden_bias: named("intercept_hidden_")?,
    };
    Ok(Imported { model: stacked(path, &[found])?, notes: Vec::new() })
}

const RBMS: &str = "an HDF5 file of rbms";

/// The machine in the file `path` as it was after `update` updates, or after the last. A `BBRBM` has Bernoulli units; the
/// visible ones of a `PBRBM` are Potts sites, one column for each state of the first site, then of the second.
///
/// # Errors
///
/// Where the file is none of `rbms`, lacks the update (with those that it has) or a part of it, or has other shapes or numbers
/// that are not finite.
pub fn rbms(path: impl AsRef<Path>, update: Option<u64>) -> Result<Imported> {
    let path = path.as_ref();
    let file = File::open_streaming(path).map_err(|e| match e {
        hdf5_pure::Error::Io(e) => Error::io(path, e),
        e => Error::file(path, "the file", RBMS, e.to_string()),
    })?;
    let failed = |place: &str, e: hdf5_pure::Error| Error::file(path, place, RBMS, e.to_string());
    let groups = file.root().groups().map_err(|e| failed("/", e))?;
    let number = |name: &String| name.strip_prefix("update_")?.parse::<u64>().ok();
    let mut updates: Vec<u64> = groups.iter().filter_map(number).collect();
    updates.sort_unstable();
    let chosen = update.map_or(updates.last(), |update| updates.iter().find(|n| **n == update));
    let Some(chosen) = chosen else {
        let expected = match update {
            Some(update) => format!("a group update_{update}"),
            None => format!("{RBMS}, with groups update_1 and so on"),
        };
        let there: Vec<_> = match updates.is_empty() {
            true => groups,
            false => updates.iter().map(ToString::to_string).collect(),
        };
        let found = if there.is_empty() { "none".into() } else { there.join(", ") };
        return Err(Error::file(path, "/", expected, found));
    };
    let place = format!("update_{chosen}/params");
    // Before there was a group of them, the parameters lay in the update itself.
    let params = file.group(&place).or_else(|_| file.group(&format!("update_{chosen}")));
    let params = params.map_err(|e| failed(&place, e))?;
    let shape = |name: &str| -> Result<Vec<usize>> {
        let shape = params.dataset(name).and_then(|data| data.shape());
        let shape = shape.map_err(|e| failed(&format!("{place}/{name}"), e))?;
        Ok(shape.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect())
    };
    let shapes = (shape("weight_matrix")?, shape("vbias")?, shape("hbias")?);
    let kind = file.dataset("model_type").and_then(|kind| kind.read_string());
    let kind = kind.ok().and_then(|kinds| kinds.into_iter().next());
    let shape = shapes.0;
    let (visible, hidden) = match (kind.as_deref(), &shape[..]) {
        (Some("BBRBM") | None, &[visible, hidden]) => (Units::bernoulli(visible), hidden),
        (Some("PBRBM") | None, &[sites, states, hidden]) => {
            (Units::Potts { sites, states }, hidden)
        }
        (Some("BBRBM" | "PBRBM") | None, _) => {
            let expected = "shape (visible, hidden) of a BBRBM, (sites, states, hidden) of a PBRBM";
            let place = format!("{place}/weight_matrix");
            return Err(Error::file(path, place, expected, format!("{shape:?}")));
        }
        (Some(other), _) => {
            return Err(Error::file(path, "model_type", "BBRBM or PBRBM", other));
        }
    };
    // All shapes before any number.
    let columns = [shape[..shape.len() - 1].iter().copied().fold(1, usize::saturating_mul)];
    let mut budget = Budget::of(path)?;
    for (name, found, possible) in [
        ("weight_matrix", &shape, &[&shape[..], &shape]),
        ("vbias", &shapes.1, &[&shape[..shape.len() - 1], &columns]),
        ("hbias", &shapes.2, &[&[hidden], &[hidden]]),
    ] {
        let place = format!("{place}/{name}");
        if !possible.contains(&&found[..]) {
            let expected = format!("shape {:?}, as the weight matrix has it", possible[0]);
            return Err(Error::file(path, place, expected, format!("{found:?}")));
        }
        budget.take(&place, found.iter().copied().fold(1, usize::saturating_mul))?;
    }
    let named = |name: &str, shape: &[usize]| -> Result<NamedTensor> {
        let place = format!("{place}/{name}");
        let values = params.dataset(name).and_then(|data| data.read_f32());
        let values = values.map_err(|e| failed(&place, e))?;
        let count = shape.iter().product::<usize>();
        if values.len() != count {
            let expected = format!("{count} numbers for shape {shape:?}");
            return Err(Error::file(path, place, expected, values.len().to_string()));
        }
        Ok(NamedTensor::new(place, Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    let weights = named("weight_matrix", &[columns[0], hidden])?;
    let visible_bias = named("vbias", &columns)?;
    let hidden_bias = named("hbias", &[hidden])?;
    let found = RbmTensors {
        visible,
        hidden: Units::bernoulli(hidden),
        weights,
        visible_bias,
        hidden_bias,
    };
    let updates: Vec<_> = updates.iter().map(ToString::to_string).collect();
    let note = format!("update {chosen} of {}", updates.join(", "));
    Ok(Imported { model: stacked(path, &[found])?, notes: vec![note] })
}
