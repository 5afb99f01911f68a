//! A machine of two-valued units as a graph: what sweeps need, and nothing else.

use candle_core::{DType, Device, Tensor};

use crate::ops::{Neighbours, is_dense};
use crate::{Error, Result};

/// Units of two values, `low` and 1, coupled in pairs: E(x) = −Σ J_ij·x_i·x_j − Σ b_i·x_i. Made by
/// [`Boltzmann::binary_graph`](super::Boltzmann::binary_graph).
#[derive(Debug, Clone)]
pub struct BinaryGraph {
    starts: Vec<usize>,
    others: Vec<u32>,
    couplings: Vec<f32>,
    biases: Vec<f32>,
    /// All couplings as a matrix, where most pairs of units are coupled.
    matrix: Option<Vec<f32>>,
    low: f32,
    /// The column of each unit among those of the rest and then of the last colour.
    columns: Vec<u32>,
}

impl BinaryGraph {
    /// `pairs` of units with their couplings, and a bias for each unit; `low` is −1 for spins and 0 for Bernoulli units.
    ///
    /// # Errors
    ///
    /// For a pair of a unit that there is not or of a unit with itself, when there is not a coupling for each pair, and for
    /// numbers that are not finite in `f32`.
    pub fn new(pairs: &[[u32; 2]], couplings: &[f64], biases: &[f64], low: f32) -> Result<Self> {
        let count = biases.len();
        if couplings.len() != pairs.len() {
            let expected = format!("{} couplings", pairs.len());
            return Err(Error::invalid("a graph", expected, couplings.len().to_string()));
        }
        let numbers = couplings.iter().chain(biases);
        if let Some(wrong) = numbers.clone().find(|number| !(**number as f32).is_finite()) {
            let expected = "finite couplings and biases";
            return Err(Error::invalid("a graph", expected, wrong.to_string()));
        }
        let mut starts = vec![0; count + 1];
        for pair in pairs {
            let [a, b] = pair.map(|unit| unit as usize);
            if a == b || a.max(b) >= count {
                let expected = format!("two of the units 0 to {}", count.saturating_sub(1));
                return Err(Error::invalid("a pair of units", expected, format!("{a} and {b}")));
            }
            starts[a + 1] += 1;
            starts[b + 1] += 1;
        }
        for unit in 0..count {
            starts[unit + 1] += starts[unit];
        }
        let mut next = starts.clone();
        let (mut others, mut strengths) = (vec![0; 2 * pairs.len()], vec![0.0; 2 * pairs.len()]);
        for (&[a, b], &coupling) in pairs.iter().zip(couplings) {
            for (unit, other) in [(a, b), (b, a)] {
                let place = &mut next[unit as usize];
                (others[*place], strengths[*place]) = (other, coupling as f32);
                *place += 1;
            }
        }
        let matrix = is_dense(count, pairs.len()).then(|| {
            let mut matrix = vec![0.0; count * count];
            for (&[a, b], &coupling) in pairs.iter().zip(couplings) {
                for (row, column) in [(a, b), (b, a)] {
                    matrix[row as usize * count + column as usize] += coupling as f32;
                }
            }
            matrix
        });
        let biases = biases.iter().map(|bias| *bias as f32).collect();
        let columns = (0..count as u32).collect();
        Ok(Self { starts, others, couplings: strengths, biases, matrix, low, columns })
    }

    /// The same units, numbered otherwise among the columns of a machine.
    pub(super) fn with_columns(self, columns: Vec<u32>) -> Self {
        Self { columns, ..self }
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.biases.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.biases.is_empty()
    }

    /// The lower of the two values.
    pub fn low(&self) -> f32 {
        self.low
    }

    /// Whether no unit has a bias: then a configuration and its mirror image are equally probable, for spins.
    pub fn is_without_fields(&self) -> bool {
        self.biases.iter().all(|bias| *bias == 0.0)
    }

    /// The unit that each column is of, those of the rest first and then those of the last colour.
    pub(crate) fn units_of_columns(&self) -> Result<Tensor> {
        let mut units = vec![0u32; self.len()];
        for (unit, column) in self.columns.iter().enumerate() {
            units[*column as usize] = unit as u32;
        }
        Ok(Tensor::new(units, &Device::Cpu)?)
    }

    /// A row for each configuration, its units in the order of the graph, of `rest` and `last` `(rows, units of that colour)`.
    pub(crate) fn rows(&self, rest: &Tensor, last: &Tensor) -> Result<Vec<Vec<f32>>> {
        let both = Tensor::cat(&[rest, last], 1)?.to_dtype(DType::F32)?;
        let columns = Tensor::new(&self.columns[..], &Device::Cpu)?;
        Ok(both.index_select(&columns, 1)?.to_vec2()?)
    }

    /// The couplings and biases.
    pub(crate) fn neighbours(&self) -> Neighbours<'_> {
        let Self { starts, others, couplings, biases, matrix, low, .. } = self;
        Neighbours { starts, others, couplings, biases, matrix: matrix.as_deref(), low: *low }
    }

    /// The neighbours of a unit, and the couplings to them.
    pub fn neighbours_of(&self, unit: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[unit]..self.starts[unit + 1];
        self.others[range.clone()]
            .iter()
            .map(|other| *other as usize)
            .zip(self.couplings[range].iter().copied())
    }

    /// E of a configuration, `x(unit)` its values.
    pub fn energy(&self, x: impl Fn(usize) -> f32) -> f64 {
        let of = |unit: usize| {
            let couplings: f64 = self
                .neighbours_of(unit)
                .map(|(other, coupling)| f64::from(coupling) * f64::from(x(other)))
                .sum();
            f64::from(x(unit)) * (0.5 * couplings + f64::from(self.biases[unit]))
        };
        -(0..self.len()).map(of).sum::<f64>()
    }
}
