//! From a row of the plan to the work itself. Only the libraries' public functions are used in it, so that it is what a
//! user's own program would get.

use anyhow::Result;
use candle_dbn::network::classifier::Dropout;

use super::annealing::Annealing;
use super::learning::Learning;
use super::network::{Embedding, FineTuning};
use super::plan::{Look, Row, Task};
use super::subject::Subject;
use super::warm::{LEARNING_RATE, Warm};

/// A learning rate at which a machine stays as it is.
const STANDSTILL: f64 = 1e-9;

/// The work of `row`.
pub fn of(row: &Row, warm: &mut Warm) -> Result<Box<dyn Subject>> {
    Ok(match row.task {
        Task::Learn { method, steps, look } => {
            let shape = (row.widths[0], row.widths[1]);
            let mut cases = warm.cases(look, shape.0, row.batch)?;
            let rbm = warm.learned(&mut cases, look, shape)?;
            // Learning goes on while it is measured, so that no two updates are alike.
            let rate = if look == Look::Dense { STANDSTILL } else { LEARNING_RATE };
            Box::new(Learning::new(rbm, cases, (method, steps), rate)?)
        }
        Task::FineTune { dropout } => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            // As in the `mnist` recipe.
            let visible_and_hidden = if dropout { (0.2, 0.4) } else { (0.0, 0.0) };
            let dropout = Dropout { visible: visible_and_hidden.0, hidden: visible_and_hidden.1 };
            Box::new(FineTuning::new(&warm.stack(3)?, cases, row.batch, dropout)?)
        }
        Task::Embed => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            Box::new(Embedding::new(warm.stack(3)?, cases)?)
        }
        Task::Anneal => {
            let cases = warm.cases(Look::Binary, row.widths[0], row.batch)?;
            Box::new(Annealing::new(warm.stack(1)?.swap_remove(0), cases)?)
        }
    })
}
