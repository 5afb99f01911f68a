//! Units of several kinds side by side in one layer: pictures with their labels, counts beside measurements.

use std::ops::Range;

use candle_core::{Tensor, Var};

use super::layer::{cat, means_after_zeros};
use super::{Discrete, Layer, Support, Tail, Units};
use crate::{Error, Result, Rng};

/// Groups of units, each with columns of its own: E(x) is the sum of the groups' energies. Parameters are named by the
/// group's number, `0.bias`, `1.bias`, and are as wide as their group.
#[derive(Debug)]
pub struct Concat {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    layer: Box<dyn Layer>,
    columns: Range<usize>,
}

impl Group {
    /// The group's part of `x` `(…, width)`.
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.narrow(x.rank().saturating_sub(1), self.columns.start, self.columns.len())?)
    }

    /// The same in one piece, for operations that need it.
    fn piece_of(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.of(x)?.contiguous()?)
    }
}

impl Concat {
    /// These layers side by side.
    ///
    /// # Errors
    ///
    /// Where there are none, or one leaves its number of draws to each configuration.
    pub fn new(layers: Vec<Box<dyn Layer>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::invalid("units side by side", "at least one group", "none"));
        }
        let mut start = 0;
        let place = |layer: Box<dyn Layer>| -> Result<Group> {
            let units = layer.units();
            if let Units::Multinomial { draws: 0, .. } = units {
                let expected = "multinomial units with a number of draws, as multinomial(100)";
                return Err(Error::invalid("units side by side", expected, units.to_string()));
            }
            let columns = start..start + units.width();
            start = columns.end;
            Ok(Group { layer, columns })
        };
        Ok(Self { groups: layers.into_iter().map(place).collect::<Result<_>>()? })
    }

    /// The layers, and the columns of each.
    pub fn layers(&self) -> Vec<(&dyn Layer, Range<usize>)> {
        self.groups.iter().map(|group| (&*group.layer, group.columns.clone())).collect()
    }

    /// What every group says of its part of `x`, one group after the other.
    fn each(
        &self,
        x: &Tensor,
        of: impl Fn(&dyn Layer, &Tensor) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let parts = self.groups.iter().map(|group| of(&*group.layer, &group.piece_of(x)?));
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The sum of what the groups say of their parts of `x`, `(batch,)`.
    fn sum(
        &self,
        x: &Tensor,
        of: impl Fn(&dyn Layer, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let parts = self.each(x, |layer, x| Ok(vec![of(layer, x)?]))?;
        let mut sum = Tensor::zeros(x.dim(0)?, x.dtype(), x.device())?;
        for part in parts {
            sum = (sum + part)?;
        }
        Ok(sum)
    }

    /// Where the parameters of each group begin among all.
    fn first_vars(&self) -> Vec<usize> {
        let counts = self.groups.iter().map(|group| group.layer.vars().len());
        let begins = counts.scan(0, |next, count| {
            *next += count;
            Some(*next - count)
        });
        begins.collect()
    }
}

impl Layer for Concat {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self {
            groups: self
                .groups
                .iter()
                .map(|Group { layer, columns }| {
                    Ok(Group { layer: layer.try_clone()?, columns: columns.clone() })
                })
                .collect::<Result<_>>()?,
        }))
    }

    fn units(&self) -> Units {
        Units::Concat { groups: self.groups.iter().map(|group| group.layer.units()).collect() }
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        let groups = self.groups.iter().enumerate();
        groups
            .flat_map(|(i, group)| {
                group.layer.vars().into_iter().map(move |(name, var)| (format!("{i}.{name}"), var))
            })
            .collect()
    }

    fn biases(&self) -> Vec<(usize, Range<usize>)> {
        let groups = self.groups.iter().zip(self.first_vars());
        let of = |(group, first): (&Group, usize)| {
            let at = group.columns.start;
            let biases = group.layer.biases().into_iter();
            biases
                .map(|(k, columns)| (first + k, at + columns.start..at + columns.end))
                .collect::<Vec<_>>()
        };
        groups.flat_map(of).collect()
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.each(x, |layer, x| layer.statistics(x))
    }

    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        self.each(inputs, |layer, inputs| layer.expected_statistics(inputs))
    }

    fn mean_among(&self, expected: &[Tensor]) -> Result<Tensor> {
        let groups = self.groups.iter().zip(self.first_vars());
        let means = groups.map(|(group, first)| {
            group.layer.mean_among(expected.get(first..).unwrap_or_default())
        });
        let means = means.collect::<Result<Vec<_>>>()?;
        cat(&means, means.first().map_or(0, Tensor::rank).saturating_sub(1))
    }

    /// Of whole groups without the others.
    fn mean_from(&self, from: usize, inputs: &Tensor) -> Result<Tensor> {
        let Some(first) = self.groups.iter().position(|group| group.columns.start == from) else {
            return means_after_zeros(self, from, inputs);
        };
        let mean = |group: &Group| {
            let start = group.columns.start - from;
            group.layer.mean(&inputs.narrow(1, start, group.columns.len())?.contiguous()?)
        };
        cat(&self.groups[first..].iter().map(mean).collect::<Result<Vec<_>>>()?, 1)
    }

    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        self.sum(inputs, |layer, inputs| layer.cgf(inputs))
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let inputs = inputs.detach();
        let sample = |group: &Group| group.layer.sample(&group.piece_of(&inputs)?, rng);
        cat(&self.groups.iter().map(sample).collect::<Result<Vec<_>>>()?, 1)
    }

    fn base_energy(&self, x: &Tensor) -> Result<Tensor> {
        self.sum(x, |layer, x| layer.base_energy(x))
    }

    /// Only where every group is.
    fn discrete(&self) -> Option<&dyn Discrete> {
        let is_discrete = |group: &Group| group.layer.discrete().is_some();
        self.groups.iter().all(is_discrete).then_some(self)
    }

    fn support(&self) -> Vec<Support> {
        let of = |group: &Group| {
            let support = group.layer.support().into_iter();
            support.map(|units| units.moved(group.columns.start)).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of).collect()
    }

    fn tails(&self) -> Result<Vec<Tail>> {
        let tails = self.groups.iter().map(|group| group.layer.tails());
        Ok(tails.collect::<Result<Vec<_>>>()?.concat())
    }

    fn constrain(&self) -> Result<()> {
        self.groups.iter().try_for_each(|group| group.layer.constrain())
    }

    fn fit_moments(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        self.groups
            .iter()
            .try_for_each(|group| group.layer.fit_moments(&group.of(mean)?, &group.of(variance)?))
    }

    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let biases = self.groups.iter().map(|group| group.layer.bias_for_mean(&group.of(mean)?));
        cat(&biases.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl Discrete for Concat {
    fn configurations(&self) -> Option<u64> {
        self.groups.iter().try_fold(1u64, |count, group| {
            count.checked_mul(group.layer.discrete()?.configurations()?)
        })
    }

    /// The first group's number changes quickest.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let mut stride = 1u64;
        let mut parts = Vec::with_capacity(self.groups.len());
        for Group { layer, .. } in &self.groups {
            let counted = layer.discrete().and_then(|layer| Some((layer, layer.configurations()?)));
            let Some((layer, count)) = counted else {
                let found = self.units().to_string();
                return Err(Error::invalid("enumeration", "discrete units", found));
            };
            parts.push(cycling(layer, count, stride, &numbers)?);
            stride = stride.saturating_mul(count);
        }
        cat(&parts, 1)
    }

    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let nearest = |layer: &dyn Layer, x: &Tensor| match layer.discrete() {
            Some(layer) => Ok(vec![layer.nearest(x)?]),
            None => Ok(vec![x.clone()]),
        };
        cat(&self.each(x, nearest)?, 1)
    }
}

/// For each of `numbers`, `layer`'s configuration number ⌊number / stride⌋ modulo `count`.
fn cycling(layer: &dyn Discrete, count: u64, stride: u64, numbers: &Range<u64>) -> Result<Tensor> {
    let last = numbers.end.saturating_sub(1).max(numbers.start);
    let (low, high) = (numbers.start / stride, last / stride);
    // Every configuration once if they all occur, else those that do.
    let (first, rows) = if high - low + 1 >= count {
        (0, layer.configuration(0..count)?)
    } else if low % count <= high % count {
        (low % count, layer.configuration(low % count..high % count + 1)?)
    } else {
        let ends = [low % count..count, 0..high % count + 1].map(|part| layer.configuration(part));
        (low % count, cat(&ends.into_iter().collect::<Result<Vec<_>>>()?, 0)?)
    };
    let row = |number: u64| ((number / stride % count + count - first) % count) as u32;
    let places = Tensor::from_iter(numbers.clone().map(row), rows.device())?;
    Ok(rows.index_select(&places, 0)?)
}
