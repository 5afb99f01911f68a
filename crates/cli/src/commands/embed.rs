//! `dbn embed`, `dbn encode` and `dbn decode`: what a model makes of each case

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_boltzmann::Summation;
use candle_core::{D, DType, Device, Tensor};
use candle_dbn::data::parquet::{self, NamedColumn, Values};
use candle_dbn::data::{ReadOptions, View};
use candle_dbn::viz::{gallery, report};
use candle_dbn::{Autoencoder, Examples, Model};
use indicatif::MultiProgress;
use rbm_core::state::write_whole;
use rbm_core::{Rows, Units, rows};

use crate::beliefs::{self, LearnedBelief};
use crate::inputs::{self, Cases, DataOptions, Where};
use crate::machines::{self, LearnedMachine, MachineCases};
use crate::tables::{self, FeatureNames, FeatureTable};
use crate::{output, progress};

/// Write the hidden layers' mean activities as features for other programs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn embed runs/mnist --out features.npy                  the top layer, nothing else
  dbn embed runs/mnist mnist/ --layer all --out f.safetensors  layer1, layer2, ..., rows, labels
  dbn embed runs/mnist new.csv --out features.parquet      columns row, label, layer3_0, ...
  dbn embed runs/mnist --cases held-out --out features.csv  the same columns as text
  dbn embed runs/mnist mnist/ --layer probabilities --out p.csv  how probable each class is
  dbn embed runs/bm --out hidden.npy                       the hidden units of a Boltzmann machine, or of a belief net
row is the number of the case in the data, from 0; label is its class, where it has one; name is what an \
alignment calls it (in .parquet and .csv). Neither \
the data nor the features need fit into memory.")]
pub struct Embed {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to embed [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// Which layer: 1 is the lowest, top, all (side by side, but a tensor each in .safetensors), classes for what the
    /// classifier says of each case, probabilities for how probable it finds each class, prediction for a target, or data for
    /// the values themselves with missing ones filled in
    #[arg(long, value_name = "LAYER", default_value = "top")]
    pub layer: String,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// What is computed of each case.
enum Feature {
    /// The mean activities of a hidden layer, counted from 0.
    Layer(usize),
    /// What the classifier says.
    Class,
    /// How probable it is in each class.
    Probabilities,
    /// The predicted target.
    Prediction,
    /// The values themselves, those that are missing filled in.
    Data,
}

impl Feature {
    /// Its tensor's name in a file.
    fn name(&self) -> String {
        match self {
            Self::Layer(layer) => format!("layer{}", layer + 1),
            Self::Class => "classes".into(),
            Self::Probabilities => "probability".into(),
            Self::Prediction => "prediction".into(),
            Self::Data => "data".into(),
        }
    }

    /// What the numbers that it has for each case are called.
    fn columns(&self, model: &Model) -> FeatureNames {
        match self {
            Self::Layer(layer) => {
                let hidden = model.dbn.rbm(*layer).map(|rbm| rbm.hidden().units().width());
                FeatureNames::Numbered(hidden.unwrap_or(0))
            }
            Self::Class => FeatureNames::Class,
            Self::Prediction => FeatureNames::Numbered(1),
            Self::Data => match &model.columns {
                Some(columns) => FeatureNames::Named(columns.value_names()),
                None => FeatureNames::Numbered(model.dbn.width()),
            },
            Self::Probabilities => {
                let classes = 0..model.classes().unwrap_or(0);
                FeatureNames::Named(classes.map(|class| model.class_name(class)).collect())
            }
        }
    }
}

/// Writes the features of every case to a file.
pub fn embed(args: &Embed, bars: &MultiProgress) -> Result<()> {
    tables::check(&args.out, args.force)?;
    if machines::is_meant(&args.run) {
        machines::check_learned(&args.run)?;
        return embed_by_machine(args, bars);
    }
    if beliefs::is_learned(&args.run) {
        return embed_by_belief(args, bars);
    }
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let wanted = wanted(&args.layer, &model)?;
    let data = args.data.as_deref();
    let (part, rows) =
        inputs::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = progress::bar(bars, part.len() as u64);
    let blocks = rows::blocks(&part.cases).map(|rows| {
        let features = rows.map_err(Into::into).and_then(|rows| features(&model, &rows, &wanted));
        let features = features.with_context(|| inputs::source(data, &args.run))?;
        bar.inc(features[0].dim(0)? as u64);
        Ok(features)
    });
    let named = wanted.iter().map(|feature| (feature.name(), feature.columns(&model))).collect();
    let class_names = model.class_names.as_deref();
    let table = FeatureTable::of(named, &rows, &part, class_names);
    let written = tables::write(&args.out, &table, blocks)?;
    bar.finish_and_clear();
    output::line(written)
}

/// The features that `text` means.
fn wanted(text: &str, model: &Model) -> Result<Vec<Feature>> {
    let count = model.dbn.depth();
    match text {
        "all" => Ok((0..count).map(Feature::Layer).collect()),
        "top" => Ok(vec![Feature::Layer(count - 1)]),
        "classes" if model.classes().is_some() => Ok(vec![Feature::Class]),
        "probabilities" if model.classes().is_some() => Ok(vec![Feature::Probabilities]),
        "prediction" if model.regressor.is_some() => Ok(vec![Feature::Prediction]),
        "prediction" => {
            bail!("--layer: expected a model that predicts a target (dbn train --target COLUMN)")
        }
        "data" => Ok(vec![Feature::Data]),
        "classes" | "probabilities" => {
            bail!(
                "--layer: expected a model with a classifier or label units for {text:?}, found none"
            )
        }
        number => match number.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => Ok(vec![Feature::Layer(number - 1)]),
            _ => bail!(
                "--layer: expected 1 to {count}, top, all, classes, probabilities, prediction or data, found {text:?}"
            ),
        },
    }
}

/// A matrix with a row a case for each feature, on the CPU.
fn features(model: &Model, rows: &Tensor, wanted: &[Feature]) -> Result<Vec<Tensor>> {
    let rows = model.prepare(rows)?;
    let layers = model.dbn.features(&rows)?;
    let feature = |feature: &Feature| -> Result<Tensor> {
        Ok(match (feature, &model.classifier) {
            (Feature::Layer(layer), _) => layers[*layer].detach().to_device(&Device::Cpu)?,
            (Feature::Class, Some(classifier)) => {
                let classes = classifier.predict(&rows)?;
                Tensor::from_vec(classes, (rows.dim(0)?, 1), &Device::Cpu)?.to_dtype(DType::F32)?
            }
            (Feature::Class, None) => {
                let shares = model.class_probabilities(&rows)?;
                shares.argmax_keepdim(D::Minus1)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?
            }
            (Feature::Prediction, _) => {
                let values = match &model.regressor {
                    Some(regressor) => regressor.predict(&rows)?,
                    None => bail!("--layer: expected a model that predicts a target"),
                };
                Tensor::from_vec(values, (rows.dim(0)?, 1), &Device::Cpu)?
            }
            (Feature::Data, _) => model.in_data_values(&rows)?,
            (Feature::Probabilities, _) => {
                model.class_probabilities(&rows)?.to_device(&Device::Cpu)?
            }
        })
    };
    wanted.iter().map(feature).collect()
}

/// Writes the means of a Boltzmann machine's hidden units given each case.
fn embed_by_machine(args: &Embed, bars: &MultiProgress) -> Result<()> {
    let machine = LearnedMachine::open(&args.run)?;
    if let "classes" | "probabilities" = args.layer.as_str() {
        return classify_by_machine(args, &machine, bars);
    }
    let widths: Vec<usize> = machine.learner.shape().hidden.iter().map(Units::width).collect();
    ensure!(
        !widths.is_empty(),
        "{}: expected a machine with hidden units, found visible ones alone",
        args.run.display()
    );
    let hidden = WantedLayers::of(&args.layer, widths)?;
    let cases = machine.cases(args.data.as_deref(), &args.data_options, Some(args.cases))?;
    let first = machine.learner.posterior(&cases.values.narrow(0, 0, 1)?)?;
    if first.summation != Summation::Exact {
        output::note(
            "hidden units are coupled and too many to be counted: their means are those of mean field",
        );
    }
    hidden.write(args, &cases, bars, |block| {
        let means = machine.learner.posterior(block)?.means;
        means.context("hidden units: expected some")
    })
}

/// Writes the classes of cases, or how probable each is, by the classifier that was unrolled from the machine, or else by its label units.
fn classify_by_machine(args: &Embed, machine: &LearnedMachine, bars: &MultiProgress) -> Result<()> {
    let cases = machine.cases(args.data.as_deref(), &args.data_options, Some(args.cases))?;
    let shares = if let Some(model) = machine.classifier()? {
        model.class_probabilities(&machine.seen_by_classifier(&cases, bars)?)?
    } else if machine.learner.shape().labels.is_some() {
        machine.learner.label_probabilities(&cases.values)?
    } else {
        bail!(
            "--layer: expected a machine with a classifier or label units for {:?}, found none",
            args.layer
        );
    };
    let shares = shares.to_dtype(DType::F32)?;
    let names = cases.class_names.as_deref();
    let (name, columns, values) = match args.layer.as_str() {
        "classes" => {
            let classes = shares.argmax_keepdim(D::Minus1)?.to_dtype(DType::F32)?;
            ("classes", FeatureNames::Class, classes)
        }
        _ => {
            let of = |class: usize| names.and_then(|names| names.get(class).cloned());
            let all = 0..shares.dim(1)?;
            let all = all.map(|class| of(class).unwrap_or_else(|| class.to_string()));
            ("probability", FeatureNames::Named(all.collect()), shares)
        }
    };
    let named = vec![(name.to_owned(), columns)];
    let table = FeatureTable::of(named, &cases.rows, &cases.examples, names);
    output::line(tables::write(&args.out, &table, std::iter::once(Ok(vec![values])))?)
}

/// Writes what the recognition of a belief net makes of each case.
fn embed_by_belief(args: &Embed, bars: &MultiProgress) -> Result<()> {
    let belief = LearnedBelief::open(&args.run)?;
    let machine = belief.learner.machine();
    let hidden = WantedLayers::of(&args.layer, machine.net.widths()[1..].to_vec())?;
    let cases = belief.cases(args.data.as_deref(), &args.data_options, Some(args.cases))?;
    hidden.write(args, &cases, bars, |block| Ok(Tensor::cat(&machine.means(block)?, 1)?))
}

/// The hidden layers that are wanted of a machine.
struct WantedLayers {
    /// Of all of them, from the bottom up.
    widths: Vec<usize>,
    /// Their numbers from 1.
    wanted: RangeInclusive<usize>,
}

impl WantedLayers {
    /// Those that `text` means.
    fn of(text: &str, widths: Vec<usize>) -> Result<Self> {
        let most = widths.len();
        let number = |text: &str| text.parse().ok().filter(|k| (1..=most).contains(k));
        let wanted = match text {
            "all" => 1..=most,
            "top" => most..=most,
            other => {
                let layer = number(other).with_context(|| {
                    format!(
                        "--layer: expected 1 to {most}, top or all of this machine, found {other:?}"
                    )
                })?;
                layer..=layer
            }
        };
        Ok(Self { widths, wanted })
    }

    /// Writes them, of what `means` says of all layers of a few cases, `(cases, hidden)`.
    fn write(
        &self,
        args: &Embed,
        cases: &MachineCases,
        bars: &MultiProgress,
        means: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        let bar = progress::bar(bars, cases.values.count() as u64);
        let blocks = rows::blocks(&cases.values).map(|block| {
            let means = means(&block?)?;
            bar.inc(means.dim(0)? as u64);
            let of_layer = |layer: usize| {
                let start = self.widths[..layer - 1].iter().sum();
                Ok(means.narrow(1, start, self.widths[layer - 1])?.contiguous()?)
            };
            self.wanted.clone().map(of_layer).collect()
        });
        let name = |layer: usize| {
            (format!("layer{layer}"), FeatureNames::Numbered(self.widths[layer - 1]))
        };
        let named = self.wanted.clone().map(name).collect();
        let table =
            FeatureTable::of(named, &cases.rows, &cases.examples, cases.class_names.as_deref());
        let written = tables::write(&args.out, &table, blocks)?;
        bar.finish_and_clear();
        output::line(written)
    }
}

/// Write the short codes that an autoencoder has for cases
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn encode runs/auto --out codes.npy                       a row for each of the run's own cases
  dbn encode runs/auto mnist/ --cases held-out --out c.npy   of other data; codes of two numbers are drawn too: c.png
  dbn encode runs/auto --out codes.safetensors               with the labels beside them
The run's recipe must have an [autoencoder]; dbn embed writes what the hidden layers of any run say.")]
pub struct Encode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Data to encode [default: the run's own]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Which cases
    #[arg(long, value_enum, default_value = "all", help_heading = "Data")]
    pub cases: Cases,
    /// File to write: .npy, .safetensors, .parquet or .csv
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Write what an autoencoder makes of codes: cases, and a picture of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn decode runs/auto codes.npy --out decoded.npy   also draws the first 400 of them: decoded.png
  dbn decode runs/auto grid.csv --out grid.npy       codes may stand in any file that data may stand in")]
pub struct Decode {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// The codes, one a row, as dbn encode writes them to .npy, .safetensors, .parquet or .csv
    pub codes: String,
    /// File to write: .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub place: Where,
}

/// Writes the code of every case to a file, and a picture beside it where codes have two numbers.
pub fn encode(args: &Encode, bars: &MultiProgress) -> Result<()> {
    tables::check(&args.out, args.force)?;
    let picture = args.out.with_extension("png");
    output::check_free(&[&picture], args.force)?;
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let autoencoder = autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let data = args.data.as_deref();
    let (part, rows) =
        inputs::find_numbered(&args.run, &model, data, &args.data_options, Some(args.cases))?;
    let bar = progress::bar(bars, part.len() as u64);
    let blocks = rows::blocks(&part.cases).map(|rows| {
        let codes = model.prepare(&rows?).and_then(|rows| autoencoder.encode(&rows));
        let codes = codes.with_context(|| inputs::source(data, &args.run))?;
        bar.inc(codes.dim(0)? as u64);
        Ok(vec![codes.detach().to_device(&Device::Cpu)?])
    });
    let codes = FeatureNames::Numbered(autoencoder.code_width());
    let class_names = model.class_names.as_deref();
    let table = FeatureTable::of(vec![("codes".to_owned(), codes)], &rows, &part, class_names);
    let written = tables::write(&args.out, &table, blocks)?;
    bar.finish_and_clear();
    output::line(written)?;
    let part = Examples { cases: model.prepare_cases(&part.cases)?, ..part };
    if report::codes(&picture, &model, &part)? {
        output::line(picture.display().to_string())?;
    }
    Ok(())
}

/// The autoencoder of a model that must have one.
pub fn autoencoder(model: &Model) -> Result<&Autoencoder> {
    match &model.autoencoder {
        Some(autoencoder) => Ok(autoencoder),
        None => bail!(
            "expected a model with an autoencoder (train it by a recipe with [autoencoder]), found none"
        ),
    }
}

/// The most cases in the picture.
const PICTURED: usize = 400;

/// Writes what the autoencoder makes of every code to a file, and a picture beside it.
pub fn decode(args: &Decode) -> Result<()> {
    let out = args.out.display();
    let is_npy = args.out.extension().is_some_and(|extension| extension == "npy");
    ensure!(is_npy, "--out: expected a name ending in .npy, found {out}");
    let picture = args.out.with_extension("png");
    output::check_free(&[&args.out, &picture], args.force)?;
    let model = inputs::load_model(&args.run, &args.place.find()?)?;
    let autoencoder = autoencoder(&model).with_context(|| args.run.display().to_string())?;
    let codes = read_codes(&args.codes)?;
    let decoded = rows::blocks(&codes).map(|codes| {
        let codes = codes?.to_device(model.dbn.bottom().device())?;
        let decoded = autoencoder.decode(&codes).with_context(|| args.codes.clone())?;
        Ok(model.in_data_values(&decoded)?)
    });
    let decoded = Tensor::cat(&decoded.collect::<Result<Vec<_>>>()?, 0)?;
    write_whole(&args.out, &tables::npy_bytes(&decoded)?)?;
    let (count, width) = decoded.dims2()?;
    output::line(format!("{out}: {} cases x {width}", output::grouped(count as u64)))?;
    let pictured = count.min(PICTURED);
    let columns = (pictured as f64).sqrt().ceil() as usize;
    gallery::samples(&picture, &model, &decoded.narrow(0, 0, pictured)?, &[], columns)?;
    output::line(picture.display().to_string())
}

/// The codes in this file, a row a case.
fn read_codes(name: &str) -> Result<View> {
    if !name.ends_with(".parquet") {
        return Ok(inputs::load_numbers(name, &ReadOptions::default())?.train.cases);
    }
    let mut numbers = Vec::new();
    for NamedColumn { name: of, values } in parquet::read(Path::new(name))? {
        match values {
            // As dbn encode names what it writes beside the codes.
            _ if tables::BESIDE.contains(&of.as_str()) => {}
            Values::Numbers(values) => numbers.push(values),
            _ => bail!("{name}: column {of:?}: expected numbers, as dbn encode writes them"),
        }
    }
    let (width, count) = (numbers.len(), numbers.first().map_or(0, Vec::len));
    ensure!(width * count > 0, "{name}: expected a column for each number of a code, found none");
    if let Some(row) = numbers.iter().find_map(|values| values.iter().position(|x| !x.is_finite()))
    {
        bail!("{name}: row {}: expected finite numbers, found a missing one", row + 1);
    }
    let rows = (0..count).flat_map(|row| numbers.iter().map(move |values| values[row] as f32));
    let codes = Tensor::from_iter(rows, &Device::Cpu)?.reshape((count, width))?;
    Ok(Examples::new(codes, None)?.cases)
}
