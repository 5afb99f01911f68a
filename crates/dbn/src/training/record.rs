//! Where a training stands, and how it is taken up again from there.

use candle_core::{DType, Tensor};
use rbm_core::state::{State, below, prefixed, take};
use rbm_core::train::Position;
use rbm_core::{Error, Rbm, Result, Rng, data};
use serde::{Deserialize, Serialize};

use super::backprop::Sum;
use super::keep::{Counts, Kept};
use super::network::Network;
use super::{Checkpoint, Training};
use crate::recipe::Work;
use crate::{Directed, Part, Recipe};

const VERSION: u32 = 1;

/// Where a training stands: 0 is the lowest layer, then the layers above, then what is fine-tuned, then the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// The part of the work that is going on.
    pub stage: usize,
    /// The next mini-batch of it.
    pub position: Position,
    /// Epochs done in all stages together.
    pub epochs: u64,
    pub(super) rng: Rng,
    pub(super) kept: Counts,
    pub(super) sum: Sum,
    data: Fingerprint,
}

impl Record {
    /// Nothing is done yet.
    pub(super) fn beginning(
        recipe: &Recipe,
        train: &Part,
        validation: Option<&Part>,
    ) -> Result<Self> {
        let mut checksum = crc32fast::Hasher::new();
        [Some(train), validation]
            .into_iter()
            .flatten()
            .try_for_each(|part| take_in(&mut checksum, part))?;
        let data =
            Fingerprint { cases: train.len(), width: train.width(), checksum: checksum.finalize() };
        Ok(Self {
            version: VERSION,
            stage: 0,
            position: Position::default(),
            epochs: 0,
            rng: Rng::new(recipe.seed),
            kept: Counts::default(),
            sum: Sum::default(),
            data,
        })
    }
}

/// Enough of the data to notice that they are no longer the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fingerprint {
    cases: usize,
    width: usize,
    checksum: u32,
}

/// Takes every value and label in their order into the checksum.
fn take_in(checksum: &mut crc32fast::Hasher, part: &Part) -> Result<()> {
    for block in data::blocks(&part.cases) {
        let values = block?.flatten_all()?.to_vec1::<f32>()?;
        checksum.update(&values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    }
    part.labels.iter().flatten().for_each(|label| checksum.update(&label.to_le_bytes()));
    Ok(())
}

impl Training {
    /// Goes back to where `checkpoint` was taken. Errors when it belongs to other data, or to machines of another shape.
    /// What else has been changed in the recipe since, such as a rate that made learning diverge, holds from here on.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let Checkpoint { tensors, record } = checkpoint;
        if record.version != VERSION {
            let found = format!("version {}", record.version);
            return Err(Error::invalid("the checkpoint", format!("version {VERSION}"), found));
        }
        if record.data != self.record.data {
            let describe = |d: &Fingerprint| {
                format!("{} cases of width {}, checksum {:08x}", d.cases, d.width, d.checksum)
            };
            return Err(Error::invalid(
                "the data",
                describe(&record.data),
                describe(&self.record.data),
            ));
        }
        // Counts and numbers of `f64` stay on the CPU: not every device has them.
        let here = |(name, tensor): (String, Tensor)| match tensor.dtype() {
            DType::F32 => Ok((name, tensor.to_device(&self.device)?)),
            _ => Ok((name, tensor)),
        };
        let tensors = tensors.into_iter().map(here).collect::<Result<State>>()?;
        self.rbms.clear();
        // Between two stages the next machine is not there yet.
        let begun = record.stage + usize::from(record.position != Position::default());
        let trained = self.recipe.layers.len().min(begun);
        for i in 0..trained {
            let rbm = self.new_rbm(i)?;
            for (name, var) in rbm.parameters() {
                var.set(&self.fitting(&tensors, &format!("rbms.{i}.{name}"), var.dims())?)?;
            }
            self.rbms.push(rbm);
        }
        self.generative.clear();
        for (i, rbm) in self.rbms.iter().enumerate() {
            if tensors.contains_key(&format!("generative.{i}.weight")) {
                let layer = Directed::downwards(rbm)?;
                for (name, var) in layer.parameters() {
                    let name = format!("generative.{i}.{name}");
                    var.set(&self.fitting(&tensors, &name, var.dims())?)?;
                }
                self.generative.push(layer);
            }
        }
        for work in [Work::Classifier, Work::Regressor, Work::Autoencoder] {
            if tensors.contains_key(&format!("{work}.0")) {
                let network = self.new_network(work)?;
                for (i, var) in network.unrolled().vars().into_iter().enumerate() {
                    var.set(&self.fitting(&tensors, &format!("{work}.{i}"), var.dims())?)?;
                }
                self.network = Some(network);
            }
        }
        self.kept = Kept::restored(&tensors, record.kept);
        self.memory = below("memory", &tensors);
        self.record = record;
        Ok(())
    }

    fn fitting(&self, tensors: &State, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = take(tensors, name)?;
        if tensor.dims() != shape {
            let what = format!("the checkpoint's tensor {name:?}");
            return Err(Error::invalid(
                what,
                format!("shape {shape:?} as the recipe says"),
                format!("{:?}", tensor.dims()),
            ));
        }
        Ok(tensor)
    }

    /// A checkpoint between two stages, or within one whose trainer remembers `memory`.
    pub(super) fn checkpoint(&self, memory: State) -> Checkpoint {
        self.checkpoint_with(self.network.as_ref(), memory)
    }

    /// The same while `network` is being fine-tuned.
    pub(super) fn checkpoint_with(&self, network: Option<&Network>, memory: State) -> Checkpoint {
        let mut checkpoint = checkpoint_of(&self.rbms, network, &self.kept, memory, &self.record);
        checkpoint.tensors.extend(generative_tensors(&self.generative));
        checkpoint
    }
}

/// Everything that is needed to go on.
pub(super) fn checkpoint_of<'a>(
    rbms: impl IntoIterator<Item = &'a Rbm>,
    network: impl Into<Option<&'a Network>>,
    kept: &Kept,
    memory: State,
    record: &Record,
) -> Checkpoint {
    let mut tensors = rbm_tensors(rbms);
    if let Some(network) = network.into() {
        for (i, var) in network.unrolled().vars().into_iter().enumerate() {
            tensors.insert(format!("{}.{i}", network.work()), var.as_detached_tensor());
        }
    }
    tensors.extend(kept.state());
    tensors.extend(prefixed("memory", memory));
    Checkpoint { tensors, record: record.clone() }
}

/// Every parameter of the way down by its name in a checkpoint.
pub(super) fn generative_tensors(layers: &[Directed]) -> State {
    let tensors = layers.iter().enumerate().flat_map(|(i, layer)| {
        let parameters = layer.parameters().into_iter();
        parameters
            .map(move |(name, var)| (format!("generative.{i}.{name}"), var.as_detached_tensor()))
    });
    tensors.collect()
}

/// Every parameter of `rbms` by its name in a checkpoint.
fn rbm_tensors<'a>(rbms: impl IntoIterator<Item = &'a Rbm>) -> State {
    let tensors = rbms.into_iter().enumerate().flat_map(|(i, rbm)| {
        let parameters = rbm.parameters().into_iter();
        parameters.map(move |(name, var)| (format!("rbms.{i}.{name}"), var.as_detached_tensor()))
    });
    tensors.collect()
}
