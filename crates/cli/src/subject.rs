//! What an evaluation is about: the arguments, looked up.

use std::path::PathBuf;

use anyhow::Result;
use candle_dbn::store::results::{DataVariant, MeasurementSet};
use candle_dbn::{Examples, Inference, Model, Run, data};

use crate::args::{Cases, Evaluate};
use crate::{cases, measured, model};

/// What is evaluated, and what becomes of the numbers: nothing of it is left to be looked up.
pub struct Subject {
    /// The folder of the model.
    pub run: PathBuf,
    pub model: Model,
    pub examples: Examples,
    /// What to call them in an error.
    pub source: String,
    /// What to call them in a chart.
    pub name: &'static str,
    /// What the model learned from, for the charts of a report, where it is known and is something else.
    pub training: Option<Examples>,
    /// Which data they are, where they are the run's own and the run keeps what is measured.
    pub variant: Option<DataVariant>,
    pub recognise: Inference,
    pub seed: u64,
    /// The folder of the report.
    pub report: Option<PathBuf>,
    pub json: bool,
}

impl Subject {
    /// What the arguments mean, of this model.
    pub fn resolve(args: &Evaluate, model: Model) -> Result<Self> {
        let find =
            |cases| cases::find(&args.run, &model, args.data.as_deref(), &args.data_options, cases);
        let examples = find(args.cases)?;
        let recipe = match &args.data {
            None => Run::open(&args.run).and_then(|run| run.recipe()).ok(),
            Some(_) => None,
        };
        let is_population =
            recipe.as_ref().is_some_and(|recipe| data::is_population(&recipe.data.source));
        let is_other = args.data.is_none() && args.cases != Some(Cases::Train) && !is_population;
        let training = match args.report {
            Some(_) if is_other => Some(find(Some(Cases::Train))?),
            _ => None,
        };
        let name = match args.cases {
            _ if is_population => "all",
            Some(Cases::Train) => "training",
            Some(Cases::Validation) => "validation",
            Some(Cases::All) => "all",
            Some(Cases::HeldOut) => "held-out",
            None if args.data.is_some() => "evaluated",
            None => "held-out",
        };
        let is_here = model::work_dir(&args.run) == args.run;
        let variant = recipe.filter(|_| is_here).map(|mut recipe| {
            let binarise = &mut recipe.data.read.binarise;
            *binarise = args.data_options.read.binarise.or(*binarise);
            let cases = args.cases.unwrap_or(Cases::HeldOut);
            measured::variant(&recipe, &model, cases, &examples)
        });
        Ok(Self {
            run: args.run.clone(),
            examples,
            source: cases::source(args.data.as_deref(), &args.run),
            name,
            training,
            variant,
            recognise: args.recognise,
            seed: args.seed,
            report: args.report.clone(),
            json: args.json,
            model,
        })
    }

    /// Keeps what `measure` makes of the data, where these are the run's own: others say little about it.
    pub fn keep(&self, measure: impl FnOnce(DataVariant) -> MeasurementSet) {
        if let Some(variant) = self.variant.clone() {
            measured::record(&self.run, measure(variant));
        }
    }
}
