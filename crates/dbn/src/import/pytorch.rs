//! Machines of a PyTorch state dict, found by the names that programs usually give to their parameters.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use rbm_core::{Error, Result, Units};

use super::{Imported, Named, RbmTensors, stacked, state_dict};

/// What weights and biases are called; where one name is in use for either bias, [`role`] tells by what stands beside it.
const WEIGHTS: [&str; 4] = ["w", "weight", "weights", "weight_matrix"];
const VISIBLE: [&str; 8] =
    ["v_bias", "visible_bias", "vbias", "bv", "b_v", "bias_v", "bias_visible", "v"];
const HIDDEN: [&str; 8] =
    ["h_bias", "hidden_bias", "hbias", "bh", "b_h", "bias_h", "bias_hidden", "h"];

/// How a state dict is read.
#[derive(Debug, Clone, Default)]
pub struct Names {
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
pub fn pytorch(path: impl AsRef<Path>, names: &Names) -> Result<Imported> {
    let path = path.as_ref();
    let (mut tensors, mut notes) = read(path)?;
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
        let mut part = |role: Role| -> Result<Named> {
            let Some(name) = parts.get(&role) else {
                let name = format!("{machine}.{}", role.name());
                let name = name.trim_start_matches('.');
                let place = format!("names of machine {machine:?}");
                let expected = format!("a tensor for {name} (name it with --map {name}=NAME)");
                return Err(Error::file(path, place, expected, there.clone()));
            };
            let tensor = tensors.get(name).cloned();
            let tensor = tensor.ok_or_else(|| Error::invalid("names", name, "none"))?;
            Ok(Named::new(original.get(name).unwrap_or(name), tensor))
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
    weights: Named,
    (visible, hidden): (usize, usize),
    transpose: bool,
    notes: &mut Vec<String>,
) -> Result<Named> {
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
    Ok(Named { tensor, ..weights })
}

type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the file `path`, by its ending, and notes of those that are not read.
///
/// # Errors
///
/// Where it is no such file, is damaged, or has no tensors.
fn read(path: &Path) -> Result<(Tensors, Vec<String>)> {
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
        Some("pt" | "pth" | "bin" | "ckpt") => state_dict::read(path),
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
