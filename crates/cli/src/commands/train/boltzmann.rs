//! `dbn train --model bm`: a Boltzmann machine with couplings within its layers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{ColumnFindings, Couplings, Graph, Resampled, column_findings};
use candle_core::Tensor;
use candle_dbn::Examples;
use candle_dbn::data::Standardise;
use candle_dbn::estimate::KeptPartition;
use candle_dbn::estimate::likelihood::{BoundBasis, Likelihood, TOLERANCE, Verdict};
use candle_dbn::recipe::{HiddenLayers, LearningRecipe, MachineRecipe, VisibleKind};
use candle_dbn::store::MACHINE;
use candle_dbn::store::results::MeasurementSet;
use candle_dbn::store::run::RECIPE;
use candle_dbn::store::table::TableLayout;
use candle_dbn::viz::images::{self, Contrast};
use indicatif::MultiProgress;
use rbm_core::estimate::{AisEstimates, AisOptions, Correlations, sigma_points};
use rbm_core::{Rng, Rows, Units};

use super::initial_network::{self, InitialNetwork};
use super::machine_run::{self, MachineRun};
use super::{dry_run, machine_classifier};
use crate::commands::evaluate::machine::{
    brief_log_partition, exact_log_partition, likelihood_of, path,
};
use crate::commands::evaluate::subject;
use crate::inputs::{self, Cases, DataOptions};
use crate::machine_data;
use crate::machines::{self, LearnedMachine, MachineCases};
use crate::output::Usage;
use crate::{interrupt, output, progress};

/// Fewer cases than so many a column know little of the covariances.
const CASES_A_COLUMN: usize = 5;
/// The highest usual learning rates of units without bounds, which higher ones let run away: beside hidden units, and by the exact gradient.
const UNBOUNDED_RATE: f64 = 0.01;
const EXACT_RATE: f64 = 0.2;
/// Visible units above which learning by pseudo-likelihood beside hidden ones is called slow.
const SLOW_PSEUDO: usize = 200;
/// Samples in the picture, and sweeps of each.
const SAMPLES: usize = 100;
const SAMPLE_SWEEPS: usize = 1000;
/// The most chains that are started anew.
const RESAMPLED: usize = 2000;

/// What is learned, how and where.
pub struct MachineTraining<'a> {
    pub data: Option<&'a str>,
    pub data_options: &'a DataOptions,
    /// What the recipe that was named says, or nothing.
    pub recipe: MachineRecipe,
    pub visible: Option<&'a VisibleKind>,
    pub hidden: &'a [String],
    pub couplings: Option<&'a Couplings<String>>,
    pub settings: &'a [String],
    pub seed: Option<u64>,
    pub out: Option<&'a Path>,
    pub pictures: bool,
    /// Whether log p(v) is found in the end.
    pub evaluation: bool,
    pub is_dry: bool,
    /// Whether it is to be a deep machine: no couplings within layers.
    pub is_deep: bool,
    /// The time between two copies on disk.
    pub interval: Duration,
}

/// A training, looked up.
struct ResolvedMachine {
    recipe: MachineRecipe,
    shape: Shape,
    learning: Learning,
    /// The cases that are learned from, and how much each counts.
    cases: Tensor,
    weights: Option<Arc<[f32]>>,
    held_out: usize,
    image: Option<(usize, usize)>,
    table: Option<TableLayout>,
    classes: Option<usize>,
}

/// Learns, or goes on where the same command was stopped.
pub fn run(args: &MachineTraining, bars: &MultiProgress, quiet: bool) -> Result<()> {
    let resolved = ResolvedMachine::of(args)?;
    let is_there = args.out.is_some_and(|out| out.join(MACHINE).exists());
    let lowest = match &resolved.recipe.init {
        Some(init) if !is_there => {
            let of = (&resolved.shape, &resolved.learning);
            Some(InitialNetwork::of(init, &resolved.recipe, of)?)
        }
        _ => None,
    };
    if args.is_dry {
        let learns_first = matches!(lowest, Some(InitialNetwork::Learns(_)));
        let without = (resolved.learning.pretraining_epochs > 0)
            .then_some("pre-training")
            .into_iter()
            .chain(learns_first.then_some("the machine that it begins at"))
            .chain(resolved.recipe.classifier.as_ref().map(|_| "the classifier"));
        for what in without {
            output::note(format!("{what} is not in the estimate of time"));
        }
        let mut learner =
            Learner::new(resolved.shape.clone(), resolved.learning.clone(), &resolved.cases)
                .map_err(Usage::of)?;
        if let Some(lowest) = &lowest {
            lowest.check(&mut learner, resolved.table.as_ref(), bars)?;
        }
        let together = Learning { pretraining_epochs: 0, ..resolved.learning };
        return dry_run::of_machine(
            &resolved.recipe,
            Learner::new(resolved.shape, together, &resolved.cases).map_err(Usage::of)?,
            &resolved.cases,
            resolved.held_out,
        );
    }
    let ResolvedMachine { recipe, shape, learning, cases, weights, image, table, classes, .. } =
        resolved;
    let source = &recipe.data.0.source;
    let claim = machine_run::claim(MACHINE, args.out, "bm", source)?;
    let dir = claim.dir().to_owned();
    let path = dir.join(MACHINE);
    let mut learner = match path.exists() {
        true => {
            let mut found = Learner::load(&path)?;
            if found.learning().epochs < learning.epochs {
                found.set_epochs(learning.epochs);
            }
            ensure!(
                found.shape() == &shape && found.learning() == &learning,
                "{}: holds a machine of other units or settings: choose another --out",
                dir.display()
            );
            found.check_cases(&cases, weights.as_deref()).with_context(|| {
                format!("{}: holds a machine of other data: choose another --out", dir.display())
            })?;
            let begun = MachineRecipe::read(dir.join(RECIPE)).map(|recipe| recipe.init);
            ensure!(
                begun.is_err() || begun.is_ok_and(|init| init == recipe.init),
                "{}: holds a machine that did not begin at this init: choose another --out",
                dir.display()
            );
            output::note(format!("goes on after epoch {}", found.epochs_in_all()));
            found
        }
        false => Learner::new(shape, learning, &cases).map_err(Usage::of)?,
    };
    if let Some(weights) = weights.clone() {
        learner.weigh(&cases, weights)?;
    }
    if let Some(lowest) = lowest {
        let (place, screen) = ((&*dir, &recipe), (bars, quiet));
        lowest.begin(&mut learner, place, table.as_ref(), args.interval, screen)?;
    }
    machine_run::keep_table(&dir, path.exists(), table.as_ref())?;
    let before = learner.epochs_in_all();
    let learning = MachineRun { dir: &dir, file: MACHINE, epochs: before };
    let (text, screen) = (recipe.to_toml()?, (bars, quiet));
    learning.learn(&text, args.interval, screen, |observer| learner.fit(&cases, observer))?;
    learner.save(&path)?;
    machine_classifier::forget(&dir, learner.epochs_in_all() > before)?;
    if let Some(target) = learner.learning().target_pearson {
        say_target(&learner, &cases, weights.as_deref(), target, bars)?;
    }
    let spinner = progress::spinner(bars, "log-likelihood and pictures");
    if args.pictures {
        pictures(&learner, &dir, image)?;
    }
    spinner.finish_and_clear();
    let machine = LearnedMachine { dir, learner, recipe: Some(recipe) };
    machine.config(image, table).save(&machine.dir)?;
    if let Some((recipe, classes)) = machine.recipe.as_ref().zip(classes)
        && let Some(classifier) = &recipe.classifier
    {
        let train = machine.cases(None, &DataOptions::default(), Some(Cases::Train))?;
        let of = (recipe, classifier);
        machine_classifier::learn(&machine, of, (&train, classes), args.interval, (bars, quiet))?;
    }
    match args.evaluation {
        true => finish(&machine, bars),
        false => output::line("done, without a look at held-out cases"),
    }
}

impl ResolvedMachine {
    fn of(args: &MachineTraining) -> Result<Self> {
        let mut recipe = args.recipe.clone();
        let data = &mut recipe.data.0;
        if let Some(source) = args.data {
            data.source = source.to_owned();
        }
        data.read = inputs::typed(&args.data_options.read)?.or(&data.read);
        data.limit = args.data_options.limit.map(|limit| limit as usize).or(data.limit);
        recipe.seed = args.seed.unwrap_or(recipe.seed);
        if let Some(kind) = args.visible {
            recipe.visible = kind.clone();
        }
        if !args.hidden.is_empty() {
            let layers = args.hidden.iter().map(|units| units.parse().map_err(Usage::of));
            recipe.hidden = HiddenLayers::new(layers.collect::<Result<_>>()?);
        }
        if args.is_deep {
            recipe.couplings = Couplings::None;
        }
        if let Some(couplings) = args.couplings {
            recipe.couplings = couplings.clone();
        }
        let mut recipe = recipe.with(args.settings).context("--set").map_err(Usage::of)?;
        let layers = recipe.hidden.as_ref().map_or(0, |hidden| hidden.units().len());
        if args.is_deep && recipe.couplings != Couplings::None {
            let found = "--couplings: expected none within the layers of a deep Boltzmann machine";
            return Err(Usage::of(anyhow!("{found} (--model bm has them)")));
        }
        if args.is_deep && layers < 2 {
            let expected = "--hidden: expected at least two layers of a deep Boltzmann machine";
            return Err(Usage::of(anyhow!("{expected}, as 500,1000; found {layers}")));
        }
        inputs::make_absolute(&mut recipe.data.0)?;
        let named = recipe.learning.clone();
        let (seed, pass) = (recipe.seed, recipe.data.0.pass);
        let mut learning = Learning { seed, pass, ..named.resolve(layers) };
        let source = recipe.data.0.source.clone();
        let (dataset, is_by_columns) =
            machine_data::load(&recipe.visible, &source, &recipe.data.0.read)?;
        let (image, alphabet) = (dataset.image, dataset.alphabet.clone());
        let classes = dataset.classes;
        if recipe.classifier.is_some() && classes.is_none() {
            return Err(Usage::of(anyhow!(
                "[classifier]: expected data with labels, found none in {source} (--label-column or --labels names them)"
            )));
        }
        let visible = machine_data::visible_units(
            &recipe.visible,
            (&dataset, is_by_columns),
            learning.pass,
            &source,
        )?;
        let own = Some(recipe.data.0.clone());
        let table = TableLayout::of(&dataset);
        let held_out = inputs::held_out_of(&dataset, own.clone());
        let train = inputs::chosen(dataset, own, Some(Cases::Train))?.part;
        let table = with_moments(table, &train, &visible)?;
        let standardise = table.as_ref().map(machine_data::standardise_of).transpose()?.flatten();
        let cases = machine_data::learned(
            &train,
            &visible,
            learning.pass,
            standardise.as_ref(),
            (&source, &recipe.data.0.read),
        )?;
        let labels = if recipe.labels { classes } else { None };
        let cases = match (recipe.labels, labels) {
            (false, _) => cases,
            (true, Some(classes)) => machine_data::with_labels(&cases, &train, classes, &source)?,
            (true, None) => {
                return Err(Usage::of(anyhow!(
                    "labels = true: expected data with labels, found none in {source} (--label-column or --labels names them)"
                )));
            }
        };
        let hidden: Vec<_> = recipe.hidden.iter().flat_map(HiddenLayers::units).collect();
        let weights = train.weights.clone();
        let look_up = |graph: String| edges_of(&graph, machine_data::count_of(&visible)?);
        let couplings = recipe.couplings.clone().try_map(look_up)?;
        let couplings = match hidden.is_empty() {
            true => couplings.without_hidden(),
            false => couplings,
        };
        let shape = Shape { visible, hidden, labels, couplings };
        let count = machine_data::count_of(&shape.visible)?;
        let is_slow = !shape.hidden.is_empty() && count > SLOW_PSEUDO;
        if is_slow && learning.negative == Negative::PseudoLikelihood {
            output::note(format!(
                "beside hidden units the pseudo-likelihood takes a step of CD-1 for each value of all {count} units: method=pcd is faster"
            ));
        }
        let is_measured =
            shape.couplings.is_within_visible() && machine_data::has_measurements(&shape.visible);
        if is_measured && named.method.is_none() {
            // Pseudo-likelihood is far from the likelihood where measurements tell categories apart. And single chains stay with one category, so
            // that what they learn loses the others.
            let points = match shape.hidden.is_empty() {
                true => sigma_points(&shape.machine().map_err(Usage::of)?)?,
                false => None,
            };
            learning.negative = if points.is_some() { Negative::Exact } else { Negative::Tempered };
        }
        let is_exact = is_measured && learning.negative == Negative::Exact;
        if is_exact && named.batch_size.is_none() {
            // The precisions of few cases may be far from those of all.
            learning.batch_size = None;
        }
        let of_data = cases.narrow(1, 0, shape.visible.width())?;
        let found = match shape.layers().iter().any(machine_data::is_unbounded) {
            true => Some(column_findings(&shape.visible, &of_data)?),
            false => None,
        };
        if let Some(found) = found.as_ref().filter(|_| is_measured) {
            note_columns(found, table.as_ref());
        }
        if is_measured && train.len() < CASES_A_COLUMN * shape.visible.width() {
            output::note(format!(
                "warning: {} cases of {} columns: many couplings follow chance alone (look at the held-out log p, or name pairs with --couplings edges:FILE)",
                train.len(),
                shape.visible.width()
            ));
        }
        if is_measured && named.l2.is_none() {
            // Couplings are inverse covariances: to make them smaller is to say that columns vary less together.
            learning.l2 = 0.0;
        }
        if let Some(found) = found.filter(|_| named.learning_rate.is_none()) {
            let steps = 1.0 / found.largest_variance.powi(2);
            let rate = match is_exact {
                true => (0.5 * steps).min(EXACT_RATE),
                false if shape.hidden.is_empty() => (0.1 * steps).min(learning.learning_rate),
                false => (0.1 * steps).min(UNBOUNDED_RATE),
            };
            learning.learning_rate = rate;
        }
        let size = [train.len(), learning.batch_size.unwrap_or(train.len())];
        learning.epochs = machine_run::epochs(named.epochs, learning.epochs, size);
        recipe.learning = LearningRecipe::of(&learning);
        recipe.init = recipe.init.as_deref().map(initial_network::absolute).transpose()?;
        // What was guessed once stays so.
        recipe.data.0.read.alphabet = alphabet;
        Ok(Self { recipe, shape, learning, cases, weights, held_out, image, table, classes })
    }
}

/// What is known in the end, printed and kept: log p(v) of the training cases and of those held out.
fn finish(machine: &LearnedMachine, bars: &MultiProgress) -> Result<()> {
    let options = DataOptions::default();
    let train = machine.cases(None, &options, Some(Cases::Train))?;
    let held_out = match machine.cases(None, &options, None) {
        Ok(cases) => (cases.part == Cases::HeldOut).then_some(cases),
        Err(error) if error.is::<inputs::NoSuchPart>() => None,
        Err(error) => return Err(error),
    };
    let graph = machine.learner.graph().ok();
    let seed = machine.learner.learning().seed;
    let exact = exact_log_partition(machine.learner.machine(), graph.as_ref(), bars)?;
    let seen = machine.posterior(&train.values, bars)?;
    let _caught = interrupt::catch()?;
    let found = match exact {
        Some(_) => AisEstimates::default(),
        None => {
            let path = path(machine, &train.values, &seen)?;
            let how = "the machine is kept: dbn evaluate --likelihood finds the rest";
            let found = brief_log_partition(machine.learner.machine(), path, seed, (bars, how))?;
            // dbn score takes it, unless a longer estimation is known.
            if KeptPartition::of(&machine.dir, &machine.dir)?.is_none() {
                KeptPartition::keep(&machine.dir, &machine.dir, AisOptions::brief(seed), &found)?;
            }
            found
        }
    };
    let say = |cases: &MachineCases, likelihood: Likelihood| -> Result<()> {
        let value = likelihood.exact.or(likelihood.bridge).context("log Z: nothing was found")?;
        let what = match likelihood.bound {
            Some(BoundBasis::MeanField { .. }) => "log p(v) at least",
            _ => "log p(v)",
        };
        let (how, half_gap) = match likelihood.verdict {
            Verdict::Exact => ("counted".to_owned(), 0.0),
            _ => {
                let side = |value: Option<candle_dbn::estimate::likelihood::Value>| {
                    value.map_or(f64::NAN, |value| value.log_likelihood)
                };
                let gap = (side(likelihood.forward) - side(likelihood.reverse)).abs();
                (format!("both sides of log Z {gap:.2} apart"), 0.5 * gap)
            }
        };
        let name = cases.part_name();
        // Of log Z: the error over cases is not in it.
        let value = match (value.log_partition.error, half_gap) {
            (0.0, _) => format!("{:.4}", value.log_likelihood),
            // Sides that are farther apart than that say how well it is known.
            (error, half_gap) => {
                format!("{:.2} ± {:.2}", value.log_likelihood, error.max(half_gap))
            }
        };
        output::line(format!("{name} {what} {value} nats a case ({how})"))?;
        if let Verdict::Disagree { .. } | Verdict::Unmixed { .. } = likelihood.verdict {
            output::note(format!(
                "{}: a longer estimation may settle it: dbn evaluate {} --likelihood --both",
                likelihood.verdict,
                machine.dir.display()
            ));
        }
        if let Some(variant) = machine.variant(cases) {
            let measured = MeasurementSet::of_likelihood(&likelihood, variant, seed);
            subject::record(&machine.dir, measured);
        }
        Ok(())
    };
    if let Some(cases) = &held_out {
        let spinner = progress::spinner(bars, "classes");
        let of_labels = match machine.learner.shape().labels {
            Some(_) => Some(machine.label_errors(cases)?),
            None => None,
        };
        let of_classifier = machine.classifier_errors(cases, bars)?;
        spinner.finish_and_clear();
        for (what, errors) in [("labels", of_labels), ("classifier", of_classifier)] {
            let Some(errors) = errors else { continue };
            let count = cases.values.count();
            let percent = 100.0 * errors as f64 / count.max(1) as f64;
            let count = output::grouped(count as u64);
            output::line(format!(
                "held-out error of the {what} {percent:.2} % ({errors} of {count} cases)"
            ))?;
        }
    }
    say(&train, likelihood_of(&train, &seen, exact, &found, TOLERANCE))?;
    if let Some(cases) = &held_out {
        let seen = machine.posterior(&cases.values, bars)?;
        say(cases, likelihood_of(cases, &seen, exact, &found, TOLERANCE))?;
    }
    Ok(())
}

/// Whether the target is reached: by chains that are started anew, and for longer than while learning.
fn say_target(
    learner: &Learner,
    cases: &Tensor,
    weights: Option<&[f32]>,
    target: f64,
    bars: &MultiProgress,
) -> Result<()> {
    let spinner = progress::spinner(bars, "chains started anew");
    let units = &learner.shape().visible;
    let data = Correlations::of(units, cases, weights)?;
    let mut rng = Rng::new(learner.learning().seed).split(3);
    let size = [learner.learning().chains.min(RESAMPLED), SAMPLE_SWEEPS];
    let found = Resampled::of(learner.machine(), units, &data, size, &mut rng)?;
    spinner.finish_and_clear();
    let updates = output::grouped(learner.epoch() as u64);
    output::line(format!(
        "Pearson of connected correlations {:.4} after {updates} epochs: {} chains started anew, {SAMPLE_SWEEPS} sweeps",
        found.pearson, size[0]
    ))?;
    if found.attainable < target {
        output::note(format!(
            "of {} chains Pearson would be {:.3} if the machine had the correlations of the data: give more chains for a target of {target}",
            size[0], found.attainable
        ));
    } else if (found.pearson - found.pearson_halfway).abs() > 0.02 {
        output::note(format!(
            "it was {:.4} after half of the sweeps: chains are slow to come to rest",
            found.pearson_halfway
        ));
    }
    let own = learner.own_pearson(&data)?;
    let is_known = found.attainable >= target;
    if let Some(own) = own.filter(|own| is_known && found.behind(*own) > 0.02) {
        let advice = match learner.learning().negative {
            Negative::Trajectory => "give more sweeps, or a lower learning_rate",
            _ => "give more sweeps, or method=ptt",
        };
        output::note(format!(
            "the chains of the training have {own:.4}: they have left equilibrium ({advice})"
        ));
    }
    if !learner.is_reached() {
        output::note(format!("the target of {target} was not reached"));
    }
    Ok(())
}

/// The pairs of units that the graph of this name, or in this file, couples.
fn edges_of(graph: &str, width: usize) -> Result<Vec<[u32; 2]>> {
    let Graph { units, edges, couplings, .. } = machines::graph(graph)?;
    let found = units.width();
    if found < width {
        output::note(format!(
            "{graph} has {found} units: the other {} of the data are not coupled",
            width - found
        ));
    }
    ensure!(!edges.is_empty(), "--couplings edges:{graph}: expected pairs of units, found none");
    if let Some([a, b]) = edges.iter().find(|[a, b]| *a.max(b) as usize >= width) {
        bail!(
            "--couplings edges:{graph}: expected pairs of the {width} units of the data, found units {} and {}, counted from 1",
            a + 1,
            b + 1
        );
    }
    if couplings.iter().any(|coupling| *coupling != 1.0) {
        output::note(format!(
            "the {} pairs of {graph} are taken, its couplings are not",
            edges.len()
        ));
    }
    Ok(edges)
}

/// Says which columns say nothing, and which nearly follow from others.
fn note_columns(found: &ColumnFindings, table: Option<&TableLayout>) {
    let columns = table.and_then(|table| table.columns.as_ref());
    let names = columns.map(|columns| columns.value_names()).unwrap_or_default();
    let listed = |columns: &[usize]| {
        let name = |j: &usize| names.get(*j).map_or_else(|| j.to_string(), |it| format!("`{it}`"));
        columns.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    if !found.constant.is_empty() {
        output::note(format!(
            "warning: {} is the same in every case, and is learned as a number that varies (--drop leaves it out)",
            listed(&found.constant)
        ));
    }
    if !found.dependent.is_empty() {
        output::note(format!(
            "warning: {} nearly follow from each other: learning begins with {:e} of its variance added to that of each column (--drop leaves columns out)",
            listed(&found.dependent),
            found.ridge
        ));
    }
}

/// `table` with what brings the measurements of `train` to mean 0 and deviation 1, where `visible` has units for such.
fn with_moments(
    table: Option<TableLayout>,
    train: &Examples,
    visible: &Units,
) -> Result<Option<TableLayout>> {
    if !machine_data::has_measurements(visible) {
        return Ok(table);
    }
    let moments = Some(Standardise::of(&train.cases)?.only(visible)?.moments()?);
    Ok(Some(TableLayout { moments, ..table.unwrap_or_default() }))
}

fn pictures(learner: &Learner, dir: &Path, image: Option<(usize, usize)>) -> Result<()> {
    let samples =
        learner.samples(SAMPLES, SAMPLE_SWEEPS, &mut Rng::new(learner.learning().seed))?;
    let units = &learner.shape().visible;
    if !machine_data::is_unbounded(units) {
        let (tiles, shape) = images::tiles(units, &samples, image)?;
        let columns = images::columns(shape, 10);
        images::write_grid(dir.join("samples.png"), &tiles, &[], shape, columns, Contrast::Unit)?;
    }
    let panels = [
        ("pseudo-log-likelihood (nats a case)", "pseudo_log_likelihood"),
        ("mean free energy of the cases (nats)", "mean_free_energy"),
        ("Pearson, chains of the training", "pearson"),
        ("Pearson, chains started anew", "resampled_pearson"),
    ];
    machine_run::curves(dir, &panels)
}
