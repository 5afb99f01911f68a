//! Boltzmann machines that commands work with, and their cases: what a run has learned, what a name or a file gives.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_boltzmann::hopfield::{Hopfield, Memory, Rule};
use candle_boltzmann::learning::Learner;
use candle_boltzmann::unrolled::seen;
use candle_boltzmann::{Graph, MarkovField, Posterior, letters_of_params};
use candle_core::{Device, Tensor};
use candle_dbn::data::{Alphabet, Binarise, Columns, Dataset, ReadOptions, View};
use candle_dbn::network::config::CONFIG;
use candle_dbn::recipe::{DataRecipe, MachineData, MachineRecipe};
use candle_dbn::store::machine::MachineConfig;
use candle_dbn::store::results::{DataPart, DataVariant};
use candle_dbn::store::run::RECIPE;
use candle_dbn::store::table::TableLayout;
use candle_dbn::store::{BELIEF, HOPFIELD, MACHINE};
use candle_dbn::{Examples, Model};
use indicatif::MultiProgress;
use rbm_core::model::Boltzmann;
use rbm_core::{Error, Rows, Units};
use serde::Serialize;

use crate::inputs::{self, BELIEFS_ARE_TAKEN_BY, Cases, Chosen, DataOptions, load_numbers};
use crate::machine_data::{
    CUT, CUT_NOTE, DRAWN_ONCE, configurations, count_of, differ, standardise_of,
};
use crate::output::Usage;
use crate::{output, progress};

/// The folder of a deep machine's classifier, in that of its run.
pub const CLASSIFIER: &str = "classifier";

/// Whether a machine is meant and no network: a name such as `ising:4x4`, a file, or a folder in which one lies.
pub fn is_meant(model: &Path) -> bool {
    model.to_str().is_some_and(Graph::is_name)
        || model.is_file()
        || is_learned(model)
        || model.join(HOPFIELD).is_file()
}

/// How large a graph or a field of cliques is.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum ModelSize {
    Graph { units: usize, edges: usize },
    Field { variables: usize, cliques: usize },
    Machine { units: usize, parameters: usize },
}

impl ModelSize {
    pub fn of_graph(graph: &Graph) -> Self {
        Self::Graph { units: graph.sites(), edges: graph.pairs() }
    }

    pub fn of_field(field: &MarkovField) -> Self {
        Self::Field { variables: field.states.len(), cliques: field.cliques.len() }
    }

    /// How many units or variables.
    pub fn units(self) -> usize {
        match self {
            Self::Graph { units, .. } => units,
            Self::Field { variables, .. } => variables,
            Self::Machine { units, .. } => units,
        }
    }

    /// A row of a table: what is counted, and the numbers.
    pub fn row(self) -> Vec<String> {
        let (name, a, b) = match self {
            Self::Graph { units, edges } => ("units, edges", units, edges),
            Self::Field { variables, cliques } => ("variables, cliques", variables, cliques),
            Self::Machine { units, parameters } => ("units, parameters", units, parameters),
        };
        vec![name.to_owned(), format!("{a}, {b}")]
    }
}

/// The machine that `text` names (`ising:64x64`), or that lies in the file of that name.
pub fn graph(text: &str) -> Result<Graph> {
    if MarkovField::is_in(text) {
        bail!("{text}: a field of cliques: expected a machine of units that are coupled in pairs");
    }
    if let Some(source) = text.strip_prefix("hopfield:") {
        let Patterns { patterns, image, .. } = patterns(source, &DataOptions::default(), None)?;
        let graph = Hopfield::store(&patterns, Rule::Hebb)?.graph();
        return Ok(Graph { shape: image.map(|(height, width)| [height, width]), ..graph });
    }
    let learned = Path::new(text).join(MACHINE);
    if learned.is_file() {
        let image = MachineConfig::find(text)?.and_then(|config| config.image);
        let graph = Learner::load(&learned)?.graph();
        let graph = graph.with_context(|| learned.display().to_string())?;
        // Of pictures, where there are no hidden units beside them.
        let shape = image.filter(|(height, width)| height * width == graph.units.width());
        return Ok(Graph { shape: shape.map(|(height, width)| [height, width]), ..graph });
    }
    let stored = Path::new(text).join(HOPFIELD);
    if stored.is_file() {
        let Memory { network, image, .. } = Memory::load(&stored)?;
        let shape = image.map(|(height, width)| [height, width]);
        return Ok(Graph { shape, ..network.graph() });
    }
    if Path::new(text).join(BELIEF).is_file() {
        bail!(
            "{text}: a belief net, which dbn {BELIEFS_ARE_TAKEN_BY} take: expected a machine of units that are coupled in pairs"
        );
    }
    if Path::new(text).is_file() {
        let graph = Graph::read(text)?;
        if graph.offset != 0.0 {
            output::note(format!("{text}: its offset {} is in no energy here", graph.offset));
        }
        return Ok(graph);
    }
    match Path::new(text).exists() {
        true if Path::new(text).is_dir() => {
            bail!(
                "{text}: expected a machine: a file of one, or the folder of a run; found a folder without one"
            )
        }
        true => {
            bail!("{text}: expected a file, found a pipe or a device: write it to a file first")
        }
        false if !Graph::is_name(text) && text.contains(['/', '.']) => {
            bail!("{text}: there is no such file")
        }
        false => {}
    }
    text.parse::<Graph>().map_err(|error| match &error {
        // What is wrong is the name itself, not the machine that it names.
        Error::Invalid { found, .. } if found == text => Usage::of(error),
        _ => error.into(),
    })
}

/// The cases of a data set as patterns of −1 and 1: a note has where they are cut. Read as the `table` is that the others are of.
pub fn patterns(
    source: &str,
    options: &DataOptions,
    table: Option<TableLayout>,
) -> Result<Patterns> {
    let read = options.read.clone();
    let (read, known) = match table {
        Some(table) => (table.options(read), table.threshold),
        None => (read, None),
    };
    let dataset = load_numbers(source, &read)?;
    let (table, image) = (TableLayout::of(&dataset), dataset.image);
    let part = match options.limit {
        Some(limit) => dataset.train.limited(limit as usize)?,
        None => dataset.train,
    };
    ensure!(!part.cases.has_missing()?, "{source}: values are missing: expected patterns");
    let cases = part.cases.tensor()?.to_vec2::<f32>()?;
    let values = || cases.iter().flatten().copied();
    let threshold = match (known, values().all(|x| x.abs() == 1.0)) {
        (_, true) => 0.0,
        (Some(threshold), false) => {
            output::note(format!("values above {threshold} are 1, as in the patterns"));
            threshold
        }
        (None, false) => {
            let (low, high) = values()
                .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| {
                    (low.min(x), high.max(x))
                });
            ensure!(low < high, "{source}: every value is {low}: expected patterns");
            let threshold = 0.5 * (low + high);
            output::note(format!("values above {threshold} are 1, the others −1"));
            threshold
        }
    };
    let sign = |x: &f32| if *x > threshold { 1.0 } else { -1.0 };
    let patterns = cases.iter().map(|case| case.iter().map(sign).collect());
    // Cues are cut where the patterns were.
    let table = Some(TableLayout { threshold: Some(threshold), ..table.unwrap_or_default() });
    Ok(Patterns { patterns: patterns.collect(), table, image })
}

/// Patterns of −1 and 1.
pub struct Patterns {
    pub patterns: Vec<Vec<f64>>,
    /// What is known of the table that they are of.
    pub table: Option<TableLayout>,
    /// Height and width, where they are pictures.
    pub image: Option<(usize, usize)>,
}

/// What the units of a machine are called, and the letters of their states where all of them have these.
#[derive(Default)]
pub struct UnitNames {
    pub units: Vec<String>,
    pub letters: Vec<String>,
}

impl UnitNames {
    /// Of the machine `model`, which is `graph`: sites of an alignment from 1 with letters, columns of a table by their names, and hidden units of one
    /// layer h1.0, h1.1, ...; nothing where they are called by their numbers alone.
    pub fn of(model: &Path, graph: &Graph) -> Result<Self> {
        let sites = |count: usize| (1..=count).map(|site| site.to_string());
        if !is_learned(model) {
            let letters = match graph.units {
                Units::Potts { states, .. } if model.is_file() => {
                    letters_of_params(model)?.into_iter().take(states).collect()
                }
                _ => Vec::new(),
            };
            let units = match letters.is_empty() {
                true => graph.names.clone(),
                false => sites(graph.sites()).collect(),
            };
            return Ok(Self { units, letters });
        }
        let learned = LearnedMachine::open(model)?;
        let shape = learned.learner.shape();
        let hidden = match &shape.hidden[..] {
            _ if shape.labels.is_some() => return Ok(Self::default()),
            [] => 0,
            [hidden] => count_of(hidden)?,
            _ => return Ok(Self::default()),
        };
        let visible = graph.sites() - hidden;
        let hidden = (0..hidden).map(|unit| format!("h1.{unit}"));
        if let Ok(alphabet) = learned.letters("states") {
            let letters = match hidden.len() {
                0 => alphabet.letters().chars().map(String::from).collect(),
                _ => Vec::new(),
            };
            return Ok(Self { units: sites(visible).chain(hidden).collect(), letters });
        }
        let columns = TableLayout::read(model)?.and_then(|table| table.columns);
        let names = columns.map(|columns| columns.value_names()).unwrap_or_default();
        let units = match names.len() == visible {
            true => names.into_iter().chain(hidden).collect(),
            false => Vec::new(),
        };
        Ok(Self { units, letters: Vec::new() })
    }
}

/// Whether a machine that has learned lies in the folder.
pub fn is_learned(dir: &Path) -> bool {
    dir.join(MACHINE).is_file()
}

/// Whether a machine learns in the folder, or has learned: its recipe lies there.
pub fn is_begun(dir: &Path) -> bool {
    is_learned(dir) || MachineRecipe::is_in(dir.join(RECIPE))
}

/// A machine that has learned, in its folder.
pub struct LearnedMachine {
    pub dir: PathBuf,
    pub learner: Learner,
    /// How it learned, where that is known.
    pub recipe: Option<MachineRecipe>,
}

/// Cases, as the machine sees them.
pub struct MachineCases {
    /// Configurations of its visible units, `(n, visible)`.
    pub values: Tensor,
    /// The values from 0 to 1 that these were drawn with, where the machine drew its own anew at every turn.
    probabilities: Option<View>,
    pub examples: Examples,
    /// The number of every case in its source, from 0.
    pub rows: Vec<u32>,
    /// Which part of the data they are.
    pub part: Cases,
    /// What to call them in an error.
    pub source: String,
    /// Height and width, where they are pictures.
    pub image: Option<(usize, usize)>,
    /// The columns of a table.
    pub columns: Option<Arc<Columns>>,
    /// The classes, where their labels have names.
    pub class_names: Option<Vec<String>>,
    /// How much log p of a case grows by bringing its measurements to deviation 1, nats.
    pub log_volume: f64,
    scale: f32,
    binarise: Binarise,
}

impl LearnedMachine {
    /// What lies in the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(RECIPE);
        let recipe = match path.is_file() {
            true => Some(MachineRecipe::read(&path)?),
            false => None,
        };
        MachineConfig::find(dir)?;
        let path = dir.join(MACHINE);
        let learner = Learner::load(&path)?;
        learner.machine().check_normalisable().with_context(|| path.display().to_string())?;
        Ok(Self { dir: dir.to_owned(), learner, recipe })
    }

    /// What it is, with what is known of its data: height and width of pictures, the columns of a table.
    pub fn config(
        &self,
        image: Option<(usize, usize)>,
        table: Option<TableLayout>,
    ) -> MachineConfig {
        let shape = self.learner.shape();
        MachineConfig::new(
            shape.visible.clone(),
            shape.hidden.clone(),
            shape.labels,
            [shape.couplings.is_within_visible(), shape.couplings.is_within_hidden()],
            self.learner.parameters(),
            (image, table),
        )
    }

    /// The letters of its states, where it learned from an alignment.
    pub fn letters(&self, option: &str) -> Result<Alphabet> {
        let known = self.recipe.as_ref().and_then(|recipe| recipe.data.0.read.alphabet.clone());
        let known = match known {
            Some(known) => Some(known),
            None => TableLayout::read(&self.dir)?.and_then(|table| table.alphabet),
        };
        let known = known.with_context(|| {
            format!("{option}: expected a machine that learned from an alignment, found one that knows no letters")
        })?;
        match self.visible() {
            Units::Potts { states, .. } if *states == known.states() => Ok(known),
            units => {
                Err(anyhow!("{option}: expected units of {} states, found {units}", known.states()))
            }
        }
    }

    /// Height and width of its pictures, where that is known.
    pub fn image(&self) -> Option<(usize, usize)> {
        MachineConfig::find(&self.dir).ok()??.image
    }

    /// Errors unless the folder's configuration is that of the machine.
    #[cfg(feature = "hub")]
    pub fn check_config(&self) -> Result<()> {
        let path = self.dir.join(CONFIG);
        let found = MachineConfig::read(&path)?;
        ensure!(
            found == self.config(found.image, found.table.clone()),
            "{}: expected the configuration of the machine beside it, found another",
            path.display()
        );
        Ok(())
    }

    /// The kind and number of its visible units.
    pub fn visible(&self) -> &Units {
        &self.learner.shape().visible
    }

    /// The cases that the user means: of the named data, or of those that it learned from.
    pub fn cases(
        &self,
        data: Option<&str>,
        options: &DataOptions,
        cases: Option<Cases>,
    ) -> Result<MachineCases> {
        let own = self.recipe.as_ref().map(|recipe| &recipe.data);
        MachineCases::of(&self.dir, own, self.visible(), (data, options, cases))
    }

    /// What the machine says of `cases` and of its hidden units given them.
    pub fn posterior(&self, cases: &dyn Rows, bars: &MultiProgress) -> Result<Posterior> {
        let bar = progress::bar(bars, cases.count() as u64);
        let found = self.learner.posterior_watched(cases, |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        Ok(found?)
    }

    /// What the classifier that is unrolled from it sees of `cases`.
    pub fn seen_by_classifier(&self, cases: &MachineCases, bars: &MultiProgress) -> Result<Tensor> {
        let values = cases.intensities()?;
        let bar = progress::bar(bars, values.count() as u64);
        let found = seen(&self.learner, &values, |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        Ok(found?)
    }

    /// The classifier that was unrolled from it, where there is one.
    pub fn classifier(&self) -> Result<Option<Model>> {
        let dir = self.dir.join(CLASSIFIER);
        let load = || Model::load(&dir, &Device::Cpu);
        Ok(dir.join(CONFIG).is_file().then(load).transpose()?)
    }

    /// How many of `cases` the classifier takes for another class than theirs that was unrolled from it; nothing where there is none.
    pub fn classifier_errors(
        &self,
        cases: &MachineCases,
        bars: &MultiProgress,
    ) -> Result<Option<usize>> {
        let Some(labels) = &cases.examples.labels else { return Ok(None) };
        let Some(Model { classifier: Some(classifier), .. }) = self.classifier()? else {
            return Ok(None);
        };
        let found = classifier.predict(&self.seen_by_classifier(cases, bars)?)?;
        Ok(Some(found.iter().zip(labels).filter(|(found, label)| found != label).count()))
    }

    /// How many of `cases` it takes for another class than theirs.
    pub fn label_errors(&self, cases: &MachineCases) -> Result<usize> {
        let labels = cases.examples.labels.as_ref();
        let labels = labels
            .with_context(|| format!("{}: expected cases with labels, found none", cases.source))?;
        let probabilities = self.learner.label_probabilities(&cases.values)?;
        let found = probabilities.argmax(1)?.to_vec1::<u32>()?;
        Ok(found.iter().zip(labels).filter(|(found, label)| found != label).count())
    }

    /// Exactly which data these cases of its own are.
    pub fn variant(&self, cases: &MachineCases) -> Option<DataVariant> {
        Some(cases.variant(&self.recipe.as_ref()?.data))
    }
}

impl MachineCases {
    /// The cases that the user means, for the visible `units` of the machine in the folder `dir`: of the named data, or of its `own`.
    pub fn of(
        dir: &Path,
        own: Option<&MachineData>,
        units: &Units,
        (data, options, cases): (Option<&str>, &DataOptions, Option<Cases>),
    ) -> Result<Self> {
        let (name, read, recipe) = match data {
            Some(source) => {
                // A short sequence does not say of itself which letters it may have.
                let known = own.and_then(|own| own.0.read.alphabet.clone()).filter(|known| {
                    let fits =
                        matches!(units, Units::Potts { states, .. } if *states == known.states());
                    fits && candle_dbn::data::is_alignment(source)
                });
                let alphabet = options.read.alphabet.clone().or(known);
                let learned = own.and_then(|own| own.0.read.scale).filter(|scale| *scale != 1.0);
                if let (None, Some(scale)) = (options.read.scale, learned) {
                    output::note(format!("divided by {scale}, as what the machine learned from"));
                }
                let scale = options.read.scale.or(learned);
                let split = inputs::split_of(own.map(|MachineData(own)| own), source, cases);
                (source.to_owned(), ReadOptions { alphabet, scale, ..options.read.clone() }, split)
            }
            None => {
                ensure!(
                    options.read == ReadOptions::default(),
                    "--scale, --labels and the like: expected with data that are named; the run's own are read as its recipe says"
                );
                let name = dir.display();
                ensure!(
                    inputs::work_dir(dir) == dir,
                    "a model of the Hub comes without data: name the data"
                );
                let MachineData(own) = own.cloned().with_context(|| {
                    format!("{name}: expected a {RECIPE}, which says what it learned from, found none: name the data")
                })?;
                (own.source.clone(), own.read.clone(), Some(own))
            }
        };
        let table = TableLayout::read(dir)?.unwrap_or_default();
        let standardise = standardise_of(&table)?;
        let read = match table == TableLayout::default() {
            true => read,
            false => table.options(read),
        };
        let source = inputs::source(data, dir);
        let chosen = |read: &ReadOptions| -> Result<(Dataset, Chosen)> {
            let dataset = load_numbers(&name, read)?;
            let Chosen { part, cases, before } =
                inputs::chosen(dataset.clone(), recipe.clone(), cases)?;
            let part = match options.limit {
                Some(limit) => part.limited(limit as usize)?,
                None => part,
            };
            Ok((dataset, Chosen { part, cases, before }))
        };
        // What learned from zeros and ones that were drawn anew at every turn is asked about cases that are drawn once; a classifier about the
        // values, however zeros and ones are made of them.
        let draws = |own: &DataRecipe| !own.pass.is_mean() && own.read.binarise() == Binarise::None;
        let learned_draws = own.is_some_and(|MachineData(own)| draws(own));
        let is_drawn = learned_draws && read.binarise.is_none();
        let probabilities = match learned_draws {
            true => Some(chosen(&ReadOptions { binarise: None, ..read.clone() })?.1.part.cases),
            false => None,
        };
        let read = match is_drawn {
            true => ReadOptions { binarise: Some(DRAWN_ONCE), ..read },
            false => read,
        };
        let (dataset, Chosen { part, cases, before }) = chosen(&read)?;
        let (image, scale) = (dataset.image, dataset.scale);
        let (columns, class_names) = (dataset.columns, dataset.class_names);
        let chosen_binarise = read.binarise();
        let values = configurations(&part, units, standardise.as_ref(), &source)?;
        if let Some(probabilities) = probabilities.as_ref().filter(|_| is_drawn) {
            if differ(&values, probabilities)? {
                note_draws();
            }
        } else if data.is_some() && standardise.is_none() && differ(&values, &part.cases)? {
            // Of its own it was said when they were learned.
            output::note(CUT_NOTE);
        }
        let binarise = match units {
            Units::Bernoulli { .. } if chosen_binarise == Binarise::None => {
                Binarise::Threshold(CUT)
            }
            _ => chosen_binarise,
        };
        let rows = part.cases.numbers().into_iter().map(|row| before as u32 + row).collect();
        let (examples, part) = (part, cases);
        Ok(Self {
            values,
            probabilities,
            examples,
            rows,
            part,
            source,
            image,
            columns,
            class_names,
            log_volume: standardise.map_or(Ok(0.0), |standardise| standardise.log_volume())?,
            scale,
            binarise,
        })
    }

    /// What a network sees of them: the probabilities that they were drawn with, where that is known, else the configurations.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub fn intensities(&self) -> Result<Tensor> {
        match &self.probabilities {
            Some(probabilities) => Ok(probabilities.tensor()?),
            None => Ok(self.values.clone()),
        }
    }

    /// `held-out`, `train` and so on.
    pub fn part_name(&self) -> String {
        DataPart::from(self.part).to_string()
    }

    /// Exactly which data they are, of a machine's `own`.
    pub fn variant(&self, own: &MachineData) -> DataVariant {
        DataVariant {
            data: own.clone().without_paths().0.source,
            part: self.part.into(),
            cases: self.examples.len(),
            scale: Some(self.scale),
            binarise: self.binarise,
        }
    }
}

/// Says, once, that cases are drawn.
fn note_draws() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        output::note(format!(
            "cases are drawn once as zeros and ones, as the machine learned them (--binarise {DRAWN_ONCE})"
        ));
    });
}

/// The place where an estimation of the machine `model` waits when it is stopped: its folder, or one below `runs/`.
pub fn work_dir(model: &Path) -> PathBuf {
    if model.is_dir() {
        return inputs::work_dir(model);
    }
    let name = model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    Path::new("runs").join(name.replace([':', '='], "-"))
}

/// Errors with what is expected where `dir` holds a machine that has not learned from data.
pub fn check_learned(dir: &Path) -> Result<()> {
    let name = dir.display();
    let what = match dir.join(HOPFIELD).is_file() {
        true => "a Hopfield network",
        false => "a machine that was given and has not learned from data",
    };
    ensure!(
        is_learned(dir),
        Error::invalid(
            name.to_string(),
            "the folder of a network or of a Boltzmann machine that has learned",
            format!(
                "{what} (dbn sample, anneal, infer and evaluate --likelihood take it, dbn recall a Hopfield network; dbn import makes a run of a _params.dat)"
            )
        )
    );
    Ok(())
}
