//! What has learned and is no graph of units of one kind: of this `dbn sample` measures energies alone.

use std::path::Path;

use anyhow::{Result, anyhow};
use candle_core::{Device, Tensor};
use candle_dbn::Model;
use candle_dbn::store::table::TableLayout;
use rbm_core::model::Boltzmann;

use crate::machines::{self, LearnedMachine, ModelSize};
use crate::output::Usage;
use crate::{inputs, machine_data};

/// What has learned and is no graph of units of one kind.
pub enum EnergyModel {
    Boltzmann(Box<LearnedMachine>),
    /// A network of one restricted machine.
    Restricted(Box<Model>),
}

impl EnergyModel {
    /// What lies in the folder `run`; `None` for a machine that is a graph, and where no run lies.
    pub fn find(run: &Path, device: &Device) -> Result<Option<Self>> {
        if machines::is_learned(run) {
            let machine = LearnedMachine::open(run)?;
            let is_graph = machine.learner.graph().is_ok();
            return Ok((!is_graph).then(|| Self::Boltzmann(Box::new(machine))));
        }
        if machines::is_meant(run) {
            return Ok(None);
        }
        if machines::is_begun(run) {
            machines::check_learned(run)?;
        }
        if !run.exists() {
            let expected = "a run, a file, or a machine by name, such as ising:32x32";
            return Err(Usage::of(anyhow!("{}: expected {expected}, found none", run.display())));
        }
        let model = inputs::load_model(run, device)?;
        if model.dbn.depth() > 1 || model.classes().is_some() {
            let found = run.display();
            let expected = "--temperature, --measure, --burn-in, --ordered, --json: expected a machine, such as ising:32x32, or a network of one without labels";
            return Err(Usage::of(anyhow!("{expected}, found the run {found}")));
        }
        Ok(Some(Self::Restricted(Box::new(model))))
    }

    pub fn machine(&self) -> &dyn Boltzmann {
        match self {
            Self::Boltzmann(machine) => machine.learner.machine(),
            Self::Restricted(model) => model.dbn.top(),
        }
    }

    /// Its units, and the numbers that were learned.
    pub fn size(&self) -> Result<ModelSize> {
        let machine = self.machine();
        let units =
            [machine.rest(), machine.last()].map(|layer| machine_data::count_of(&layer.units()));
        let [visible, hidden] = units;
        let parameters = match self {
            Self::Boltzmann(machine) => machine.learner.parameters(),
            Self::Restricted(_) => {
                machine.parameters().into_iter().map(|(_, of)| of.elem_count()).sum()
            }
        };
        Ok(ModelSize::Machine { units: visible? + hidden?, parameters })
    }

    /// What the units of the rest `(rows, rest)` are of the data: the visible ones, in the data's values.
    pub fn in_data_values(&self, rest: &Tensor) -> Result<Tensor> {
        match self {
            Self::Boltzmann(machine) => {
                let visible = rest.narrow(1, 0, machine.visible().width())?.contiguous()?;
                let table = TableLayout::read(&machine.dir)?.unwrap_or_default();
                Ok(match machine_data::standardise_of(&table)? {
                    Some(standardise) => standardise.undo(&visible)?,
                    None => visible,
                })
            }
            Self::Restricted(model) => Ok(model.in_data_values(rest)?),
        }
    }
}
