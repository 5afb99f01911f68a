//! Units on a graph, coupled along its edges.

use candle_core::{DType, Device};
use rbm_core::model::Machine;
use rbm_core::{Error, Result, Units};

/// E(x) = −Σ J_ij·x_i·x_j − Σ h_i·x_i, the sums over edges and units: what a machine is made of, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Of what kind the units are, and how many.
    pub units: Units,
    /// The two units of each edge, each edge once.
    pub edges: Vec<[u32; 2]>,
    /// J of each edge; above 0 it favours units that are alike.
    pub couplings: Vec<f64>,
    /// h of each unit.
    pub fields: Vec<f64>,
    /// Rows and columns, where the units lie in a rectangle, row by row.
    pub shape: Option<[usize; 2]>,
}

impl Graph {
    /// The machine, at temperature 1: a layer for each colour of the graph.
    ///
    /// # Errors
    ///
    /// For edges that are no graph of these units, and when a number is missing.
    pub fn machine(&self, dtype: DType, device: &Device) -> Result<Machine> {
        Machine::on_graph(&self.units, &self.edges, &self.couplings, &self.fields, dtype, device)
    }

    /// E of one configuration, a number a unit.
    ///
    /// # Errors
    ///
    /// When there is not one number for each unit, and for an edge of a unit that there is not.
    pub fn energy(&self, x: &[f64]) -> Result<f64> {
        if x.len() != self.fields.len() {
            let expected = format!("{} numbers", self.fields.len());
            return Err(Error::invalid("a configuration", expected, x.len().to_string()));
        }
        let mut couplings = 0.0;
        for (edge, coupling) in self.edges.iter().zip(&self.couplings) {
            let [Some(a), Some(b)] = edge.map(|unit| x.get(unit as usize)) else {
                let expected = format!("two of the units 0 to {}", x.len().saturating_sub(1));
                return Err(Error::invalid("an edge", expected, format!("{edge:?}")));
            };
            couplings += coupling * a * b;
        }
        let fields: f64 = self.fields.iter().zip(x).map(|(field, x)| field * x).sum();
        Ok(-couplings - fields)
    }
}
