//! Where a training stands, as a checkpoint has it.

use rbm_core::learning::train::Cursor;
use rbm_core::state::{State, with_prefix};
use rbm_core::{Rbm, Result, Rng, rows};
use serde::{Deserialize, Serialize};

use super::averaging::{BestWeights, Counts};
use super::backprop::Sum;
use super::network::Network;
use crate::recipe::StageKind;
use crate::{ConditionalLayer, Examples, Recipe};

type Checkpoint = rbm_core::Checkpoint<TrainingState>;

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
    /// What that part is called; empty at the end.
    #[serde(default)]
    pub(super) work: String,
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
    /// What it is called.
    work: String,
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
            cursor: Cursor::default(),
            epochs: 0,
            work: name_of(recipe, 0),
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
        self.done.push(Done { work: name_of(recipe, self.stage), epochs: self.cursor.epoch });
        self.stage += 1;
        self.work = name_of(recipe, self.stage);
        self.cursor = Cursor::default();
    }

    /// The first stage before the present one that is not done as `recipe` now has it, if there is one, and how many of its epochs
    /// are done: its own, or none where another stage stood in its place. Unknown, and so none, of checkpoints that do not say
    /// what was done.
    pub(super) fn reopened(&self, recipe: &Recipe) -> Option<(usize, usize)> {
        let stages = recipe.stages();
        let mut done = self.done.iter().zip(&stages).enumerate();
        done.find_map(|(stage, (done, work))| {
            if done.work != work.to_string() {
                return Some((stage, 0));
            }
            let is_whole = done.epochs >= recipe.epochs_of(*work)
                || self.kept.has_stopped(done.epochs, recipe.patience_of(*work));
            (!is_whole).then_some((stage, done.epochs))
        })
    }
}

/// What the stage with this number is called; empty where there is none.
pub(super) fn name_of(recipe: &Recipe, stage: usize) -> String {
    recipe.stages().get(stage).map_or_else(String::new, StageKind::to_string)
}

/// Enough of the data to notice that they are no longer the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    pub(super) cases: usize,
    pub(super) width: usize,
    pub(super) checksum: u32,
}

/// Takes every value and label in their order into the checksum.
fn take_in(checksum: &mut crc32fast::Hasher, part: &Examples) -> Result<()> {
    for block in rows::blocks(&part.cases) {
        let values = block?.flatten_all()?.to_vec1::<f32>()?;
        checksum.update(&values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    }
    part.labels.iter().flatten().for_each(|label| checksum.update(&label.to_le_bytes()));
    Ok(())
}

/// Everything that is needed to go on.
pub(super) fn checkpoint_of<'a>(
    rbms: impl IntoIterator<Item = &'a Rbm>,
    network: Option<&Network>,
    kept: &BestWeights,
    memory: State,
    record: TrainingState,
) -> Checkpoint {
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
