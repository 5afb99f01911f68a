//! `dbn sample`: samples of networks, belief nets and Boltzmann machines, and averages of machines on graphs.

mod energy_model;
mod learned;
mod machine;
mod mask;

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_boltzmann::set_temperature;
use candle_core::Tensor;
use candle_dbn::data::Alphabet;
use candle_dbn::network::inference::{Condition, ConditionalSampler};
use candle_dbn::store::table::TableLayout;
use candle_dbn::viz::{gallery, report};
use candle_dbn::{Examples, Model, Run};
use indicatif::MultiProgress;
use rbm_core::sampling::{AnnealingPath, Chains};
use rbm_core::state::write_whole;
use rbm_core::{Rbm, Rng, Rows};

use self::learned::LearnedSampling;
use self::machine::{MachineOptions, MachineSampling};
use self::mask::{ClampMask, DataLayer};
use crate::beliefs::{self, LearnedBelief};
use crate::inputs::{self, Cases, DataOptions, Where};
use crate::output::Usage;
use crate::tables::{self, fasta};
use crate::{machines, output, progress};

/// Draw samples: Gibbs sampling in the top machine, then the directed pass down
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn sample runs/mnist --count 64 --steps 2000 --out samples/
  dbn sample runs/joint                                       a row of each class, where there are label units
  dbn sample runs/joint --label 3 --count 100 --steps 1000    a hundred threes
  dbn sample runs/joint --label 3 --animate                   and the way to them, as animation.gif
  dbn sample runs/mnist --clamp mnist/ --keep top --count 20  the lower half of real cases, filled in
  dbn sample runs/mnist --from mnist/ --steps 100 --binary    configurations near real cases
  dbn sample runs/mnist --tempered                            equilibrium samples, by parallel tempering
  dbn sample runs/joint --label 3 --tempered                  the same of one class
  dbn sample runs/bm --clamp digits --keep top --count 20     a Boltzmann machine that has learned: the same options
  dbn sample ising:32x32 --temperature 2.0,2.27,2.6           an Ising model: energy, magnetisation and more, with errors
  dbn sample potts:3:24x24 --temperature 1 --measure energy,heat-capacity --sweeps 2000 --out potts/
Of a machine by name or in a file (see dbn anneal --help) averages are measured: a row for each temperature. So they are of one \
that has learned where --temperature, --sweeps or --json is given; else it is sampled as a network is.")]
pub struct Sample {
    /// Folder of the run, user/name[@revision] on the Hub, or a machine: ising:64x64, pmj:16x16:seed=1, potts:3:32x32, sk:200:seed=1, or its file
    pub run: PathBuf,
    /// Start the chains at cases of this data, instead of at the units' own biases; with --label at cases of each class
    #[arg(long, value_name = "DATA", conflicts_with = "clamp", help_heading = "Data")]
    pub from: Option<String>,
    /// Of a network with label units, samples of these classes only, by name or number, --count of each; `any` leaves the labels to the network.
    /// Of a deep Boltzmann machine with labels likewise
    /// [default: every class]
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    pub label: Vec<Label>,
    /// Hold a part of the cases of this data fast, and fill in the rest; of other values than a single machine's this is
    /// approximate: what comes down is put right and goes up again. The picture shows each case above what has become of it
    #[arg(long, value_name = "DATA", conflicts_with = "tempered", help_heading = "Data")]
    pub clamp: Option<String>,
    /// What part of them: top, bottom, left or right of a picture; columns, by their names or as 0..392 or 0..10,20..30 (of an alignment: sites); or a .npy or .csv file of
    /// ones where to hold and zeros where not, one row for all cases or a row each
    #[arg(
        long,
        value_name = "PART",
        requires = "clamp",
        default_value = "top",
        help_heading = "Data"
    )]
    pub keep: ClampMask,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// How many samples; where there are label units, of each class [default: 100; of each class 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub count: Option<u64>,
    /// Gibbs steps of each chain [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    pub steps: Option<u32>,
    /// Write the chains as an animated picture too: animation.gif of this many pictures, evenly over the steps
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "50", conflicts_with = "tempered",
        value_parser = clap::value_parser!(u16).range(2..=2000), help_heading = "Output")]
    pub animate: Option<u16>,
    /// Sample the top machine in equilibrium by parallel tempering instead, however many modes it has: a ladder of inverse
    /// temperatures that begins at the averages of the run's own data or of --from
    #[arg(long, conflicts_with = "steps")]
    pub tempered: bool,
    /// Sweeps: with --tempered the most of them, to burn in and to sample [default: 5000]; of a machine those measured [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=1_000_000_000))]
    pub sweeps: Option<u32>,
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Draw the data layer's units too, instead of giving their means: configurations for averages and energies. Those of a Boltzmann machine always are
    #[arg(long)]
    pub binary: bool,
    /// Write the samples as sequences too: samples.fasta; for what learned from an alignment; of a Boltzmann machine at --temperature T. The data layer is drawn then,
    /// as with --binary
    #[arg(long, help_heading = "Output")]
    pub fasta: bool,
    /// Folder for samples.png, samples.npy, and of a machine that learned a table samples.csv [default: samples/ in the run's, or samples-2/ and so on]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace samples that lie in the folder
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

impl Sample {
    /// Whether the data layer's units are drawn.
    pub fn draws(&self) -> bool {
        self.binary || self.fasta
    }
}

/// A class to draw, or whichever the network has in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Any,
    /// Its name, or its number.
    Class(String),
}

impl FromStr for Label {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "any" => Self::Any,
            class => Self::Class(class.to_owned()),
        })
    }
}

/// The most samples in the picture.
const PICTURED: usize = 400;
/// Gibbs steps unless the user says so.
const STEPS: u32 = 1000;
/// How many samples there are unless the user says so: in all, and of each class.
const MANY: u64 = 100;
const ROW: u64 = 10;
/// The most samples.
const MAX_SAMPLES: usize = 1_000_000;

/// Writes `samples.npy` and `samples.png`, and `animation.gif` or `samples.fasta` if that is asked for.
pub fn run(args: &Sample, bars: &MultiProgress) -> Result<()> {
    let mut rng = Rng::new(args.seed);
    let is_measured = args.machine.is_given() || args.sweeps.is_some() && !args.tempered;
    if machines::is_learned(&args.run) && (args.fasta || !is_measured) {
        return sample_learned(args, bars, &mut rng);
    }
    if beliefs::is_learned(&args.run) {
        return sample_belief(args, &mut rng);
    }
    if machines::is_meant(&args.run) || args.machine.is_given() && !args.fasta {
        return sample_machine(args, bars, &mut rng);
    }
    if args.sweeps.is_some() && !args.tempered {
        return Err(Usage::of(anyhow!("--sweeps: expected with --tempered, or of a machine")));
    }
    let sampling = ResolvedSample::of(args, bars)?;
    let drawn = match args.tempered {
        true => sampling.temper(&mut rng)?,
        false => sampling.run_chains(&mut rng)?,
    };
    for path in sampling.write(&drawn)? {
        output::line(path.display().to_string())?;
    }
    Ok(())
}

/// Samples of a machine that has learned.
fn sample_learned(args: &Sample, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
    let names = TableLayout::read(&args.run)?.and_then(|table| table.class_names);
    let number = |label: &Label| match (label, &names) {
        (Label::Class(text), Some(names)) => {
            let numbered = || text.parse().ok().filter(|number| *number < names.len());
            let found = names.iter().position(|name| name == text).or_else(numbered);
            let found = found.map(|number| number as u32);
            found.ok_or_else(|| {
                let names = names.join(", ");
                Usage::of(anyhow!("--label: expected one of the classes {names}, found {text}"))
            })
        }
        (Label::Class(text), None) => text.parse::<u32>().map_err(|_| {
            Usage::of(anyhow!("--label: expected a class of a machine by its number, found {text}"))
        }),
        (Label::Any, _) => {
            Err(Usage::of(anyhow!("--label: expected classes: without it labels are free")))
        }
    };
    let classes = args.label.iter().map(number).collect::<Result<Vec<u32>>>()?;
    if args.tempered && !classes.is_empty() {
        return Err(Usage::of(anyhow!("--label: expected of a machine without --tempered")));
    }
    let many = if classes.is_empty() { MANY } else { ROW * classes.len() as u64 };
    let count = args.count.map_or(many, |count| count * classes.len().max(1) as u64);
    let temperature = temperature_of_sequences(args)?;
    let sampling = LearnedSampling {
        run: &args.run,
        from: args.from.as_deref(),
        clamp: args.clamp.as_deref(),
        keep: &args.keep,
        data_options: &args.data_options,
        classes: &classes,
        count: count as usize,
        steps: args.steps() as usize,
        is_walk: args.steps.is_some(),
        frames: args.animate.map_or(0, usize::from),
        temperature,
        is_fasta: args.fasta,
        tempered: args.tempered.then(|| args.sweeps.unwrap_or(progress::TEMPERED_SWEEPS) as usize),
        dir: folder(args)?,
        bars,
    };
    sampling.run(rng)?.into_iter().try_for_each(|path| output::line(path.display().to_string()))
}

/// The temperature at which sequences are drawn: 1 unless the user says so. Errors for what is said of averages.
fn temperature_of_sequences(args: &Sample) -> Result<f64> {
    let of_averages = [
        ("--measure", !args.machine.measure.is_empty()),
        ("--burn-in", args.machine.burn_in.is_some()),
        ("--ordered", args.machine.ordered),
        ("--json", args.machine.json),
        ("--sweeps", args.sweeps.is_some() && !args.tempered),
    ];
    output::refuse(&of_averages, "expected where averages are measured, not with --fasta")?;
    match args.machine.temperature[..] {
        [] => Ok(1.0),
        [temperature] => inputs::check_temperature(temperature).map(|()| temperature),
        _ => Err(Usage::of(anyhow!("--temperature: expected one with --fasta"))),
    }
}

impl Sample {
    fn steps(&self) -> u32 {
        self.steps.unwrap_or(STEPS)
    }
}

/// Samples of a belief net.
fn sample_belief(args: &Sample, rng: &mut Rng) -> Result<()> {
    let of_others = [
        ("--from", args.from.is_some()),
        ("--clamp", args.clamp.is_some()),
        ("--label", !args.label.is_empty()),
        ("--animate", args.animate.is_some()),
        ("--tempered", args.tempered),
        ("--steps", args.steps.is_some()),
        ("--sweeps", args.sweeps.is_some()),
        ("--temperature, --measure, --burn-in, --ordered and --json", args.machine.is_given()),
        ("--fasta", args.fasta),
    ];
    beliefs::refuse(&of_others, &args.run)?;
    let count = args.count.unwrap_or(MANY) as usize;
    let belief = LearnedBelief::open(&args.run)?;
    let written = belief.write_samples(&folder(args)?, count, args.binary, rng)?;
    written.into_iter().try_for_each(|path| output::line(path.display().to_string()))
}

/// Averages of a machine by name or in a file.
fn sample_machine(args: &Sample, bars: &MultiProgress, rng: &mut Rng) -> Result<()> {
    let of_networks = [
        ("--from", args.from.is_some()),
        ("--clamp", args.clamp.is_some()),
        ("--label", !args.label.is_empty()),
        ("--count", args.count.is_some()),
        ("--animate", args.animate.is_some()),
        ("--tempered", args.tempered),
        ("--steps", args.steps.is_some()),
        ("--binary", args.binary),
        ("--fasta", args.fasta),
        ("--scale, --binarise and the like", args.data_options != DataOptions::default()),
    ];
    let why = match machines::is_meant(&args.run) {
        true => format!("expected of a network, found the machine {}", args.run.display()),
        false => "expected without --temperature and what is measured at it".to_owned(),
    };
    output::refuse(&of_networks, &why)?;
    let sampling = MachineSampling {
        model: inputs::text(&args.run)?,
        options: &args.machine,
        sweeps: args.sweeps,
        seed: args.seed,
        out: args.out.as_deref(),
        force: args.force,
        device: args.place.find()?,
    };
    sampling.run(bars, rng)
}

/// What is sampled from, and how: the arguments, looked up.
struct ResolvedSample<'a> {
    args: &'a Sample,
    bars: &'a MultiProgress,
    /// Where samples are written.
    dir: PathBuf,
    model: Model,
    /// The letters of sequences, where these are asked for.
    letters: Option<Alphabet>,
    /// The classes to draw; none where labels are left to the network, or there are none.
    classes: Vec<u32>,
    /// How many samples of each class, or in all where no class is named.
    each: usize,
    layout: Layout,
}

/// What was drawn.
struct NetworkSamples {
    /// `(count, width)`, as the data layer has them.
    samples: Tensor,
    /// The cases of which a part was held fast.
    clamped: Option<Tensor>,
    /// Pictures of the chains on the way, after so many steps each.
    frames: Vec<(usize, Tensor)>,
}

impl<'a> ResolvedSample<'a> {
    fn of(args: &'a Sample, bars: &'a MultiProgress) -> Result<Self> {
        let dir = folder(args)?;
        let model = inputs::load_model(&args.run, &args.place.find()?)?;
        ensure!(
            args.from.is_some()
                || args.clamp.is_some()
                || args.data_options == DataOptions::default(),
            "--scale, --binarise and the like: expected with --from or --clamp"
        );
        let letters = args.fasta.then(|| inputs::letters(&model, "--fasta")).transpose()?;
        let temperature = temperature_of_sequences(args)?;
        if temperature != 1.0 {
            ensure!(
                model.dbn.depth() == 1,
                "--temperature: expected a single machine, found a stack of {}",
                model.dbn.depth()
            );
            set_temperature(model.dbn.top(), temperature).context("--temperature")?;
        }
        let classes = classes(args, &model)?;
        let each = args.count.unwrap_or(if classes.is_empty() { MANY } else { ROW }) as usize;
        let count = each * classes.len().max(1);
        ensure!(
            count <= MAX_SAMPLES,
            "expected at most {MAX_SAMPLES} samples together, found {count}"
        );
        let layout = Layout::new(classes.len(), each);
        Ok(Self { args, bars, dir, model, letters, classes, each, layout })
    }

    /// Lets chains of Gibbs steps run, and takes pictures of them on the way.
    fn run_chains(&self, rng: &mut Rng) -> Result<NetworkSamples> {
        let Self { args, model, layout, .. } = self;
        let of_class = |&label| std::iter::repeat_n(label, self.each);
        let labels: Vec<u32> = self.classes.iter().flat_map(of_class).collect();
        let (chains, data) = self.start(&labels, rng)?;
        let clamped = data.as_ref().map(|(cases, _)| cases.clone());
        let given = Condition { labels: (!labels.is_empty()).then_some(labels), data };
        let mut sampler = ConditionalSampler::new(&model.dbn, given, chains, rng)?;
        let steps = args.steps() as usize;
        let pictures = args.animate.map_or(0, usize::from).min(steps + 1);
        // Looking changes nothing: what is drawn for pictures on the way comes from another stream.
        let mut eye = rng.split(1);
        let mut frames = Vec::new();
        let bar = progress::bar(self.bars, args.steps().into());
        for step in 0..=steps {
            if frames.len() * steps <= step * pictures.saturating_sub(1) && frames.len() < pictures
            {
                let picture = sampler.picture(args.draws(), &mut eye)?;
                frames.push((step, model.in_data_values(&layout.of(&picture)?)?));
            }
            if step < steps {
                sampler.step(rng)?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(NetworkSamples { samples: sampler.picture(args.draws(), rng)?, clamped, frames })
    }

    /// Chains at the biases, or at the first cases of the data that the user named, of the classes `labels` where these are named too,
    /// again and again if there are too few; and what of these to hold.
    fn start(&self, labels: &[u32], rng: &mut Rng) -> Result<(Chains, Option<(Tensor, Tensor)>)> {
        let Self { args, model, .. } = self;
        let count = self.each * self.classes.len().max(1);
        let Some(data) = args.clamp.as_deref().or(args.from.as_deref()) else {
            return Ok((model.dbn.start_chains(count, rng)?, None));
        };
        let part = inputs::find_cases(&args.run, model, Some(data), &args.data_options, None)?;
        let mut rows: Vec<u32> = (0..count).map(|i| (i % part.len()) as u32).collect();
        if args.clamp.is_none() && !labels.is_empty() {
            // The chains of a class follow each other.
            let groups = labels.chunk_by(|a, b| a == b).map(|group| {
                let of = of_class(&part, group[0])?;
                Ok((0..group.len()).map(|i| of[i % of.len()]).collect())
            });
            rows = groups.collect::<Result<Vec<Vec<u32>>>>()?.concat();
        }
        if part.cases.has_missing()? {
            output::note("missing values are filled in, also those that are held");
        }
        let cases = model.prepare(&part.cases.rows(&rows)?).with_context(|| data.to_owned())?;
        if args.clamp.is_none() {
            return Ok((model.dbn.start_chains_at(&cases, rng)?, None));
        }
        let layer = DataLayer {
            units: model.dbn.visible_units(),
            columns: model.columns.as_deref(),
            image: model.image,
        };
        let mask = args.keep.mask(&rows, part.len(), &layer)?.to_device(cases.device())?;
        // The rest begins as what the network takes for it where nothing is there.
        let begun = (&cases * &mask)?;
        Ok((model.dbn.start_chains_at(&begun, rng)?, Some((cases, mask))))
    }

    /// Samples of the top machine in equilibrium, and what comes down from them.
    fn temper(&self, rng: &mut Rng) -> Result<NetworkSamples> {
        let hidden = self.tempered(rng)?;
        let fall = match self.args.draws() {
            true => candle_dbn::Dbn::ancestral_sample,
            false => candle_dbn::Dbn::decode,
        };
        let samples = fall(&self.model.dbn, &hidden, rng)?;
        Ok(NetworkSamples { samples, clamped: None, frames: Vec::new() })
    }

    /// Hidden configurations of the top machine in equilibrium: `each` of every class, or of the machine as it is where no class is named.
    fn tempered(&self, rng: &mut Rng) -> Result<Tensor> {
        let Self { args, model, classes, .. } = self;
        if args.from.is_none() && Run::open(&args.run).is_err() {
            output::note(
                "no data are named with --from: the ladder begins at the units' own biases",
            );
            let top = model.dbn.top();
            if classes.is_empty() {
                return self.in_equilibrium(top, AnnealingPath::from_biases(top)?, rng);
            }
            let hidden = classes.iter().map(|&class| {
                let given = model.dbn.class_rbm().context(NO_LABELS)?.given(class)?;
                self.in_equilibrium(&given, AnnealingPath::from_biases(&given)?, rng)
            });
            return Ok(Tensor::cat(&hidden.collect::<Result<Vec<_>>>()?, 0)?);
        }
        let (data, which) = (args.from.as_deref(), args.from.is_none().then_some(Cases::Train));
        let part = inputs::find_cases(&args.run, model, data, &args.data_options, which)?;
        if classes.is_empty() {
            let cases = model.prepare_cases(&part.cases)?.thinned(report::MAX_HISTOGRAM_CASES)?;
            let path = AnnealingPath::from_cases(model.dbn.top(), &model.dbn.top_visible(&cases)?)?;
            return self.in_equilibrium(model.dbn.top(), path, rng);
        }
        let hidden = classes.iter().map(|&class| {
            let rows = of_class(&part, class)?;
            let cases = model
                .prepare_cases(&part.select(&rows)?.cases)?
                .thinned(report::MAX_HISTOGRAM_CASES)?;
            // A class leaves a machine of the data alone, from which samples come by themselves.
            let given = model.dbn.class_rbm().context(NO_LABELS)?.given(class)?;
            let path = AnnealingPath::from_cases(&given, &model.dbn.penultimate(&cases)?)?;
            self.in_equilibrium(&given, path, rng)
        });
        Ok(Tensor::cat(&hidden.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Hidden configurations of `machine` in equilibrium, as many as of each class, by tempering along `path`.
    fn in_equilibrium(&self, machine: &Rbm, path: AnnealingPath, rng: &mut Rng) -> Result<Tensor> {
        let sweeps = self.args.sweeps.unwrap_or(progress::TEMPERED_SWEEPS) as usize;
        let visible =
            progress::equilibrium_samples(machine, path, [self.each, sweeps], self.bars, rng)?;
        Ok(machine.sample_hidden(&visible, rng)?)
    }

    /// Writes the samples and their pictures; the files.
    fn write(&self, drawn: &NetworkSamples) -> Result<Vec<PathBuf>> {
        let Self { dir, model, layout, .. } = self;
        let samples = model.in_data_values(&drawn.samples)?;
        output::make_folder(dir)?;
        let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
        write_whole(&array, &tables::npy_bytes(&samples)?)?;
        let shown = layout.of(&samples)?;
        match &drawn.clamped {
            Some(cases) => {
                let cases = model.in_data_values(&layout.of(cases)?)?;
                gallery::completions(&picture, model, &cases, &shown)?;
            }
            None => {
                let of_class = |&class| std::iter::repeat_n(class, layout.shown);
                let of: Vec<u32> = self.classes.iter().flat_map(of_class).collect();
                let captions = gallery::captions(model, &of);
                gallery::samples(&picture, model, &shown, &captions, layout.columns)?;
            }
        }
        let mut written = vec![picture, array];
        if !drawn.frames.is_empty() {
            let animation = dir.join("animation.gif");
            gallery::animation(&animation, model, &drawn.frames, layout.columns)?;
            written.push(animation);
        }
        if let Some(letters) = &self.letters {
            let sequences = dir.join("samples.fasta");
            write_whole(&sequences, fasta(&samples, letters)?.as_bytes())?;
            written.push(sequences);
        }
        Ok(written)
    }
}

/// Where samples are written: the folder that the user named, if none lie there or they may be replaced; else the first of
/// `samples/`, `samples-2/` and so on beside the model that is not there yet.
fn folder(args: &Sample) -> Result<PathBuf> {
    if let Some(dir) = &args.out {
        output::check_folder(dir)?;
        let written =
            ["samples.npy", "samples.csv", "samples.png", "animation.gif", "samples.fasta"];
        output::check_free(&written.map(|name| dir.join(name)), args.force)?;
        return Ok(dir.clone());
    }
    let beside = inputs::work_dir(&args.run);
    let names = (2..10_000).map(|i| format!("samples-{i}"));
    let mut dirs = std::iter::once("samples".to_owned()).chain(names).map(|name| beside.join(name));
    let free = dirs.find(|dir| args.force || !dir.exists());
    free.with_context(|| {
        format!("{}: too many samples lie here: choose another place with --out", beside.display())
    })
}

/// Which samples are shown, and how.
struct Layout {
    /// Of how many rows each group consists, and how many of them are shown.
    group: usize,
    shown: usize,
    columns: usize,
}

impl Layout {
    /// `groups` groups of `each` samples, a row of the picture each; with fewer than two groups, as near to a square as can be.
    fn new(groups: usize, each: usize) -> Self {
        let shown = each.min((PICTURED / groups.max(1)).max(1));
        let square = (shown as f64).sqrt().ceil() as usize;
        Self { group: each, shown, columns: if groups > 1 { shown } else { square } }
    }

    /// Those rows of `samples` `(n, width)`.
    fn of(&self, samples: &Tensor) -> Result<Tensor> {
        let rows =
            (0..samples.dim(0)? as u32).filter(|&row| row as usize % self.group < self.shown);
        let rows = Tensor::from_iter(rows, samples.device())?;
        Ok(samples.index_select(&rows, 0)?)
    }
}

const NO_LABELS: &str =
    "--label: expected a network with label units (train it with labels = true)";

/// The classes to draw; none where labels are left to the network, or there are none.
fn classes(args: &Sample, model: &Model) -> Result<Vec<u32>> {
    let known = model.dbn.classes().map(|classes| classes as u32);
    let is_chosen = args.from.is_some() || args.clamp.is_some() || args.tempered;
    match (known, &args.label[..]) {
        (Some(known), []) if !is_chosen => Ok((0..known).collect()),
        (_, []) => Ok(Vec::new()),
        (None, _) => bail!(NO_LABELS),
        (Some(_), [Label::Any]) => Ok(Vec::new()),
        (Some(known), labels) => labels
            .iter()
            .map(|label| match label {
                Label::Class(text) => {
                    let is_called = |class: &u32| model.class_name(*class as usize) == *text;
                    let number = || text.parse().ok().filter(|class| *class < known);
                    let class = (0..known).find(is_called).or_else(number);
                    class.with_context(|| match &model.class_names {
                        Some(names) => {
                            format!("--label: expected one of {}, found {text}", names.join(", "))
                        }
                        None => format!("--label: expected a class below {known}, found {text}"),
                    })
                }
                Label::Any => bail!("--label: expected classes, or any alone"),
            })
            .collect(),
    }
}

/// The numbers of the cases of `part` that are of this class. Errors where there is none.
fn of_class(part: &Examples, class: u32) -> Result<Vec<u32>> {
    let labels = part.labels.as_ref();
    let labels = labels.context(
        "--label: expected data with labels, to start at cases of a class (name their column or file), found none",
    )?;
    let rows: Vec<u32> =
        (0..).zip(labels).filter(|(_, label)| **label == class).map(|(row, _)| row).collect();
    ensure!(!rows.is_empty(), "--label: expected cases of class {class} to start at, found none");
    Ok(rows)
}
