//! A training on disk: tensors and a record, in one file that is always whole.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::Device;
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::State;
use crate::{Error, Result};

/// The metadata key under which the record lies.
const RECORD: &str = "record";

/// How the names of files begin that are still being written.
pub const UNFINISHED: &str = ".writing-";

/// What a training needs to go on.
#[derive(Debug, Clone)]
pub struct Checkpoint<R> {
    /// Parameters and memory by name.
    pub tensors: State,
    /// Everything that is not a tensor: position, generator, counts.
    pub record: R,
}

impl<R: Serialize + DeserializeOwned> Checkpoint<R> {
    /// Writes the checkpoint beside `path` and renames it, so that `path` is either the old one or the new one.
    pub fn save(&self, path: &Path) -> Result<()> {
        let record = serde_json::to_string(&self.record)
            .map_err(|e| Error::invalid("checkpoint record", "plain data", e.to_string()))?;
        let metadata = HashMap::from([(RECORD.to_owned(), record)]);
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| {
            Error::invalid("checkpoint", "tensors that safetensors can hold", e.to_string())
        })?;
        write_whole(path, &bytes)?;
        tracing::debug!(path = %path.display(), bytes = bytes.len(), "checkpoint written");
        Ok(())
    }

    /// Reads a checkpoint. Errors when the file is missing, cut short, or not a checkpoint.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let wrong = |found: String| Error::file(path, "header", "a checkpoint of dbn", found);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let record = header.metadata().as_ref().and_then(|metadata| metadata.get(RECORD));
        let record = record.ok_or_else(|| wrong("a safetensors file without a record".into()))?;
        let record = serde_json::from_str(record)
            .map_err(|e| wrong(format!("a record of another kind ({e})")))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self { tensors: tensors.into_iter().collect(), record })
    }
}

/// Writes `bytes` to a new file beside `path`, makes sure that they are on the disk, and renames it to `path`: whoever
/// looks finds the old file or the new one, whole. On failure nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |file| file.write_all(bytes).map_err(|e| Error::io(path, e)))
}

/// [`write_whole`] of what `write` writes, piece by piece. When `write` fails, whatever was there before stays.
pub fn write_whole_by<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e| Error::io(path, e);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
