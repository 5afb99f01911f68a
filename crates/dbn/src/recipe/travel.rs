//! A recipe as it leaves the machine it was used on.

use std::path::{Path, PathBuf};

use candle_dbn_data as data;

use super::Recipe;
use crate::network::config::Preprocessing;

impl Recipe {
    /// The recipe with the names of files and folders in place of the paths of one machine.
    pub fn without_paths(mut self) -> Self {
        let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
        if !data::is_named(&self.data.source) {
            self.data.source = name(Path::new(&self.data.source)).display().to_string();
        }
        self.data.read.labels = self.data.read.labels.as_deref().map(name);
        self
    }

    /// The recipe of the first `count` layers alone.
    pub fn of_first_layers(mut self, count: usize) -> Self {
        if count < self.layers.len() {
            self.layers.truncate(count);
            (self.labels, self.updown, self.classifier, self.autoencoder) =
                (false, None, None, None);
            self.regressor = None;
        }
        self
    }

    /// What data that were divided by `scale`, sparse rows counted from `first_index`, go through before the network sees them.
    pub fn preprocessing(&self, scale: f32, first_index: Option<u32>) -> Preprocessing {
        Preprocessing {
            scale,
            first_index,
            binarise: self.data.read.binarise(),
            one_hot: self.data.read.one_hot,
            alphabet: self.data.read.alphabet.clone(),
        }
    }
}
