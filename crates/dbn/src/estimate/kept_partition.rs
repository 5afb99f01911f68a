//! log Z that stays with a model: what an estimation has found, bound to the weights that it is of.

use std::path::Path;

use rbm_core::estimate::{AisEstimates, AisOptions, Estimate};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::digest;
use crate::estimate::likelihood::Verdict;
use crate::network::config::WEIGHTS;

/// The file in a model's folder.
pub const KEPT: &str = "log_partition.json";
/// The version of what stands in it.
const VERSION: u32 = 1;

/// What was found of log Z of a model's top machine, in nats, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPartition {
    version: u32,
    /// The SHA-256 of `model.safetensors`, in hexadecimal digits.
    weights: String,
    /// How it was found: chains, temperatures, effort, seed.
    pub options: AisOptions,
    /// From both sides, or from one.
    pub found: AisEstimates,
}

impl KeptPartition {
    /// Keeps what was `found` with these `options` of the model in the folder `model`, in the folder `place`: most often the same.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn keep(
        place: impl AsRef<Path>,
        model: impl AsRef<Path>,
        options: AisOptions,
        found: &AisEstimates,
    ) -> Result<()> {
        let (place, model) = (place.as_ref(), model.as_ref());
        let weights = weights(model)?;
        let kept = Self { version: VERSION, weights, options, found: found.clone() };
        let text = serde_json::to_vec_pretty(&kept)
            .map_err(|e| Error::invalid(KEPT, "plain data", e.to_string()))?;
        write_whole(&place.join(KEPT), &text)
    }

    /// What is kept in the folder `place` of the model in the folder `model`; `None` where nothing is, or it is of other weights.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for a file that is not one of these.
    pub fn of(place: impl AsRef<Path>, model: impl AsRef<Path>) -> Result<Option<Self>> {
        let (place, model) = (place.as_ref(), model.as_ref());
        let path = place.join(KEPT);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let expected = "what dbn evaluate --likelihood keeps (delete the file to estimate anew)";
        let kept: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::file(&path, "contents", expected, e.to_string()))?;
        let numbers = [kept.found.forward, kept.found.bridge, kept.found.reverse];
        let is_number = |estimate: &Estimate| estimate.value.is_finite() && estimate.error >= 0.0;
        if kept.version != VERSION || !numbers.iter().flatten().all(is_number) {
            return Err(Error::file(&path, "contents", expected, "something else"));
        }
        Ok((kept.weights == weights(model)?).then_some(kept))
    }

    /// log Z as it may be quoted: of two sides that are at most `tolerance` nats apart the higher, by which log p(v) is the lower.
    /// `None` where there is one side only, or where they disagree.
    pub fn quotable(&self, tolerance: f64) -> Option<Estimate> {
        let (forward, reverse) = (self.found.forward?, self.found.reverse?);
        let higher = if forward.value > reverse.value { forward } else { reverse };
        Verdict::of_log_partition(&self.found, tolerance).may_be_quoted().then_some(higher)
    }
}

fn weights(dir: &Path) -> Result<String> {
    let path = dir.join(WEIGHTS);
    digest::of_file::<Sha256>(&path, "").map_err(|e| Error::io(&path, e))
}
