//! Machines of a PyTorch state dict, found by the names that programs usually give to their parameters.
//!
//! In a `.pt` file these tensors are a zip archive of a pickle and of the numbers beside it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use candle_dbn_data::{Element, ElementKind};
use rbm_core::{Error, Result, Units};
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, PickleValue, PickleValues};
use super::{Budget, Imported, NamedTensor, RbmTensors, stacked};

/// What weights and biases are called; where one name is in use for either bias, [`role`] tells by what stands beside it.
const WEIGHTS: [&str; 4] = ["w", "weight", "weights", "weight_matrix"];
const VISIBLE: [&str; 8] =
    ["v_bias", "visible_bias", "vbias", "bv", "b_v", "bias_v", "bias_visible", "v"];
const HIDDEN: [&str; 8] =
    ["h_bias", "hidden_bias", "hbias", "bh", "b_h", "bias_h", "bias_hidden", "h"];

/// How a state dict is read.
#[derive(Debug, Clone, Default)]
pub struct TensorNames {
    /// Tensors to be read under another name than their own: `("W", "fc.weight")`.
    pub map: Vec<(String, String)>,
    /// Whether weights are `(visible, hidden)` where their shape leaves that open; else they are `(hidden, visible)` as those of
    /// `torch.nn.Linear`.
    pub transpose: bool,
    /// The kind of the lowest machine's visible units, and that of all hidden ones; Bernoulli units otherwise.
    pub visible: Option<Units>,
    /// See there.
    pub hidden: Option<Units>,
}

/// What a tensor is for its machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Weights,
    VisibleBias,
    HiddenBias,
}

impl Role {
    const ALL: [Self; 3] = [Self::Weights, Self::VisibleBias, Self::HiddenBias];

    /// What `--map` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Weights => "W",
            Self::VisibleBias => "v_bias",
            Self::HiddenBias => "h_bias",
        }
    }
}

/// Numbers in a name count as numbers: the tenth machine stands above the second.
type Order = Vec<(Option<u64>, String)>;

/// The machines in the state dict `path`, a `.safetensors`, `.pt` or `.pth` file, from the bottom up in the order of their names:
/// a weight matrix and two biases each, named alike but for their last part (`W`, `v_bias`, `h_bias`; `rbms.0.W` and so on).
///
/// # Errors
///
/// Where the file is no state dict, no machine is found in it (with the names that there are), a part of one is missing, or shapes
/// disagree, by the tensor's name.
pub fn pytorch(path: impl AsRef<Path>, names: &TensorNames) -> Result<Imported> {
    let path = path.as_ref();
    let (mut tensors, mut notes) = read_tensors(path)?;
    let there = tensors.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut original = BTreeMap::new();
    for (name, own) in &names.map {
        let Some(tensor) = tensors.remove(own) else {
            let place = format!("tensor {own:?} for {name}");
            return Err(Error::file(path, place, "one of its tensors", there));
        };
        tensors.insert(name.clone(), tensor);
        original.insert(name.clone(), own.clone());
    }
    let mut machines: BTreeMap<(Order, String), BTreeMap<Role, String>> = BTreeMap::new();
    for name in tensors.keys() {
        let (machine, last) = name.rsplit_once('.').unwrap_or(("", name));
        if let Some(role) = role(&tensors, machine, last) {
            let machine = machines.entry((order(machine), machine.to_owned())).or_default();
            if let Some(other) = machine.insert(role, name.clone()) {
                let expected = format!("one tensor for {}", role.name());
                return Err(Error::file(path, "names", expected, format!("{other} and {name}")));
            }
        }
    }
    // A layer of another kind has weights too, but no two biases.
    machines.retain(|_, parts| parts.keys().any(|role| *role != Role::Weights));
    if machines.is_empty() {
        let expected = "W, v_bias and h_bias, or names like them (say which is which with --map W=NAME --map v_bias=NAME --map h_bias=NAME)";
        return Err(Error::file(path, "names", expected, there));
    }
    let mut found: Vec<RbmTensors> = Vec::new();
    for ((_, machine), parts) in &machines {
        let mut part = |role: Role| -> Result<NamedTensor> {
            let Some(name) = parts.get(&role) else {
                let name = format!("{machine}.{}", role.name());
                let name = name.trim_start_matches('.');
                let place = format!("names of machine {machine:?}");
                let expected = format!("a tensor for {name} (name it with --map {name}=NAME)");
                return Err(Error::file(path, place, expected, there.clone()));
            };
            let tensor = tensors.get(name).cloned();
            let tensor = tensor.ok_or_else(|| Error::invalid("names", name, "none"))?;
            Ok(NamedTensor::new(original.get(name).unwrap_or(name), tensor))
        };
        let [weights, visible_bias, hidden_bias] = Role::ALL.map(&mut part);
        let (weights, visible_bias, hidden_bias) = (weights?, visible_bias?, hidden_bias?);
        let (visible, hidden) = (visible_bias.tensor.elem_count(), hidden_bias.tensor.elem_count());
        let weights = turned(path, weights, (visible, hidden), names.transpose, &mut notes)?;
        let bernoulli = Units::bernoulli(1);
        let below = match found.last() {
            Some(below) => &below.hidden,
            None => names.visible.as_ref().unwrap_or(&bernoulli),
        };
        found.push(RbmTensors {
            visible: below.with_width(visible)?,
            hidden: names.hidden.as_ref().unwrap_or(&bernoulli).with_width(hidden)?,
            weights,
            visible_bias,
            hidden_bias,
        });
    }
    let read: Vec<_> = machines.values().flat_map(BTreeMap::values).collect();
    let unread: Vec<_> = tensors.keys().filter(|name| !read.contains(name)).cloned().collect();
    if !unread.is_empty() {
        notes.push(format!("left aside: {}", unread.join(", ")));
    }
    Ok(Imported { model: stacked(path, &found)?, notes })
}

/// What the tensor `machine.last` is, if it is a part of a machine.
fn role(tensors: &Tensors, machine: &str, last: &str) -> Option<Role> {
    let beside = |name: &str| {
        let name = if machine.is_empty() { name.to_owned() } else { format!("{machine}.{name}") };
        tensors.contains_key(&name)
    };
    // Either a, b or b, c, the visible bias first.
    match last {
        "a" if beside("b") => return Some(Role::VisibleBias),
        "b" if beside("a") => return Some(Role::HiddenBias),
        "b" if beside("c") => return Some(Role::VisibleBias),
        "c" if beside("b") => return Some(Role::HiddenBias),
        _ => {}
    }
    let last = last.to_lowercase();
    let is_one_of = |names: &[&str]| names.contains(&last.as_str());
    match () {
        () if is_one_of(&WEIGHTS) => Some(Role::Weights),
        () if is_one_of(&VISIBLE) => Some(Role::VisibleBias),
        () if is_one_of(&HIDDEN) => Some(Role::HiddenBias),
        () => None,
    }
}

fn order(machine: &str) -> Order {
    machine.split('.').map(|part| (part.parse().ok(), part.to_owned())).collect()
}

/// The weights as `(visible, hidden)`, whichever way they lie.
fn turned(
    path: &Path,
    weights: NamedTensor,
    (visible, hidden): (usize, usize),
    transpose: bool,
    notes: &mut Vec<String>,
) -> Result<NamedTensor> {
    let (as_linear, as_ours) = ([hidden, visible], [visible, hidden]);
    let dims = weights.tensor.dims();
    let fits = dims == as_ours || dims == as_linear && !transpose;
    if !fits {
        let found = format!("{dims:?}");
        let place = format!("tensor {:?}", weights.name);
        let expected = match transpose {
            true => format!("shape {as_ours:?}, (visible, hidden) as --transpose says"),
            false => format!("shape {as_linear:?} or {as_ours:?}, as long as the biases are"),
        };
        return Err(Error::file(path, place, expected, found));
    }
    if visible == hidden && !transpose {
        notes.push(format!(
            "{} is square and was read as (hidden, visible), as torch.nn.Linear has it; --transpose reads it the other way",
            weights.name
        ));
    }
    let is_linear = dims == as_linear && !transpose;
    let tensor = if is_linear { weights.tensor.t()? } else { weights.tensor };
    Ok(NamedTensor { tensor, ..weights })
}

type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the file `path`, by its ending, and notes of those that are not read.
///
/// # Errors
///
/// Where it is no such file, is damaged, or has no tensors.
fn read_tensors(path: &Path) -> Result<(Tensors, Vec<String>)> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            let tensors = safetensors::load_buffer(&bytes, &Device::Cpu);
            let form = "a whole safetensors file";
            let tensors: Tensors = tensors
                .map_err(|e| Error::file(path, "header", form, first_line(&e)))?
                .into_iter()
                .collect();
            match tensors.is_empty() {
                true => Err(Error::file(path, "header", form, "no tensors")),
                false => Ok((tensors, Vec::new())),
            }
        }
        Some("pt" | "pth" | "bin" | "ckpt") => read_state_dict(path),
        _ => {
            let expected = "a name ending in .safetensors, .pt, .pth, .bin or .ckpt";
            Err(Error::file(path, "the file", expected, "another ending"))
        }
    }
}

/// An error without the backtrace that may follow it.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

const FORM: &str = "a PyTorch state dict, as torch.save(model.state_dict(), …) writes it (a pickled model is code: save its state dict, or safetensors)";

/// Where training scripts keep the state dict among other things.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

const PICKLE: &str = "data.pkl";

/// The tensors by name, in `f32`, and notes of those that are not read.
///
/// # Errors
///
/// Where the file is no state dict, is damaged, or would take more memory than it can be worth.
fn read_state_dict(path: impl AsRef<Path>) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let pickle = archive.entry(PICKLE)?;
    let values = PickleValues::of(&pickle)
        .map_err(|found| Error::file(path, PICKLE, FORM, format!("a pickle with {found}")))?;
    // Older files do not say it.
    let is_big_endian = archive.has("byteorder") && archive.entry("byteorder")? == b"big";
    let named = in_dict(&values, values.saved());
    let found = std::iter::once(named).chain(KEYS.map(|key| {
        let PickleValue::Dict(items) = values.saved() else { return Vec::new() };
        let is_key = |(name, _): &&(Id, Id)| *values.get(*name) == PickleValue::Text(key);
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
        let view = TensorView::of(&values, call);
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
fn in_dict<'a>(values: &PickleValues<'a>, dict: &PickleValue<'a>) -> Vec<(&'a str, Id)> {
    let PickleValue::Dict(items) = dict else { return Vec::new() };
    let named = items.iter().filter_map(|(name, value)| match values.get(*name) {
        PickleValue::Text(name) if is_tensor(values, *value) => Some((*name, *value)),
        _ => None,
    });
    named.collect()
}

fn is_tensor(values: &PickleValues<'_>, id: Id) -> bool {
    let PickleValue::Call(class, _) = values.get(id) else { return false };
    matches!(values.get(*class), PickleValue::Class(class) if class.starts_with("torch._utils\n_rebuild_")
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
struct TensorView<'a> {
    class: &'a str,
    /// The name of the storage.
    storage: &'a str,
    /// How many numbers the storage has.
    stored: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> TensorView<'a> {
    /// What a call builds, if it is one of those that PyTorch makes for a tensor.
    fn of(values: &PickleValues<'a>, call: Id) -> Option<Self> {
        let mut call = call;
        // A parameter is a call with a tensor's call.
        for _ in 0..3 {
            let PickleValue::Call(class, arguments) = values.get(call) else { return None };
            let PickleValue::Class(class) = values.get(*class) else { return None };
            let PickleValue::Tuple(arguments) = values.get(*arguments) else { return None };
            match *class {
                "torch._utils\n_rebuild_tensor_v2" => return Self::of_tensor(values, arguments),
                "torch._utils\n_rebuild_parameter"
                | "torch._utils\n_rebuild_parameter_with_state" => {
                    call = *arguments.first()?;
                }
                "torch._tensor\n_rebuild_from_type_v2" => {
                    let is_tensor = |id: &Id| {
                        *values.get(*id) == PickleValue::Class("torch._utils\n_rebuild_tensor_v2")
                    };
                    arguments.first().filter(|id| is_tensor(id))?;
                    let PickleValue::Tuple(arguments) = values.get(*arguments.get(2)?) else {
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
    fn of_tensor(values: &PickleValues<'a>, arguments: &[Id]) -> Option<Self> {
        let size = |id: &Id| match values.get(*id) {
            PickleValue::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let sizes = |id: &Id| match values.get(*id) {
            PickleValue::Tuple(ids) => ids.iter().map(size).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let [storage, offset, shape, strides, ..] = arguments else { return None };
        let PickleValue::Outside(storage) = values.get(*storage) else { return None };
        let PickleValue::Tuple(storage) = values.get(*storage) else { return None };
        let [_, class, storage, _, stored] = &storage[..] else { return None };
        let PickleValue::Class(class) = values.get(*class) else { return None };
        let PickleValue::Text(storage) = values.get(*storage) else { return None };
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
