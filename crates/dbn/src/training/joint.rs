//! What is particular to a machine that learns labels: which, and how well it finds them.

use candle_core::{D, Tensor};
use rbm_core::{Joint, Rbm, Result, data};

use super::Training;
use crate::Examples;
use crate::learning::greedy::Labels;

/// What arrives of the validation cases at a joint machine, by means, and their labels.
pub(super) struct Recognised<'a> {
    arriving: Tensor,
    labels: Labels<'a>,
}

impl Recognised<'_> {
    /// How many of them, in percent, `top` takes for another class than theirs.
    pub(super) fn error(&self, top: &Rbm) -> Result<f64> {
        let Labels { of_cases, .. } = self.labels;
        let mut found = Vec::with_capacity(of_cases.len());
        for block in data::blocks(&self.arriving) {
            let probable = Joint::of(top)?.log_probabilities(&block?)?.argmax(D::Minus1)?;
            found.extend(probable.to_vec1::<u32>()?);
        }
        let errors = found.iter().zip(of_cases).filter(|(a, b)| a != b).count();
        Ok(100.0 * errors as f64 / of_cases.len().max(1) as f64)
    }
}

impl Training {
    /// The labels of `part` that the machine with this number learns, if it does.
    pub(super) fn labels_of<'a>(&self, part: &'a Examples, layer: usize) -> Option<Labels<'a>> {
        let (of_cases, classes) = (part.labels.as_deref()?, self.classes?);
        self.recipe.is_joint(layer).then_some(Labels { of_cases, classes })
    }

    /// The validation cases as they arrive at the joint machine with this number, above `below`; none where nobody looks.
    pub(super) fn recognised(&self, layer: usize, below: &[Rbm]) -> Result<Option<Recognised<'_>>> {
        let part = self.validation.as_ref().filter(|_| self.monitor);
        let Some((part, labels)) = part.and_then(|part| Some((part, self.labels_of(part, layer)?)))
        else {
            return Ok(None);
        };
        let arriving = data::blocks(&part.cases).map(|block| {
            let block = match &self.imputation {
                Some(imputation) => imputation.started(&block?)?,
                None => block?,
            };
            Ok(crate::network::dbn::up(below, &block)?.detach())
        });
        let arriving = Tensor::cat(&arriving.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Some(Recognised { arriving, labels }))
    }
}
