//! What a network has learned without labels, for a linear classifier that sees few: a deep belief network learns pictures alone,
//! is frozen inside a candle model, and softmax regression on its features is held against the same on the pixels.
//!
//! ```sh
//! cargo run --release --example feature_extractor                   # the embedded digits, seconds
//! cargo run --release --example feature_extractor -- --data mnist/  # the four IDX files of MNIST, minutes
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use candle_core::{D, DType, Device, Tensor};
use candle_dbn::training::{EpochMetrics, Observer, Outcome, StageStart};
use candle_dbn::viz::{Mark, Plot, Series};
use candle_dbn::{Examples, FeatureExtractor, Recipe, Training, data};
use candle_nn::{
    AdamW, Init, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss::cross_entropy,
};
use clap::Parser;
use rbm_core::{Rng, ops};

/// Weight decays of the regression, of which a fifth of the labels chooses.
const DECAYS: [f64; 6] = [0.0, 0.1, 0.5, 2.0, 8.0, 32.0];
const STEPS: usize = 300;
const RATE: f64 = 0.01;

/// The most dots in the picture.
const DOTS: usize = 5000;

/// Learn features without labels, and see what a linear classifier makes of them
#[derive(Parser)]
struct Args {
    /// Folder with the four IDX files of MNIST, plain or gzipped [default: the embedded digits]
    #[arg(long, env = "MNIST_DIR")]
    data: Option<PathBuf>,
    /// How many of the training cases have a label
    #[arg(long, default_value_t = 1000)]
    labels: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Change a key of the recipe, e.g. layers.*.epochs=2
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The picture of the features' two principal components
    #[arg(long, default_value = "embedding.png")]
    out: PathBuf,
}

fn main() -> Result<()> {
    ops::device::settle()?;
    let args = Args::parse();
    let (name, source) = match &args.data {
        Some(folder) => ("few-labels", folder.to_str().context("--data: the path is not UTF-8")?),
        None => ("digits", "digits"),
    };
    let dataset = data::load(source, &data::ReadOptions::default())?;
    let classes = dataset.classes.context("the data have no labels")?;
    let recipe = Recipe { seed: args.seed, ..Recipe::named(name)? }.with(&args.settings)?;
    let recipe = Recipe { classifier: None, ..recipe };
    let mut training = Training::new(recipe, dataset, &Device::Cpu)?;
    let Outcome::Finished(model) = training.run(&mut Lines)? else { bail!("stopped") };

    // Frozen: what is built over tensors is not trained.
    let tensors = model.tensors()?.into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let extractor = FeatureExtractor::new(&model.config(), vb)?;
    let layers = |part: &Examples| -> Result<Vec<Tensor>> {
        let mut blocks = Vec::new();
        for block in rbm_core::rows::blocks(&part.cases) {
            let block = block?;
            blocks.push([vec![block.clone()], extractor.features(&block)?].concat());
        }
        let layer = |i| Tensor::cat(&blocks.iter().map(|block| &block[i]).collect::<Vec<_>>(), 0);
        Ok((0..=model.dbn.depth()).map(layer).collect::<candle_core::Result<_>>()?)
    };

    let test = training.held_out.as_ref().context("the data have no test part")?;
    let labels = training.train.labels.as_ref().context("the data have no labels")?;
    let mut rng = Rng::new(args.seed).split(1);
    let chosen = data::choose_balanced(labels, args.labels, &mut rng)?;
    let labelled = training.train.select(&chosen)?;
    let (at_labelled, at_test) = (layers(&labelled)?, layers(test)?);
    let truth = test.labels.as_ref().context("the test cases have no labels")?;

    println!("softmax regression on {} labels, seed {}         test error", args.labels, args.seed);
    for (layer, (of_labelled, of_test)) in at_labelled.iter().zip(&at_test).enumerate() {
        let own = labelled.labels.as_ref().context("the data have no labels")?;
        let decay = chosen_decay(of_labelled, own, classes)?;
        let regression = regress(of_labelled, own, classes, decay)?;
        let error = error(&regression, of_test, truth)?;
        let what = match layer {
            0 => format!("{} pixels", of_test.dim(1)?),
            layer => format!("{} features of layer {layer}", of_test.dim(1)?),
        };
        println!("{what:<30} weight decay {decay:<5}       {error:.2} %");
    }
    let top = at_test.last().context("there is no layer")?;
    draw(&args.out, top, truth)?;
    println!("{}: the features of the test cases, two principal components", args.out.display());
    Ok(())
}

/// A line for every tenth epoch.
struct Lines;

impl Observer for Lines {
    fn stage(&mut self, stage: &StageStart) -> candle_dbn::Result<()> {
        eprintln!("{} {}", stage.kind, stage.shape);
        Ok(())
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        if let Some(report) = metrics.report.as_ref().filter(|_| metrics.epoch.is_multiple_of(10)) {
            let error = report.reconstruction_error;
            eprintln!("epoch {}/{}: reconstruction {error:.4}", metrics.epoch, metrics.epochs);
        }
        Ok(())
    }
}

/// The weight decay with which a regression on four fifths of the cases errs least on the others.
fn chosen_decay(features: &Tensor, labels: &[u32], classes: usize) -> Result<f64> {
    let (kept, others) =
        data::hold_out(&Examples::new(features.clone(), Some(labels.to_vec()))?, 5)?;
    let of =
        |part: &Examples| Ok::<_, candle_dbn::Error>((part.cases.tensor()?, part.labels.clone()));
    let ((x, y), (other_x, other_y)) = (of(&kept)?, of(&others)?);
    let (y, other_y) = (y.unwrap_or_default(), other_y.unwrap_or_default());
    let mut best = (f64::INFINITY, 0.0);
    for decay in DECAYS {
        let found = error(&regress(&x, &y, classes, decay)?, &other_x, &other_y)?;
        if found < best.0 {
            best = (found, decay);
        }
    }
    Ok(best.1)
}

/// Softmax regression: log p(class | x) = Wx + b up to a constant, from zero.
fn regress(x: &Tensor, labels: &[u32], classes: usize, decay: f64) -> Result<Linear> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let weight = vb.get_with_hints((classes, x.dim(1)?), "weight", Init::Const(0.0))?;
    let bias = vb.get_with_hints(classes, "bias", Init::Const(0.0))?;
    let regression = Linear::new(weight, Some(bias));
    let settings = ParamsAdamW { lr: RATE, weight_decay: decay, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    for _ in 0..STEPS {
        optimizer.backward_step(&cross_entropy(&regression.forward(x)?, &labels)?)?;
    }
    Ok(regression)
}

/// How many cases are put into the wrong class, in percent.
fn error(regression: &Linear, x: &Tensor, labels: &[u32]) -> Result<f64> {
    let predicted = regression.forward(x)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let wrong =
        predicted.iter().zip(labels).filter(|(predicted, label)| predicted != label).count();
    Ok(100.0 * wrong as f64 / labels.len() as f64)
}

/// Draws the two principal components of `features` `(n, width)`, in colour by class.
fn draw(path: &std::path::Path, features: &Tensor, labels: &[u32]) -> Result<()> {
    let step = features.dim(0)?.div_ceil(DOTS);
    let shown: Vec<u32> = (0..features.dim(0)? as u32).step_by(step).collect();
    let centred = features.broadcast_sub(&features.mean_keepdim(0)?)?;
    let components = principal(&centred)?;
    let all = centred.sqr()?.sum_all()?.to_scalar::<f32>()?;
    let along = centred.matmul(&components)?;
    let share = (along.sqr()?.sum(0)? / f64::from(all))?.to_vec1::<f32>()?;
    let along = along.index_select(&Tensor::new(&shown[..], &Device::Cpu)?, 0)?.to_vec2::<f32>()?;
    let mut classes: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for (point, &case) in along.iter().zip(&shown) {
        let class = classes.entry(labels[case as usize]).or_default();
        class.push((point[0].into(), point[1].into()));
    }
    let series = classes.into_iter();
    let series =
        series.map(|(class, dots)| Series::new(format!("class {class}"), Mark::Dots, dots));
    let axis = |nth, share: f32| {
        format!("{nth} principal component ({:.0} % of the variance)", 100.0 * share)
    };
    Ok(Plot {
        title: format!("Features of {} cases", shown.len()),
        x: axis("first", share[0]),
        y: axis("second", share[1]),
        is_log_x: false,
        y_range: None,
        series: series.collect(),
    }
    .write(path)?)
}

/// The two directions `(width, 2)` along which the rows of `x`, of mean zero, vary most, by orthogonal iteration.
fn principal(x: &Tensor) -> Result<Tensor> {
    let mut basis = ops::normal((x.dim(1)?, 2), DType::F32, &Device::Cpu, &mut Rng::new(0))?;
    for _ in 0..100 {
        let next = x.t()?.matmul(&x.matmul(&basis)?)?;
        let unit = |v: Tensor| v.broadcast_div(&v.sqr()?.sum_all()?.sqrt()?);
        let first = unit(next.narrow(1, 0, 1)?)?;
        let second = next.narrow(1, 1, 1)?;
        let shared = (&first * &second)?.sum_all()?;
        let second = unit((&second - first.broadcast_mul(&shared)?)?)?;
        basis = Tensor::cat(&[first, second], 1)?;
    }
    Ok(basis)
}
