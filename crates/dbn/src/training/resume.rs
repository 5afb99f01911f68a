//! Checkpoints of a training, and where it goes on: where its checkpoint was taken, or at an earlier stage of which the recipe now asks for more.

use candle_core::{DType, Tensor};
use rbm_core::learning::train::Cursor;
use rbm_core::state::{State, get, without_prefix};
use rbm_core::{Checkpoint, Error, Rbm, Result};

use super::averaging::{BestWeights, Counts};
use super::backprop::Sum;
use super::network::Network;
use super::state::{
    Fingerprint, VERSION, checkpoint_of, generative_tensors, name_of, warm_tensors,
};
use super::{Stream, Training, TrainingState};
use crate::ConditionalLayer;
use crate::recipe::StageKind;

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
    /// Gives what is to be said of that, a sentence each.
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
        self.record = record;
        let mut notes = self.reopen(&tensors);
        self.take_rbms(&tensors, &mut notes)?;
        self.take_generative(&tensors)?;
        let stages = self.recipe.stages();
        for (stage, work) in stages.into_iter().enumerate() {
            let is_network = matches!(
                work,
                StageKind::Classifier | StageKind::Regressor | StageKind::Autoencoder
            );
            if is_network && self.has_begun(stage) && tensors.contains_key(&format!("{work}.0")) {
                let network = self.new_network(work)?;
                for (i, var) in network.unrolled().vars().into_iter().enumerate() {
                    var.set(&self.fitting(&tensors, &format!("{work}.{i}"), var.dims())?)?;
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
    /// follows that one is then learned again. What is to be said of it.
    fn reopen(&mut self, tensors: &State) -> Vec<String> {
        let mut notes = Vec::new();
        let (recipe, record) = (&self.recipe, &mut self.record);
        self.memory = without_prefix("memory", tensors);
        self.kept = BestWeights::restored(tensors, record.kept);
        let is_other = !record.work.is_empty() && record.work != name_of(recipe, record.stage);
        let mut reopened = record.reopened(recipe);
        if reopened.is_none() && is_other {
            reopened = Some((record.stage, 0));
        }
        if record.done.is_empty() && record.stage > 0 {
            notes.push(
                "the checkpoint does not say how many epochs its stages took: those that are done stay as they are".into(),
            );
        }
        let (stages, is_finished) = (recipe.stages(), record.work.is_empty());
        let Some((stage, epochs)) = reopened else {
            let next = stages.get(record.stage).filter(|_| is_finished && record.stage > 0);
            notes.extend(next.map(|work| format!("{work} comes next, on top of what is there")));
            record.work = name_of(recipe, record.stage);
            for (done, work) in record.done.iter().zip(&stages) {
                if done.epochs < recipe.epochs_of(*work) {
                    let patience = recipe.patience_of(*work).unwrap_or_default();
                    notes.push(format!(
                        "{work} has stopped after epoch {}: none of its last {patience} epochs was better on the validation part \
                         (to go on, raise {work}.patience)",
                        done.epochs
                    ));
                }
            }
            return notes;
        };
        let name = name_of(recipe, stage);
        notes.push(match stages.get(stage) {
            None => return notes,
            Some(_) if epochs == 0 => format!("{name} comes next, on top of what is there"),
            Some(work) => {
                format!("{name} goes on, from epoch {epochs} to {}", recipe.epochs_of(*work))
            }
        });
        let again: Vec<_> = stages[stage + 1..].iter().map(StageKind::to_string).collect();
        if !again.is_empty() {
            notes.push(format!("then again, on top of what it learns: {}", again.join(", ")));
        }
        record.stage = stage;
        record.done.truncate(stage);
        record.work = name;
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
                let name = format!("layer {}", layer + 1);
                notes.push(format!(
                    "{name} had learned labels, which now belong to the top: it is learned again without, from its other weights"
                ));
                let record = &mut self.record;
                (record.stage, record.work, record.cursor) = (layer, name, Cursor::default());
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
        let updown = stages.iter().position(|work| *work == StageKind::UpDown);
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
