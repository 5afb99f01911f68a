//! What a part of learning must remember to go on as if it had never stopped.

mod checkpoint;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, WithDType};

use crate::{Error, Result};

pub use checkpoint::{Checkpoint, UNFINISHED, sweep, write_new, write_whole, write_whole_by};

/// Named tensors: velocities, chains, running means.
pub type State = BTreeMap<String, Tensor>;

/// Something whose memory between steps can be taken out and put back.
pub trait Stateful {
    /// The memory as named tensors. They may share storage with the living ones: write them out before the next step.
    fn state(&self) -> State {
        State::new()
    }

    /// Puts back what [`Stateful::state`] gave.
    ///
    /// # Errors
    ///
    /// When a tensor is missing.
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
///
/// # Errors
///
/// When there is no such tensor.
pub fn take(state: &State, name: &str) -> Result<Tensor> {
    match state.get(name) {
        Some(tensor) => Ok(tensor.copy()?),
        None => Err(Error::invalid(format!("state {name:?}"), "a tensor of this name", "none")),
    }
}

/// Numbers of any type as a tensor on the CPU, where none of them is rounded. Nothing where there are no numbers: some readers
/// of safetensors refuse tensors of no bytes.
pub fn numbers<T: WithDType>(name: &str, numbers: &[T]) -> Option<(String, Tensor)> {
    let tensor = Tensor::new(numbers, &Device::Cpu).ok()?;
    (!numbers.is_empty()).then(|| (name.to_owned(), tensor))
}

/// The way back from [`numbers`].
///
/// # Errors
///
/// When they are of another type.
pub fn take_numbers<T: WithDType>(state: &State, name: &str) -> Result<Vec<T>> {
    let Some(tensor) = state.get(name) else { return Ok(Vec::new()) };
    if tensor.dtype() != T::DTYPE {
        let expected = format!("numbers of {}", T::DTYPE.as_str());
        return Err(Error::invalid(format!("state {name:?}"), expected, tensor.dtype().as_str()));
    }
    Ok(tensor.to_vec1::<T>()?)
}

/// [`numbers`] that count something.
pub fn counts(name: &str, counts: &[usize]) -> Option<(String, Tensor)> {
    numbers(name, &counts.iter().map(|&count| count as i64).collect::<Vec<_>>())
}

/// The way back from [`counts`].
///
/// # Errors
///
/// When there are not `N` of them.
pub fn take_counts<const N: usize>(state: &State, name: &str) -> Result<[usize; N]> {
    let found = take_numbers::<i64>(state, name)?;
    let counts: Vec<_> = found.iter().filter_map(|&count| usize::try_from(count).ok()).collect();
    <[usize; N]>::try_from(counts).map_err(|_| {
        Error::invalid(format!("state {name:?}"), format!("{N} counts"), format!("{found:?}"))
    })
}

/// The state with `prefix.` before every name.
pub fn with_prefix(prefix: &str, state: State) -> impl Iterator<Item = (String, Tensor)> {
    state.into_iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor))
}

/// The tensors whose names start with `prefix.`, under their names without it.
pub fn without_prefix(prefix: &str, state: &State) -> State {
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

/// The list that [`numbered`] wrote.
///
/// # Errors
///
/// When one in the middle is missing.
pub fn take_numbered(name: &str, state: &State) -> Result<Vec<Tensor>> {
    let count = state
        .keys()
        .filter(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        .count();
    (0..count).map(|i| take(state, &format!("{name}.{i}"))).collect()
}
