//! What a part of learning must remember to go on as if it had never stopped.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::{Error, Result};

/// Named tensors: velocities, chains, running means.
pub type State = BTreeMap<String, Tensor>;

/// Something whose memory between steps can be taken out and put back.
pub trait Stateful {
    /// The memory as named tensors. They may share storage with the living ones: write them out before the next step.
    fn state(&self) -> State {
        State::new()
    }

    /// Puts back what [`Stateful::state`] gave. Errors when a tensor is missing.
    fn restore(&mut self, state: &State) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

impl<T: Stateful + ?Sized> Stateful for Box<T> {
    fn state(&self) -> State {
        (**self).state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        (**self).restore(state)
    }
}

/// A copy of the tensor `name`, or an error that names it.
pub fn take(state: &State, name: &str) -> Result<Tensor> {
    match state.get(name) {
        Some(tensor) => Ok(tensor.copy()?),
        None => Err(Error::invalid(format!("state {name:?}"), "a tensor of this name", "none")),
    }
}

/// The state with `prefix.` before every name.
pub fn prefixed(prefix: &str, state: State) -> impl Iterator<Item = (String, Tensor)> {
    state.into_iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor))
}

/// The tensors whose names start with `prefix.`, under their names without it.
pub fn below(prefix: &str, state: &State) -> State {
    let strip = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
    state.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
}

/// A list of tensors under the names `name.0`, `name.1`, ….
pub fn numbered<'a>(
    name: &'a str,
    tensors: &'a [Tensor],
) -> impl Iterator<Item = (String, Tensor)> + 'a {
    tensors.iter().enumerate().map(move |(i, tensor)| (format!("{name}.{i}"), tensor.clone()))
}

/// The list that [`numbered`] wrote. Errors when one in the middle is missing.
pub fn take_numbered(name: &str, state: &State) -> Result<Vec<Tensor>> {
    let count = state
        .keys()
        .filter(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        .count();
    (0..count).map(|i| take(state, &format!("{name}.{i}"))).collect()
}
