//! The tensors of a PyTorch state dict in a `.pt` file: a zip archive of a pickle and of the numbers beside it.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};
use candle_dbn_data::{Element, ElementKind};
use rbm_core::{Error, Result};
use zip::{CompressionMethod, ZipArchive};

use super::Budget;
use super::pickle::{Id, Value, Values};

const FORM: &str = "a PyTorch state dict, as torch.save(model.state_dict(), …) writes it (a pickled model is code: save its state dict, or safetensors)";

/// Where training scripts keep the state dict among other things.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

const PICKLE: &str = "data.pkl";

/// The tensors by name, in `f32`, and notes of those that are not read.
///
/// # Errors
///
/// Where the file is no state dict, is damaged, or would take more memory than it can be worth.
pub fn read(path: impl AsRef<Path>) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let pickle = archive.entry(PICKLE)?;
    let values = Values::of(&pickle)
        .map_err(|found| Error::file(path, PICKLE, FORM, format!("a pickle with {found}")))?;
    // Older files do not say it.
    let is_big_endian = archive.has("byteorder") && archive.entry("byteorder")? == b"big";
    let named = in_dict(&values, values.saved());
    let found = std::iter::once(named).chain(KEYS.map(|key| {
        let Value::Dict(items) = values.saved() else { return Vec::new() };
        let is_key = |(name, _): &&(Id, Id)| *values.get(*name) == Value::Text(key);
        let dict = items.iter().rev().find(is_key).map(|(_, dict)| values.get(*dict));
        dict.map_or_else(Vec::new, |dict| in_dict(&values, dict))
    }));
    let Some(named) = found.into_iter().find(|named| !named.is_empty()) else {
        return Err(Error::file(path, "the file", FORM, "no tensors by name"));
    };
    let (mut tensors, mut notes, mut storages) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    let mut budget = Budget::of(path)?;
    for (name, call) in named {
        let place = format!("tensor {name:?}");
        let view = View::of(&values, call);
        let Some((kind, view)) = view.and_then(|view| Some((kind(view.class)?, view))) else {
            notes.push(format!("left aside: {name}, a tensor of another kind"));
            continue;
        };
        let Some(span) = view.span() else {
            let found = format!("shape {:?} with strides {:?}", view.shape, view.strides);
            let found = format!("{found} from {} on of {} numbers", view.offset, view.stored);
            return Err(Error::file(path, place, "numbers that its storage has", found));
        };
        budget.take(&place, span.len())?;
        let (written, storage) = match storages.entry(view.storage) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                budget.take(&place, view.stored)?;
                let number = Element { kind, is_big_endian };
                unread.insert((kind, archive.numbers(view.storage, number, view.stored)?))
            }
        };
        if (*written, storage.elem_count()) != (kind, view.stored) {
            let expected = "its storage to be as another tensor says";
            let found = format!("{} numbers of {}", view.stored, view.class.replace('\n', "."));
            return Err(Error::file(path, place, expected, found));
        }
        tensors.insert(name.to_owned(), view.tensor(storage, span)?);
    }
    Ok((tensors, notes))
}

/// The calls in a dictionary that build tensors, by name.
fn in_dict<'a>(values: &Values<'a>, dict: &Value<'a>) -> Vec<(&'a str, Id)> {
    let Value::Dict(items) = dict else { return Vec::new() };
    let named = items.iter().filter_map(|(name, value)| match values.get(*name) {
        Value::Text(name) if is_tensor(values, *value) => Some((*name, *value)),
        _ => None,
    });
    named.collect()
}

fn is_tensor(values: &Values<'_>, id: Id) -> bool {
    let Value::Call(class, _) = values.get(id) else { return false };
    matches!(values.get(*class), Value::Class(class) if class.starts_with("torch._utils\n_rebuild_")
        || class.starts_with("torch._tensor\n_rebuild_"))
}

/// The type of the numbers of a storage.
fn kind(class: &str) -> Option<ElementKind> {
    Some(match class.strip_prefix("torch\n")? {
        "FloatStorage" => ElementKind::F32,
        "DoubleStorage" => ElementKind::F64,
        "HalfStorage" => ElementKind::F16,
        "BFloat16Storage" => ElementKind::Bf16,
        "BoolStorage" => ElementKind::Bool,
        "ByteStorage" => ElementKind::U8,
        "CharStorage" => ElementKind::I8,
        "ShortStorage" => ElementKind::I16,
        "IntStorage" => ElementKind::I32,
        "LongStorage" => ElementKind::I64,
        _ => return None,
    })
}

/// A tensor as it looks at the numbers of a storage.
struct View<'a> {
    class: &'a str,
    /// The name of the storage.
    storage: &'a str,
    /// How many numbers the storage has.
    stored: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> View<'a> {
    /// What a call builds, if it is one of those that PyTorch makes for a tensor.
    fn of(values: &Values<'a>, call: Id) -> Option<Self> {
        let mut call = call;
        // A parameter is a call with a tensor's call.
        for _ in 0..3 {
            let Value::Call(class, arguments) = values.get(call) else { return None };
            let Value::Class(class) = values.get(*class) else { return None };
            let Value::Tuple(arguments) = values.get(*arguments) else { return None };
            match *class {
                "torch._utils\n_rebuild_tensor_v2" => return Self::of_tensor(values, arguments),
                "torch._utils\n_rebuild_parameter"
                | "torch._utils\n_rebuild_parameter_with_state" => {
                    call = *arguments.first()?;
                }
                "torch._tensor\n_rebuild_from_type_v2" => {
                    let is_tensor = |id: &Id| {
                        *values.get(*id) == Value::Class("torch._utils\n_rebuild_tensor_v2")
                    };
                    arguments.first().filter(|id| is_tensor(id))?;
                    let Value::Tuple(arguments) = values.get(*arguments.get(2)?) else {
                        return None;
                    };
                    return Self::of_tensor(values, arguments);
                }
                _ => return None,
            }
        }
        None
    }

    /// From storage, offset, shape, strides, and what else there is.
    fn of_tensor(values: &Values<'a>, arguments: &[Id]) -> Option<Self> {
        let size = |id: &Id| match values.get(*id) {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let sizes = |id: &Id| match values.get(*id) {
            Value::Tuple(ids) => ids.iter().map(size).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let [storage, offset, shape, strides, ..] = arguments else { return None };
        let Value::Outside(storage) = values.get(*storage) else { return None };
        let Value::Tuple(storage) = values.get(*storage) else { return None };
        let [_, class, storage, _, stored] = &storage[..] else { return None };
        let Value::Class(class) = values.get(*class) else { return None };
        let Value::Text(storage) = values.get(*storage) else { return None };
        Some(Self {
            class,
            storage,
            stored: size(stored)?,
            offset: size(offset)?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        })
    }

    /// Which numbers of the storage the tensor lies between. `None` where they are not there, or fewer than the tensor's.
    fn span(&self) -> Option<Range<usize>> {
        if self.shape.len() != self.strides.len() {
            return None;
        }
        let count = self.shape.iter().try_fold(1, |count: usize, n| count.checked_mul(*n))?;
        if count == 0 {
            return Some(0..0);
        }
        let pairs = self.shape.iter().zip(&self.strides);
        let mut steps = pairs.map(|(n, stride)| (n - 1).checked_mul(*stride));
        let last = steps.try_fold(self.offset, |last, step| last.checked_add(step?))?;
        (last < self.stored && count <= last - self.offset + 1).then_some(self.offset..last + 1)
    }

    /// The tensor's numbers, row after row, from those of the storage in this span.
    fn tensor(&self, storage: &Tensor, span: Range<usize>) -> Result<Tensor> {
        let numbers = storage.narrow(0, span.start, span.len())?;
        let rows = (1..self.shape.len() + 1).map(|i| self.shape[i..].iter().product::<usize>());
        let mut dimensions = self.shape.iter().zip(&self.strides).zip(rows);
        if span.is_empty() || dimensions.all(|((n, stride), row)| *n == 1 || *stride == row) {
            return Ok(numbers.reshape(&self.shape[..])?);
        }
        let numbers = numbers.to_vec1::<f32>()?;
        let mut places = vec![0];
        for (n, stride) in self.shape.iter().zip(&self.strides) {
            places = places.iter().flat_map(|at| (0..*n).map(move |i| at + i * stride)).collect();
        }
        let numbers: Vec<_> = places.into_iter().map(|at| numbers[at]).collect();
        Ok(Tensor::from_vec(numbers, &self.shape[..], &Device::Cpu)?)
    }
}

/// The zip archive.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// The name of the folder in which everything lies, with its slash.
    folder: String,
    length: u64,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| Error::file(path, "the file", FORM, e.to_string()))?;
        let folders = zip.file_names().flatten().filter_map(|name| {
            let folder = name.strip_suffix(PICKLE)?;
            (folder.is_empty() || folder.ends_with('/')).then(|| folder.to_owned())
        });
        let folders: BTreeSet<_> = folders.collect();
        let [folder] = &folders.iter().collect::<Vec<_>>()[..] else {
            let found = format!("{} of them", folders.len());
            return Err(Error::file(path, PICKLE, FORM, found));
        };
        Ok(Self { path, folder: (*folder).clone(), zip, length })
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.folder)).is_some()
    }

    /// The `count` numbers of a storage.
    fn numbers(&mut self, storage: &str, number: Element, count: usize) -> Result<Tensor> {
        let name = format!("data/{storage}");
        let bytes = self.entry(&name)?;
        if count.checked_mul(number.size()) != Some(bytes.len()) {
            let found = format!("{} bytes", bytes.len());
            let expected = format!("{count} numbers of {} bytes", number.size());
            return Err(Error::file(self.path, format!("entry {name:?}"), expected, found));
        }
        let mut numbers = Vec::with_capacity(count);
        number.append(&bytes, &mut numbers);
        Ok(Tensor::from_vec(numbers, count, &Device::Cpu)?)
    }

    /// The bytes of an entry, whose checksum is right. Errors where it is compressed, which PyTorch never does, or longer than
    /// the file.
    fn entry(&mut self, name: &str) -> Result<Vec<u8>> {
        let name = format!("{}{name}", self.folder);
        let wrong = |found: String| Error::file(self.path, format!("entry {name:?}"), FORM, found);
        let mut entry = self.zip.by_name(&name).map_err(|e| wrong(e.to_string()))?;
        if entry.compression() != CompressionMethod::Stored {
            let expected = "stored bytes, as torch.save writes them";
            return Err(Error::file(
                self.path,
                format!("entry {name:?}"),
                expected,
                "compressed bytes",
            ));
        }
        let size = entry.size();
        if size > self.length || entry.compressed_size() != size {
            return Err(wrong(format!("{size} bytes in a file of {}", self.length)));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        // One more than there are, so that the end is seen and the checksum with it.
        let read = entry.by_ref().take(size + 1).read_to_end(&mut bytes);
        read.map_err(|e| wrong(e.to_string()))?;
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(wrong(format!("{} bytes of {size}", bytes.len()))),
        }
    }
}
