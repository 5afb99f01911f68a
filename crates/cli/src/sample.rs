//! `dbn sample`

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use candle_dbn::data::Alphabet;
use candle_dbn::network::conditional_sampler::{Condition, ConditionalSampler};
use candle_dbn::viz::gallery;
use candle_dbn::viz::report;
use candle_dbn::{Examples, Model, Run};
use indicatif::MultiProgress;
use rbm_core::estimate::{Equilibrium, TemperingConfig};
use rbm_core::sampling::{AnnealingPath, Chains};
use rbm_core::state::write_whole;
use rbm_core::{ClassRbm, Rbm, Rng, Rows, Units};

use crate::args::{Cases, DataOptions, Label, Sample};
use crate::{cases, device, model, npy, output, progress};

/// The most samples in the picture.
const PICTURED: usize = 400;
/// How many samples there are unless the user says so: in all, and of each class.
const MANY: u64 = 100;
const ROW: u64 = 10;
/// The most samples.
const MOST: usize = 1_000_000;

/// Writes `samples.npy` and `samples.png`, and `animation.gif` if that is asked for.
pub fn run(args: &Sample, bars: &MultiProgress) -> Result<()> {
    let dir = folder(args)?;
    let model = model::load(&args.run, &device::find(&args.place.device)?)?;
    ensure!(
        args.from.is_some() || args.clamp.is_some() || args.data_options == DataOptions::default(),
        "--scale, --binarise and the like: expected with --from or --clamp"
    );
    let letters = args.fasta.then(|| letters(&model, "--fasta")).transpose()?;
    let mut rng = Rng::new(args.seed);
    let classes = classes(args, &model)?;
    let each = args.count.unwrap_or(if classes.is_empty() { MANY } else { ROW }) as usize;
    let count = each * classes.len().max(1);
    ensure!(count <= MOST, "expected at most {MOST} samples together, found {count}");
    let view = View::new(classes.len(), each);
    let (mut frames, mut clamped) = (Vec::new(), None);
    let samples = if args.tempered {
        let hidden = tempered(args, &model, &classes, each, bars, &mut rng)?;
        let fall =
            if args.draws() { candle_dbn::Dbn::ancestral_sample } else { candle_dbn::Dbn::decode };
        fall(&model.dbn, &hidden, &mut rng)?
    } else {
        let labels: Vec<u32> =
            classes.iter().flat_map(|&label| std::iter::repeat_n(label, each)).collect();
        let (chains, data) = start(args, &model, &labels, count, &mut rng)?;
        clamped = data.as_ref().map(|(cases, _)| cases.clone());
        let given = Condition { labels: (!labels.is_empty()).then_some(labels), data };
        let generator = ConditionalSampler::new(&model.dbn, given, chains, &mut rng)?;
        dream(args, &model, generator, &view, &mut frames, bars, &mut rng)?
    };
    let samples = model.in_data_values(&samples)?;
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
    write_whole(&array, &npy::bytes(&samples)?)?;
    let shown = view.of(&samples)?;
    match clamped {
        Some(cases) => {
            let cases = model.in_data_values(&view.of(&cases)?)?;
            gallery::completions(&picture, &model, &cases, &shown)?;
        }
        None => {
            let of = classes.iter().flat_map(|&class| std::iter::repeat_n(class, view.shown));
            let captions = gallery::captions(&model, &of.collect::<Vec<_>>());
            gallery::samples(&picture, &model, &shown, &captions, view.columns)?;
        }
    }
    let mut written = vec![picture, array];
    if !frames.is_empty() {
        let animation = dir.join("animation.gif");
        gallery::animation(&animation, &model, &frames, view.columns)?;
        written.push(animation);
    }
    if let Some(letters) = letters {
        let sequences = dir.join("samples.fasta");
        write_whole(&sequences, fasta(&samples, &letters)?.as_bytes())?;
        written.push(sequences);
    }
    for path in written {
        output::line(path.display().to_string())?;
    }
    Ok(())
}

/// Where samples are written: the folder that the user named, if none lie there or they may be replaced; else the first of
/// `samples/`, `samples-2/` and so on beside the model that is not there yet.
fn folder(args: &Sample) -> Result<PathBuf> {
    if let Some(dir) = &args.out {
        let written = ["samples.npy", "samples.png", "animation.gif", "samples.fasta"];
        output::check_free(&written.map(|name| dir.join(name)), args.force)?;
        return Ok(dir.clone());
    }
    let beside = model::work_dir(&args.run);
    let names = (2..10_000).map(|i| format!("samples-{i}"));
    let mut dirs = std::iter::once("samples".to_owned()).chain(names).map(|name| beside.join(name));
    let free = dirs.find(|dir| args.force || !dir.exists());
    free.with_context(|| {
        format!("{}: too many samples lie here: choose another place with --out", beside.display())
    })
}

/// The letters of the model's states.
pub fn letters(model: &Model, option: &str) -> Result<Alphabet> {
    let known = model.preprocessing.as_ref().and_then(|done| done.alphabet.clone());
    let alphabet = known.with_context(|| {
        format!(
            "{option}: expected a network that learned from an alignment, found one that knows no letters"
        )
    })?;
    match model.dbn.visible_units() {
        Units::Potts { states, .. } if states == alphabet.states() => Ok(alphabet),
        units => bail!("{option}: expected units of {} states, found {units}", alphabet.states()),
    }
}

/// Samples `(n, sites * states)` as sequences: at each site the letter of the state that is on.
fn fasta(samples: &Tensor, letters: &Alphabet) -> Result<String> {
    let mut text = String::new();
    let of = letters.letters().as_bytes();
    for (number, sample) in samples.to_vec2::<f32>()?.iter().enumerate() {
        text.push_str(&format!(">sample{number}\n"));
        for site in sample.chunks(of.len()) {
            let on = (0..site.len()).max_by(|&a, &b| site[a].total_cmp(&site[b]).then(b.cmp(&a)));
            text.push(char::from(of[on.unwrap_or(0)]));
        }
        text.push('\n');
    }
    Ok(text)
}

/// Which samples are shown, and how.
struct View {
    /// Of how many rows each group consists, and how many of them are shown.
    group: usize,
    shown: usize,
    columns: usize,
}

impl View {
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

/// The classes to draw; none where labels are left to the network, or there are none.
fn classes(args: &Sample, model: &Model) -> Result<Vec<u32>> {
    let known = model.dbn.classes.map(|classes| classes as u32);
    let is_chosen = args.from.is_some() || args.clamp.is_some() || args.tempered;
    match (known, &args.label[..]) {
        (Some(known), []) if !is_chosen => Ok((0..known).collect()),
        (_, []) => Ok(Vec::new()),
        (None, _) => {
            bail!("--label: expected a network with label units (train it with labels = true)")
        }
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

/// Lets the chains run, and takes pictures of them on the way; returns the last ones.
fn dream(
    args: &Sample,
    model: &Model,
    mut generator: ConditionalSampler,
    view: &View,
    frames: &mut Vec<(usize, Tensor)>,
    bars: &MultiProgress,
    rng: &mut Rng,
) -> Result<Tensor> {
    let steps = args.steps as usize;
    let pictures = args.animate.map_or(0, usize::from).min(steps + 1);
    // Looking changes nothing: what is drawn for pictures on the way comes from another stream.
    let mut eye = rng.split(1);
    let bar = progress::bar(bars, args.steps as u64);
    for step in 0..=steps {
        if frames.len() * steps <= step * pictures.saturating_sub(1) && frames.len() < pictures {
            let picture = generator.picture(args.draws(), &mut eye)?;
            frames.push((step, model.in_data_values(&view.of(&picture)?)?));
        }
        if step < steps {
            generator.step(rng)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(generator.picture(args.draws(), rng)?)
}

/// Hidden configurations of the top machine in equilibrium: `each` of every class, or of the machine as it is where no class is named.
fn tempered(
    args: &Sample,
    model: &Model,
    classes: &[u32],
    each: usize,
    bars: &MultiProgress,
    rng: &mut Rng,
) -> Result<Tensor> {
    if args.from.is_none() && Run::open(&args.run).is_err() {
        output::note("no data are named with --from: the ladder begins at the units' own biases");
        let top = model.dbn.top();
        if classes.is_empty() {
            return in_equilibrium(args, top, AnnealingPath::from_biases(top)?, each, bars, rng);
        }
        let hidden = classes.iter().map(|&class| {
            let given = ClassRbm::of(top)?.given(class)?;
            in_equilibrium(args, &given, AnnealingPath::from_biases(&given)?, each, bars, rng)
        });
        return Ok(Tensor::cat(&hidden.collect::<Result<Vec<_>>>()?, 0)?);
    }
    let (data, which) = (args.from.as_deref(), args.from.is_none().then_some(Cases::Train));
    let part = cases::find(&args.run, model, data, &args.data_options, which)?;
    if classes.is_empty() {
        let cases = model.prepare_cases(&part.cases)?.thinned(report::MOST)?;
        let path = AnnealingPath::from_cases(model.dbn.top(), &model.dbn.arriving(&cases)?)?;
        return in_equilibrium(args, model.dbn.top(), path, each, bars, rng);
    }
    let hidden = classes.iter().map(|&class| {
        let rows = of_class(&part, class)?;
        let cases = model.prepare_cases(&part.select(&rows)?.cases)?.thinned(report::MOST)?;
        // A class leaves a machine of the data alone, from which samples come by themselves.
        let given = model.dbn.class_rbm()?.given(class)?;
        let path = AnnealingPath::from_cases(&given, &model.dbn.penultimate(&cases)?)?;
        in_equilibrium(args, &given, path, each, bars, rng)
    });
    Ok(Tensor::cat(&hidden.collect::<Result<Vec<_>>>()?, 0)?)
}

/// `count` hidden configurations of `machine` in equilibrium, by tempering along `path`.
fn in_equilibrium(
    args: &Sample,
    machine: &Rbm,
    path: AnnealingPath,
    count: usize,
    bars: &MultiProgress,
    rng: &mut Rng,
) -> Result<Tensor> {
    let config = TemperingConfig {
        samples: count,
        sweeps: args.sweeps as usize,
        ..TemperingConfig::default()
    };
    let mut equilibrium = Equilibrium::new(machine, path, config, rng)?;
    let bar = progress::bar(bars, 1000);
    while !equilibrium.is_done() {
        equilibrium.step(machine, rng)?;
        bar.set_position((1000.0 * equilibrium.share_done()) as u64);
    }
    bar.finish_and_clear();
    let progress = equilibrium.progress();
    output::note(format!(
        "{} replicas came from β = 0 to β = 1 in {} sweeps over {} levels",
        progress.swaps.arrivals,
        progress.swaps.sweeps,
        progress.betas.len()
    ));
    if progress.swaps.arrivals < count {
        output::note(format!(
            "fewer than the {count} samples: they depend on each other (give more --sweeps)"
        ));
    }
    Ok(machine.sample_hidden(&equilibrium.samples()?, rng)?)
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

/// Chains at the biases, or at the first cases of the data that the user named, of the classes `labels` where these are named too,
/// again and again if there are too few; and what of these to hold.
fn start(
    args: &Sample,
    model: &Model,
    labels: &[u32],
    count: usize,
    rng: &mut Rng,
) -> Result<(Chains, Option<(Tensor, Tensor)>)> {
    let Some(data) = args.clamp.as_deref().or(args.from.as_deref()) else {
        return Ok((model.dbn.start_chains(count, rng)?, None));
    };
    let part = cases::find(&args.run, model, Some(data), &args.data_options, None)?;
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
    let mask = args.keep.mask(&rows, part.len(), model)?.to_device(cases.device())?;
    // The rest begins as what the network takes for it where nothing is there.
    let begun = (&cases * &mask)?;
    Ok((model.dbn.start_chains_at(&begun, rng)?, Some((cases, mask))))
}
