//! Where a training stands, as a checkpoint has it, and where it goes on: where its checkpoint was taken, or at an earlier stage of which the
//! recipe now asks for more.

use candle_core::{DType, Tensor};
use rbm_core::learning::train::{Cursor, StageKind};
use rbm_core::rows::Fingerprint;
use rbm_core::state::{State, get, with_prefix, without_prefix};
use rbm_core::{Checkpoint, Error, Rbm, Result, Rng};
use serde::{Deserialize, Serialize};

use super::backprop::{BestWeights, Counts, Network, Sum};
use super::{Stream, Training};
use crate::{ConditionalLayer, Examples, Recipe};

pub(super) const VERSION: u32 = 1;

/// Where a training stands: 0 is the lowest layer, then the layers above, then what is fine-tuned, then the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    pub(super) version: u32,
    /// The part of the work that is going on.
    pub stage: usize,
    /// The next mini-batch of it.
    #[serde(rename = "position")]
    pub cursor: Cursor,
    /// Epochs done in all stages together.
    pub epochs: u64,
    /// What learns there; nothing at the end.
    #[serde(default, rename = "work", with = "kind_or_end")]
    pub(super) kind: Option<StageKind>,
    /// What is done, in its order.
    #[serde(default)]
    pub(super) done: Vec<Done>,
    pub(super) rng: Rng,
    pub(super) kept: Counts,
    pub(super) sum: Sum,
    pub(super) data: Fingerprint,
}

/// A stage that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// What learned.
    #[serde(rename = "work")]
    kind: StageKind,
    /// The epochs that it took.
    pub(super) epochs: usize,
}

impl TrainingState {
    /// Nothing is done yet.
    pub(super) fn beginning(
        recipe: &Recipe,
        train: &Examples,
        validation: Option<&Examples>,
    ) -> Result<Self> {
        let none = Fingerprint { cases: train.len(), width: train.width(), checksum: 0 };
        let data = [Some(train), validation].into_iter().flatten().try_fold(none, with_part)?;
        Ok(Self {
            version: VERSION,
            stage: 0,
            cursor: Cursor::default(),
            epochs: 0,
            kind: kind_of(recipe, 0),
            done: Vec::new(),
            rng: Rng::new(recipe.seed),
            kept: Counts::default(),
            sum: Sum::default(),
            data,
        })
    }

    /// The same at `cursor` of the stage, with the generator `rng`.
    pub(super) fn at(&self, cursor: Cursor, rng: Rng) -> Self {
        let mut there = self.clone();
        there.move_to(cursor, rng);
        there
    }

    /// Goes on to `cursor` of the stage.
    pub(super) fn move_to(&mut self, cursor: Cursor, rng: Rng) {
        self.epochs += cursor.epoch.saturating_sub(self.cursor.epoch) as u64;
        (self.cursor, self.rng) = (cursor, rng);
    }

    /// Goes from a stage that is done to the next one.
    pub(super) fn close_stage(&mut self, recipe: &Recipe) {
        self.done.truncate(self.stage);
        let done = kind_of(recipe, self.stage);
        self.done.extend(done.map(|kind| Done { kind, epochs: self.cursor.epoch }));
        self.stage += 1;
        self.kind = kind_of(recipe, self.stage);
        self.cursor = Cursor::default();
    }

    /// The first stage before the present one that is not done as `recipe` now has it, if there is one, and how many of its epochs
    /// are done: its own, or none where another stage stood in its place. Unknown, and so none, of checkpoints that do not say
    /// what was done.
    pub(super) fn reopened(&self, recipe: &Recipe) -> Option<(usize, usize)> {
        let stages = recipe.stages();
        let mut done = self.done.iter().zip(&stages).enumerate();
        done.find_map(|(stage, (done, kind))| {
            if done.kind != *kind {
                return Some((stage, 0));
            }
            let is_whole = done.epochs >= recipe.epochs_of(*kind)
                || self.kept.has_stopped(done.epochs, recipe.patience_of(*kind));
            (!is_whole).then_some((stage, done.epochs))
        })
    }
}

/// What learns in the stage with this number, where there is one.
fn kind_of(recipe: &Recipe, stage: usize) -> Option<StageKind> {
    recipe.stages().get(stage).copied()
}

/// A stage as a checkpoint has it: its text, empty at the end.
mod kind_or_end {
    use rbm_core::learning::train::StageKind;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        kind: &Option<StageKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&kind.map_or_else(String::new, String::from))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<StageKind>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(D::Error::custom)
    }
}

/// The same data with the values and the labels of `part`.
fn with_part(data: Fingerprint, part: &Examples) -> Result<Fingerprint> {
    let labels = part.labels.iter().flat_map(|labels| labels.iter());
    Ok(data.and(&part.cases)?.beside(labels.map(|label| label.to_le_bytes())))
}

/// Everything that is needed to go on.
pub(super) fn checkpoint_of<'a>(
    rbms: impl IntoIterator<Item = &'a Rbm>,
    network: Option<&Network>,
    kept: &BestWeights,
    memory: State,
    record: TrainingState,
) -> Checkpoint<TrainingState> {
    let mut tensors = rbm_tensors(rbms);
    if let Some(network) = network {
        for (i, var) in network.unrolled().vars().into_iter().enumerate() {
            tensors.insert(format!("{}.{i}", network.kind()), var.as_detached_tensor());
        }
    }
    tensors.extend(kept.state());
    tensors.extend(with_prefix("memory", memory));
    Checkpoint { tensors, record }
}

/// Every parameter of the way down by its name in a checkpoint.
pub(super) fn generative_tensors(layers: &[ConditionalLayer]) -> State {
    let tensors = layers.iter().enumerate().flat_map(|(i, layer)| {
        let parameters = layer.parameters().into_iter();
        parameters
            .map(move |(name, var)| (format!("generative.{i}.{name}"), var.as_detached_tensor()))
    });
    tensors.collect()
}

/// What machines that are not there yet begin with, by its name in a checkpoint.
pub(super) fn warm_tensors(warm: &State) -> State {
    with_prefix("warm", warm.clone()).collect()
}

/// Every parameter of `rbms` by its name in a checkpoint.
fn rbm_tensors<'a>(rbms: impl IntoIterator<Item = &'a Rbm>) -> State {
    let tensors = rbms.into_iter().enumerate().flat_map(|(i, rbm)| {
        let parameters = rbm.parameters().into_iter();
        parameters.map(move |(name, var)| (format!("rbms.{i}.{name}"), var.as_detached_tensor()))
    });
    tensors.collect()
}

impl Training {
    /// A checkpoint between two stages.
    pub(super) fn checkpoint(&self) -> Checkpoint<TrainingState> {
        let (network, record) = (self.network.as_ref(), self.record.clone());
        self.checkpoint_with(network, &self.kept, State::new(), record)
    }

    /// One within a stage that fine-tunes `network`, of which `kept` is kept, by what remembers `memory`.
    pub(super) fn checkpoint_with(
        &self,
        network: Option<&Network>,
        kept: &BestWeights,
        memory: State,
        record: TrainingState,
    ) -> Checkpoint<TrainingState> {
        let mut checkpoint = checkpoint_of(&self.rbms, network, kept, memory, record);
        checkpoint.tensors.extend(generative_tensors(&self.generative));
        checkpoint.tensors.extend(warm_tensors(&self.warm));
        checkpoint
    }
}

impl Training {
    /// Goes back to where `checkpoint` was taken. What else has been changed in the recipe since, such as a rate that made
    /// learning diverge, holds from here on. Where the recipe now asks for more epochs of a stage that was done, or for another
    /// stage in between, learning goes on there, and what follows is learned again: layers from the weights that they have,
    /// networks from the layers.
    ///
    /// Gives notes of that, a sentence each.
    ///
    /// # Errors
    ///
    /// When it belongs to other data, or to machines of another shape.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<Vec<String>> {
        let Checkpoint::<TrainingState> { tensors, record } = checkpoint.typed()?;
        if record.version != VERSION {
            let found = format!("version {}", record.version);
            return Err(Error::invalid("the checkpoint", format!("version {VERSION}"), found));
        }
        self.record.data.check(Some(&record.data))?;
        // Counts and numbers of `f64` stay on the CPU: not every device has them.
        let here = |(name, tensor): (String, Tensor)| match tensor.dtype() {
            DType::F32 => Ok((name, tensor.to_device(&self.device)?)),
            _ => Ok((name, tensor)),
        };
        let tensors = tensors.into_iter().map(here).collect::<Result<State>>()?;
        self.record = record;
        let mut notes = self.reopen(&tensors);
        self.take_rbms(&tensors, &mut notes)?;
        self.take_generative(&tensors)?;
        let stages = self.recipe.stages();
        for (stage, kind) in stages.into_iter().enumerate() {
            let has_begun = kind.is_network() && self.has_begun(stage);
            if has_begun && tensors.contains_key(&format!("{kind}.0")) {
                let network = self.new_network(kind)?;
                for (i, var) in network.unrolled().vars().into_iter().enumerate() {
                    var.set(&self.fitting(&tensors, &format!("{kind}.{i}"), var.dims())?)?;
                }
                self.network = Some(network);
            }
        }
        Ok(notes)
    }

    /// Whether the stage with this number is done, or has been begun.
    fn has_begun(&self, stage: usize) -> bool {
        let TrainingState { stage: at, cursor, .. } = &self.record;
        stage < at + usize::from(*cursor != Cursor::default())
    }

    /// Puts the record where learning goes on: in the present stage, or in an earlier one of which the recipe now asks for more. What
    /// follows that one is then learned again. Gives notes of it.
    fn reopen(&mut self, tensors: &State) -> Vec<String> {
        let mut notes = Vec::new();
        let (recipe, record) = (&self.recipe, &mut self.record);
        self.memory = without_prefix("memory", tensors);
        self.kept = BestWeights::restored(tensors, record.kept);
        let is_other = record.kind.is_some() && record.kind != kind_of(recipe, record.stage);
        let mut reopened = record.reopened(recipe);
        if reopened.is_none() && is_other {
            reopened = Some((record.stage, 0));
        }
        if record.done.is_empty() && record.stage > 0 {
            notes.push(
                "the checkpoint does not say how many epochs its stages took: those that are done stay as they are".into(),
            );
        }
        let (stages, is_finished) = (recipe.stages(), record.kind.is_none());
        let Some((stage, epochs)) = reopened else {
            let next = stages.get(record.stage).filter(|_| is_finished && record.stage > 0);
            notes.extend(next.map(|kind| format!("{kind} comes next, on top of what is there")));
            record.kind = kind_of(recipe, record.stage);
            for (done, kind) in record.done.iter().zip(&stages) {
                if done.epochs < recipe.epochs_of(*kind) {
                    let patience = recipe.patience_of(*kind).unwrap_or_default();
                    notes.push(format!(
                        "{kind} has stopped after epoch {}: none of its last {patience} epochs was better on the validation part \
                         (to go on, raise {kind}.patience)",
                        done.epochs
                    ));
                }
            }
            return notes;
        };
        let Some(kind) = stages.get(stage).copied() else { return notes };
        notes.push(match epochs {
            0 => format!("{kind} comes next, on top of what is there"),
            _ => format!("{kind} goes on, from epoch {epochs} to {}", recipe.epochs_of(kind)),
        });
        let again: Vec<_> = stages[stage + 1..].iter().map(StageKind::to_string).collect();
        if !again.is_empty() {
            notes.push(format!("then again, on top of what it learns: {}", again.join(", ")));
        }
        record.stage = stage;
        record.done.truncate(stage);
        record.kind = Some(kind);
        record.cursor = Cursor { epoch: epochs, batch: 0 };
        record.sum = Sum::default();
        self.memory = State::new();
        if epochs == 0 {
            self.kept = BestWeights::default();
        } else {
            self.kept.forget_average(self.validation.is_some());
        }
        self.record.kept = self.kept.counts;
        // Not the numbers of the first epochs once more.
        self.record.rng = self.stream(Stream::Learn).split(epochs as u64);
        notes
    }

    /// The machines that are there already: those of the stages that have been begun, and what others begin with.
    fn take_rbms(&mut self, tensors: &State, notes: &mut Vec<String>) -> Result<()> {
        self.rbms.clear();
        self.warm = tensors
            .iter()
            .filter_map(|(name, tensor)| {
                let name = name.strip_prefix("warm.").unwrap_or(name);
                name.starts_with("rbms.").then(|| (name.to_owned(), tensor.clone()))
            })
            .collect();
        let (mut layer, count) = (0, self.recipe.layers.len());
        while layer < count && self.has_begun(layer) {
            if self.had_labels(layer)? {
                let kind = StageKind::Layer(layer);
                notes.push(format!(
                    "{kind} had learned labels, which now belong to the top: it is learned again without, from its other weights"
                ));
                let record = &mut self.record;
                (record.stage, record.kind, record.cursor) = (layer, Some(kind), Cursor::default());
                record.done.truncate(layer);
                (self.memory, self.kept) = (State::new(), BestWeights::default());
                self.record.kept = Counts::default();
                break;
            }
            let rbm = self.new_rbm(layer)?;
            for (name, var) in rbm.parameters() {
                let name = format!("rbms.{layer}.{name}");
                var.set(&self.fitting(tensors, &name, var.dims())?)?;
                self.warm.remove(&name);
            }
            self.rbms.push(rbm);
            layer += 1;
        }
        Ok(())
    }

    /// Whether the machine of this layer learned labels that it has none of in the present recipe: their weights are taken away then.
    fn had_labels(&mut self, layer: usize) -> Result<bool> {
        let Some(classes) = self.classes.filter(|_| !self.recipe.is_joint(layer)) else {
            return Ok(false);
        };
        let name = format!("rbms.{layer}.weights");
        let width = match layer {
            0 => self.visible.width(),
            _ => self.recipe.layers[layer - 1].hidden.width(),
        };
        let Some(weights) = self.warm.get(&name) else { return Ok(false) };
        if weights.dims().first() != Some(&(width + classes)) {
            return Ok(false);
        }
        let weights = weights.narrow(0, 0, width)?.contiguous()?;
        self.warm.insert(name, weights);
        // The units below were the first of two groups, or of one more than there are now.
        let first = format!("rbms.{layer}.visible_0.");
        let alone: Vec<_> = self
            .warm
            .iter()
            .filter_map(|(name, tensor)| {
                let name = name.strip_prefix(&first)?;
                Some((format!("rbms.{layer}.visible_{name}"), tensor.clone()))
            })
            .collect();
        self.warm.extend(alone);
        Ok(true)
    }

    /// Gives `rbm`, the machine of this layer at its beginning, the parameters of the one that was there before, where they fit.
    pub(super) fn warm(&self, layer: usize, rbm: &Rbm) -> Result<()> {
        for (name, var) in rbm.parameters() {
            let before = self.warm.get(&format!("rbms.{layer}.{name}"));
            if let Some(before) = before.filter(|before| before.dims() == var.dims()) {
                var.set(before)?;
            }
        }
        Ok(())
    }

    /// The way down, where up-down has begun.
    fn take_generative(&mut self, tensors: &State) -> Result<()> {
        self.generative.clear();
        let stages = self.recipe.stages();
        let updown = stages.iter().position(|kind| *kind == StageKind::UpDown);
        if !updown.is_some_and(|stage| self.has_begun(stage)) {
            return Ok(());
        }
        for (i, rbm) in self.rbms.iter().enumerate() {
            if tensors.contains_key(&format!("generative.{i}.weight")) {
                let layer = ConditionalLayer::downwards(rbm)?;
                for (name, var) in layer.parameters() {
                    let name = format!("generative.{i}.{name}");
                    var.set(&self.fitting(tensors, &name, var.dims())?)?;
                }
                self.generative.push(layer);
            }
        }
        Ok(())
    }

    fn fitting(&self, tensors: &State, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = get(tensors, name)?;
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
}
