//! What a part of learning must remember to go on as if it had never stopped: named tensors, and a training on disk.
//!
//! A checkpoint is tensors and a record, in one file that is always whole.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor, WithDType};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::ops::device::is_finite;
use crate::{Error, Result};

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
pub fn get(state: &State, name: &str) -> Result<Tensor> {
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
pub fn get_numbers<T: WithDType>(state: &State, name: &str) -> Result<Vec<T>> {
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
pub fn get_counts<const N: usize>(state: &State, name: &str) -> Result<[usize; N]> {
    let found = get_numbers::<i64>(state, name)?;
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
pub fn get_numbered(name: &str, state: &State) -> Result<Vec<Tensor>> {
    let count = state
        .keys()
        .filter(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        .count();
    (0..count).map(|i| get(state, &format!("{name}.{i}"))).collect()
}

/// The metadata key under which the record lies.
const RECORD: &str = "record";
/// What stands before it: the checksum of everything else. Under a key of its own it would stand now before, now behind the record.
const CHECKSUM: &str = "crc32:";
/// What stands in its place until it is known.
const NO_SUM: &str = "00000000";
const FORM: &str = "a checkpoint of dbn";

/// How the names of files begin that are still being written.
pub const UNFINISHED: &str = ".writing-";

/// What a training needs to go on.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rbm_core::state::State;
/// use rbm_core::{Checkpoint, Rng};
///
/// let folder = tempfile::tempdir().map_err(|e| rbm_core::Error::io(std::env::temp_dir(), e))?;
/// let path = folder.path().join("training.safetensors");
/// let tensors = State::from([("velocity".to_owned(), Tensor::new(&[0.5f32, 2.0], &Device::Cpu)?)]);
/// Checkpoint { tensors, record: Rng::new(7) }.save(&path)?; // whole, or not at all
///
/// let found = Checkpoint::<Rng>::load(&path, &Device::Cpu)?;
/// assert_eq!(found.record, Rng::new(7));
/// assert_eq!(found.tensors["velocity"].to_vec1::<f32>()?, [0.5, 2.0]);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint<R = Value> {
    /// Parameters and memory by name.
    pub tensors: State,
    /// Everything that is not a tensor: position, generator, counts.
    pub record: R,
}

impl Checkpoint {
    /// The same with a record of the type `R`.
    ///
    /// # Errors
    ///
    /// When the record is not one.
    pub fn typed<R: DeserializeOwned>(self) -> Result<Checkpoint<R>> {
        let record = serde_json::from_value(self.record).map_err(|e| {
            Error::invalid("the checkpoint's record", "one of this training", e.to_string())
        })?;
        Ok(Checkpoint { tensors: self.tensors, record })
    }
}

impl<R: Serialize> Checkpoint<R> {
    /// The same with a record of any type, as observers get it.
    ///
    /// # Errors
    ///
    /// When the record is no plain data.
    pub fn untyped(self) -> Result<Checkpoint> {
        let record = serde_json::to_value(self.record)
            .map_err(|e| Error::invalid("checkpoint record", "plain data", e.to_string()))?;
        Ok(Checkpoint { tensors: self.tensors, record })
    }
}

impl<R: Serialize + DeserializeOwned> Checkpoint<R> {
    /// Writes the checkpoint beside `path` and renames it, so that `path` is either the old one or the new one.
    ///
    /// # Errors
    ///
    /// For numbers that are not finite, and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let record = serde_json::to_string(&self.record)
            .map_err(|e| Error::invalid("checkpoint record", "plain data", e.to_string()))?;
        for (name, tensor) in &self.tensors {
            if !is_finite(tensor)? {
                let what = format!("{name} is no longer finite");
                return Err(Error::Diverged {
                    place: "training".into(),
                    what,
                    hint: String::new(),
                });
            }
        }
        let metadata = HashMap::from([(RECORD.to_owned(), format!("{CHECKSUM}{NO_SUM} {record}"))]);
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let mut bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| {
            Error::invalid("checkpoint", "tensors that safetensors can hold", e.to_string())
        })?;
        seal(&mut bytes, &record).map_err(|found| Error::file(path, "header", FORM, found))?;
        write_whole(path, &bytes)?;
        tracing::debug!(path = %path.display(), bytes = bytes.len(), "checkpoint written");
        Ok(())
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    ///
    /// When the file is missing, cut short, not a checkpoint, or not as it was written: the checksum of its tensors
    /// and its record is another, or a number is not finite.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let wrong = |found: String| Error::file(path, "header", FORM, found);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let record = header.metadata().as_ref().and_then(|metadata| metadata.get(RECORD));
        let record = record.ok_or_else(|| wrong("a safetensors file without a record".into()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
        let record = match record.strip_prefix(CHECKSUM).and_then(|rest| rest.split_once(' ')) {
            Some((written, record)) => {
                let sum = checksum(&file, record);
                if written != sum {
                    let expected =
                        format!("contents with the checksum {written}, as they were written");
                    let found = format!("{sum}: the file is damaged");
                    return Err(Error::file(path, "contents", expected, found));
                }
                record
            }
            None => {
                tracing::warn!(path = %path.display(), "a checkpoint without a checksum, of an earlier version: taken as it is");
                record
            }
        };
        let record = serde_json::from_str(record)
            .map_err(|e| wrong(format!("a record of another kind ({e})")))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)
            .map_err(|e| wrong(e.to_string()))?;
        let tensors: State = tensors.into_iter().collect();
        for (name, tensor) in &tensors {
            if !is_finite(tensor)? {
                let place = format!("tensor {name:?}");
                return Err(Error::file(path, place, "finite numbers", "NaN or infinity"));
            }
        }
        Ok(Self { tensors, record })
    }
}

/// Puts the checksum of what is serialised in `bytes` into its place in their header.
fn seal(bytes: &mut [u8], record: &str) -> std::result::Result<(), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let sum = checksum(&file, record);
    // Within texts quotation marks are escaped, so that this stands in one place.
    let place = format!("\"{RECORD}\":\"{CHECKSUM}{NO_SUM} ");
    let at = bytes.windows(place.len()).position(|part| part == place.as_bytes());
    let at = at.ok_or("no place for a checksum")? + place.len() - 1 - NO_SUM.len();
    bytes[at..at + sum.len()].copy_from_slice(sum.as_bytes());
    Ok(())
}

/// The CRC-32 of the names, types, shapes and bytes of all tensors, and of the record.
fn checksum(file: &SafeTensors, record: &str) -> String {
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut sum = crc32fast::Hasher::new();
    sum.update(record.as_bytes());
    for (name, tensor) in tensors {
        sum.update(format!("\n{name} {:?} {:?}\n", tensor.dtype(), tensor.shape()).as_bytes());
        sum.update(tensor.data());
    }
    format!("{:08x}", sum.finalize())
}

/// Writes `bytes` to a new file beside `path`, makes sure that they are on the disk, and renames it to `path`: whoever
/// looks finds the old file or the new one, whole. On failure nothing is left behind; what a killed process left is taken away
/// by whoever writes into the same folder next.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_whole_by(path, |file| file.write_all(bytes).map_err(|e| Error::io(path, e)))
}

/// [`write_whole`] of what `write` writes, piece by piece. When `write` fails, whatever was there before stays.
///
/// # Errors
///
/// As `write`, and when the file cannot be written.
pub fn write_whole_by<E: From<Error>>(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut File) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let path = path.as_ref();
    let failed = |e| Error::io(path, e);
    let mut file = begin(path)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// [`write_whole`] to a file that must not exist yet: of two that try it at the same time one fails.
///
/// # Errors
///
/// When the file exists, or cannot be written.
pub fn write_new(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let failed = |e| Error::io(path, e);
    let mut file = begin(path)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A file beside `path` that is locked as long as it is written.
fn begin(path: &Path) -> Result<NamedTempFile> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let missing = format!("there is no folder {}", folder.display());
        return Err(Error::io(path, std::io::Error::new(std::io::ErrorKind::NotFound, missing)));
    }
    sweep(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(folder).map_err(|e| Error::io(path, e))?;
        // Where a file system knows no locks nobody takes the file away either.
        let _ = file.as_file().lock();
        // Before it was locked it looked like one that a killed process has left.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Takes away what killed processes were writing in `folder`: files that nobody has locked.
pub fn sweep(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        if !is_unfinished || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok())
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(path = %path.display(), %error, "left behind");
        }
    }
}
