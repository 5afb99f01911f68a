//! `dbn train --model belief`: a sigmoid belief net with its recognition, by wake-sleep or reweighted wake-sleep.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use candle_boltzmann::belief::learning::{BeliefLearner, BeliefLearning};
use candle_core::Tensor;
use candle_dbn::recipe::{BeliefLearningRecipe, BeliefRecipe};
use candle_dbn::store::BELIEF;
use candle_dbn::store::table::TableLayout;
use indicatif::MultiProgress;
use rbm_core::{Rng, Units};

use super::boltzmann::MachineTraining;
use super::dry_run;
use super::machine_run::{self, MachineRun};
use crate::beliefs::{self, LearnedBelief};
use crate::commands::evaluate::subject;
use crate::inputs::{self, Cases, DataOptions, NoSuchPart};
use crate::output::Usage;
use crate::{machine_data, output};

/// Samples in the picture.
const PICTURED: usize = 100;

/// What is learned, looked up.
struct ResolvedBelief {
    recipe: BeliefRecipe,
    learning: BeliefLearning,
    /// The cases that are learned from.
    cases: Tensor,
    held_out: usize,
    image: Option<(usize, usize)>,
    table: Option<TableLayout>,
}

/// Learns, or goes on where the same command was stopped. `written` is the file of a recipe.
pub fn run(
    args: &MachineTraining,
    written: Option<&Path>,
    bars: &MultiProgress,
    quiet: bool,
) -> Result<()> {
    let of_others =
        [("--visible", args.visible.is_some()), ("--couplings", args.couplings.is_some())];
    output::refuse(&of_others, "has no meaning for a belief net")?;
    let ResolvedBelief { recipe, learning, cases, held_out, image, table } =
        ResolvedBelief::of(args, written)?;
    if args.is_dry {
        return dry_run::of_belief(&recipe, &learning, &cases, held_out);
    }
    let source = &recipe.data.0.source;
    let claim = machine_run::claim(BELIEF, args.out, "belief", source)?;
    let dir = claim.dir().to_owned();
    let path = dir.join(BELIEF);
    let mut learner = match path.exists() {
        true => {
            let mut found = BeliefLearner::load(&path)?;
            if found.learning().epochs < learning.epochs {
                found.set_epochs(learning.epochs);
            }
            let widths = found.machine().net.widths();
            ensure!(
                widths[1..] == recipe.hidden[..] && found.learning() == &learning,
                "{}: holds a belief net of other layers or settings: choose another --out",
                dir.display()
            );
            found.check_cases(&cases).with_context(|| {
                format!("{}: holds a belief net of other data: choose another --out", dir.display())
            })?;
            output::note(format!("goes on after epoch {}", found.epoch()));
            found
        }
        false => BeliefLearner::new(&recipe.hidden, learning, &cases).map_err(Usage::of)?,
    };
    machine_run::keep_table(&dir, path.exists(), table.as_ref())?;
    let learning = MachineRun { dir: &dir, file: BELIEF, epochs: learner.epoch() };
    let (text, screen) = (recipe.to_toml()?, (bars, quiet));
    learning.learn(&text, args.interval, screen, |observer| learner.fit(&cases, observer))?;
    learner.save(&path)?;
    let seed = recipe.seed;
    let belief = LearnedBelief { dir, learner, recipe: Some(recipe) };
    belief.config(image, table).save(&belief.dir)?;
    if args.pictures {
        let samples = belief.samples(PICTURED, false, &mut Rng::new(seed))?;
        belief.picture(&belief.dir.join("samples.png"), &samples, image)?;
        let panels = [("log p(v), from below (nats a case)", "importance_weighted")];
        machine_run::curves(&belief.dir, &panels)?;
    }
    if !args.evaluation {
        return output::line("done, without a look at held-out cases");
    }
    let cases = match belief.cases(None, &DataOptions::default(), None) {
        Err(error) if error.is::<NoSuchPart>() => {
            return output::line("done: there are no held-out cases to evaluate it on");
        }
        cases => cases?,
    };
    let found = belief.likelihood(&cases, beliefs::SAMPLES, seed, bars)?;
    found.print(&cases.part_name())?;
    if let Some(measured) = belief.measurement(&found, &cases, seed) {
        subject::record(&belief.dir, measured);
    }
    Ok(())
}

impl ResolvedBelief {
    fn of(args: &MachineTraining, written: Option<&Path>) -> Result<Self> {
        let mut recipe = match written {
            Some(path) => BeliefRecipe::read(path).map_err(Usage::of)?,
            None => BeliefRecipe::default(),
        };
        let data = &mut recipe.data.0;
        if let Some(source) = args.data {
            data.source = source.to_owned();
        }
        data.read = inputs::typed(&args.data_options.read)?.or(&data.read);
        data.limit = args.data_options.limit.map(|limit| limit as usize).or(data.limit);
        recipe.seed = args.seed.unwrap_or(recipe.seed);
        if !args.hidden.is_empty() {
            let width = |text: &String| match text.parse::<Units>() {
                Ok(Units::Bernoulli { size }) => Ok(size),
                _ => Err(Usage::of(anyhow!(
                    "--hidden {text}: expected numbers of Bernoulli units, as in 200,200"
                ))),
            };
            recipe.hidden = args.hidden.iter().map(width).collect::<Result<_>>()?;
        }
        let mut recipe = recipe.with(args.settings).context("--set").map_err(Usage::of)?;
        inputs::make_absolute(&mut recipe.data.0)?;
        let named = recipe.learning.clone();
        let (seed, pass) = (recipe.seed, recipe.data.0.pass);
        let mut learning = BeliefLearning { seed, pass, ..named.resolve() };
        let source = recipe.data.0.source.clone();
        let dataset = machine_data::load_whole(&source, &recipe.data.0.read)?;
        let (image, table) = (dataset.image, TableLayout::of(&dataset));
        if let Some(alphabet) = &dataset.alphabet {
            output::note(format!(
                "each of the {} columns of a site is a unit of its own: a sample may have several letters at a site, or none (--model bm has one of them)",
                alphabet.states()
            ));
        }
        let own = Some(recipe.data.0.clone());
        let held_out = inputs::held_out_of(&dataset, own.clone());
        let train = inputs::chosen(dataset, own, Some(Cases::Train))?.part;
        ensure!(
            train.weights.is_none(),
            "{source}: expected cases that count alike, found weights (a belief net learns without; --model bm takes them)"
        );
        let units = Units::bernoulli(train.width());
        let cases = machine_data::learned(
            &train,
            &units,
            learning.pass,
            None,
            (&source, &recipe.data.0.read),
        )
        .context("a belief net")?;
        let size = [train.len(), learning.batch_size];
        learning.epochs = machine_run::epochs(named.epochs, learning.epochs, size);
        recipe.learning = BeliefLearningRecipe::of(&learning);
        if machine_data::differ(&cases, &train.cases)? {
            output::note(machine_data::CUT_NOTE);
        }
        Ok(Self { recipe, learning, cases, held_out, image, table })
    }
}
