//! Charts of a model beside its numbers: free energies, both sides of the likelihood, what it learned when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use candle_dbn_data::View;
use rbm_core::estimate::{AisOptions, Annealing, Correlations, betas_along, regression};
use rbm_core::ops::device::to_host;
use rbm_core::{Error, Result, Rng, Rows, Units, rows};
use serde_json::Value;

use crate::estimate::likelihood::{self, Likelihood};
use crate::training::{EpochMetrics, StageKind};
use crate::viz::charts::{self, Convergence};
use crate::viz::gallery;
use crate::viz::plot::{Mark, Series};
use crate::{Examples, Model};

/// The most cases of a group in the histogram of free energies.
pub const MAX_HISTOGRAM_CASES: usize = 2000;

/// The learning curves in a run's folder.
pub const LEARNING: &str = "learning.png";

/// The picture of what varies together in data and in samples.
pub const CORRELATIONS: &str = "correlations.png";
/// How many samples there are for it.
pub const CORRELATED: usize = 1000;
/// The most values of a case in it: of longer alignments, sites from all over them.
const WIDEST: usize = 2500;

/// The most dots in a picture.
const DOTS: usize = 5000;

/// Draws the free energies of groups of cases `(n, width)`, prepared for the network, in its lowest machine.
///
/// # Errors
///
/// As [`Dbn::free_energy`](crate::Dbn::free_energy), and where the file cannot be written.
pub fn free_energies(
    path: impl AsRef<Path>,
    model: &Model,
    groups: &[(&str, Tensor)],
) -> Result<()> {
    let path = path.as_ref();
    let mut all = Vec::with_capacity(groups.len());
    for (name, cases) in groups {
        let energies = to_host(&model.dbn.free_energy(cases)?)?;
        all.push((*name, energies.to_vec1::<f64>()?));
    }
    let title = match model.dbn.depth() {
        1 => "Free energies",
        _ if model.dbn.is_machine(0) => "Free energies in the lowest machine",
        _ => "Free energies in the top machine, of what arrives there",
    };
    charts::free_energies(path, title, &all)
}

/// Draws the codes that the model's autoencoder has for at most 5,000 of the cases of `part`, prepared for the network, in
/// colour by class. Nothing is drawn where there is no autoencoder, or where codes do not have two numbers; whether it was.
///
/// # Errors
///
/// Where rows cannot be read, and where the file cannot be written.
pub fn codes(path: impl AsRef<Path>, model: &Model, part: &Examples) -> Result<bool> {
    let path = path.as_ref();
    let Some(autoencoder) = model.autoencoder.as_ref().filter(|net| net.code_width() == 2) else {
        return Ok(false);
    };
    let part = part.select(&part.cases.spread(DOTS))?;
    let mut groups: BTreeMap<Option<u32>, Vec<(f64, f64)>> = BTreeMap::new();
    let mut labels = part.labels.iter().flatten();
    for block in rows::blocks(&part.cases) {
        let codes = to_host(&autoencoder.encode(&block?)?)?;
        for code in codes.to_vec2::<f64>()? {
            groups.entry(labels.next().copied()).or_default().push((code[0], code[1]));
        }
    }
    let name =
        |class: Option<u32>| class.map_or_else(String::new, |class| format!("class {class}"));
    let groups: Vec<_> = groups.into_iter().map(|(class, codes)| (name(class), codes)).collect();
    charts::codes(path, &groups)?;
    Ok(true)
}

/// Whether the model's data are sites of states, and no pictures.
pub fn is_alignment(model: &Model) -> bool {
    gallery::sites(model).is_some()
}

/// Draws how far the letters of two sites of an alignment vary together, in the data against samples of the model: each dot is
/// C_ij(a, b) = f_ij(a, b) − f_i(a) f_j(b), with `f` how often they stand there. `cases` and `samples` are of one width, prepared for the
/// network; cases count as they do in `part`. Nothing is drawn of other data; else Pearson's correlation of both is returned.
///
/// # Errors
///
/// Where the file cannot be written, or there are fewer than two samples.
pub fn correlations(
    path: impl AsRef<Path>,
    model: &Model,
    part: &Examples,
    samples: &Tensor,
) -> Result<Option<f64>> {
    let Some((sites, states)) = gallery::sites(model) else { return Ok(None) };
    let cases = part.cases.rows(&part.representative(2 * MAX_HISTOGRAM_CASES))?;
    let kept = (WIDEST / states).clamp(1, sites);
    let kept: Vec<usize> = (0..kept).map(|i| i * sites / kept).collect();
    let columns = kept.iter().flat_map(|site| site * states..(site + 1) * states);
    let columns = Tensor::from_iter(columns.map(|column| column as u32), cases.device())?;
    let units = Units::Potts { sites: kept.len(), states };
    let of = |x: &Tensor| -> Result<Correlations> {
        if x.dim(0)? < 2 {
            let found = x.dim(0)?.to_string();
            return Err(Error::invalid("what varies together", "at least 2 cases", found));
        }
        Correlations::of(&units, &x.index_select(&columns, 1)?, None)
    };
    let pairs = of(&cases)?.pairs(&of(samples)?)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let (r, slope) = regression(&pairs);
    let shown: Vec<_> = pairs.iter().step_by(pairs.len().div_ceil(4 * DOTS)).copied().collect();
    let counts = format!("{} cases, {} samples", cases.dim(0)?, samples.dim(0)?);
    charts::correlations(path, &format!("{counts}: r = {r:.3}, slope {slope:.3}"), shown)?;
    Ok(Some(r))
}

/// Draws the largest singular values of every layer's weights over its epochs, from the lines of `metrics` that have them:
/// `singular_values.png`, for deeper layers `singular_values_2.png`, … in `dir`. Nothing is drawn where there are none.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn singular_values(dir: impl AsRef<Path>, metrics: &str) -> Result<()> {
    let dir = dir.as_ref();
    for (layer, rows) in by_layer(metrics, |line| line.singular_values) {
        if rows.len() > 1 {
            let title = format!("The largest singular values of W, layer {layer}");
            let rows: Vec<_> =
                rows.into_iter().map(|(epoch, values)| (epoch as f64, values)).collect();
            charts::singular_values(&file(dir, "singular_values", layer), &title, &rows)?;
        }
    }
    Ok(())
}

/// What is wrong with the layers that were learned, from the last line of each in `metrics`, a sentence each.
pub fn warnings(metrics: &str) -> Vec<String> {
    // The rate of the first epoch, which is what a recipe says, and the last line.
    let mut stages: BTreeMap<StageKind, (f64, EpochMetrics)> = BTreeMap::new();
    for line in lines(metrics) {
        let rate = stages.get(&line.stage).map_or(line.learning_rate, |(rate, _)| *rate);
        stages.insert(line.stage, (rate, line));
    }
    let warnings = stages.into_iter().flat_map(|(stage, (rate, line))| {
        let advice = match stage {
            StageKind::Layer(layer) => format!(
                "; try another layers.{layer}.learning_rate than {}, more epochs, or data on another scale",
                Value::from(rate)
            ),
            _ => String::new(),
        };
        line.warnings.into_iter().map(move |warning| format!("{stage}: {warning}{advice}"))
    });
    warnings.collect()
}

/// A number of an epoch, where it was measured.
type Metric = fn(&EpochMetrics) -> Option<f64>;

/// What a learning curve shows: its name and unit, and the numbers of an epoch with the kind of cases of each.
type MetricCurve = (&'static str, &'static str, &'static [(&'static str, Metric)]);

const CURVES: [MetricCurve; 8] = [
    ("reconstruction error", "", &[("", |line| Some(line.report.as_ref()?.reconstruction_error))]),
    ("pseudo-likelihood", "nats a case", &[("", |line| line.report.as_ref()?.pseudo_likelihood)]),
    (
        "free energy of training cases",
        "nats",
        &[("", |line| Some(line.report.as_ref()?.free_energy))],
    ),
    (
        "free energy, validation − training",
        "nats",
        &[("", |line| line.report.as_ref()?.free_energy_gap)],
    ),
    (
        "loss",
        "nats; of a target squared error",
        &[("training", |line| line.train_loss), ("validation", |line| line.validation_loss)],
    ),
    ("validation error", "%", &[("", |line| line.validation_error)]),
    ("validation RMSE", "", &[("", |line| line.validation_rmse)]),
    ("validation squared error", "", &[("", |line| line.validation_squared_error)]),
];

/// Draws the learning curves of a whole training from the lines of `metrics`: `learning.png` in `dir`, a panel for each quantity that
/// there is. Nothing is drawn where nothing was learned.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn learning(dir: impl AsRef<Path>, metrics: &str) -> Result<()> {
    let dir = dir.as_ref();
    let lines = lines(metrics);
    let panels = panels(|measured, cases| {
        let name = |stage: StageKind, _| match cases {
            "" => stage.to_string(),
            cases => format!("{stage}, {cases}"),
        };
        curves(&lines, measured, name)
    });
    match panels.is_empty() {
        true => Ok(()),
        false => charts::learning(&dir.join(LEARNING), panels),
    }
}

/// Draws the learning curves of several trainings in one picture: `runs` has the name and the `metrics` of each. Nothing is drawn
/// where nothing was learned; whether it was.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn comparison(path: impl AsRef<Path>, runs: &[(&str, &str)]) -> Result<bool> {
    let path = path.as_ref();
    let runs: Vec<_> = runs.iter().map(|(run, metrics)| (*run, lines(metrics))).collect();
    let panels = panels(|measured, cases| {
        let of = runs.iter().flat_map(|(run, lines)| {
            // The stages of a run have its colour, and stand in the legend once.
            let name = |_: StageKind, is_first| match (is_first, cases) {
                (false, _) => String::new(),
                (true, "") => (*run).to_owned(),
                (true, cases) => format!("{run}, {cases}"),
            };
            curves(lines, measured, name)
        });
        of.collect()
    });
    let is_drawn = !panels.is_empty();
    if is_drawn {
        charts::learning(path, panels)?;
    }
    Ok(is_drawn)
}

/// The last number of every learning curve in `metrics`: its name with the stage, its unit, and the number.
pub fn last(metrics: &str) -> Vec<(String, &'static str, f64)> {
    let lines = lines(metrics);
    let keys = CURVES.iter().flat_map(|(name, unit, keys)| {
        keys.iter().map(move |(cases, measured)| (*name, *unit, *cases, *measured))
    });
    let found = keys.filter_map(|(name, unit, cases, measured)| {
        let (line, value) = lines.iter().rev().find_map(|line| Some((line, measured(line)?)))?;
        let stage = &line.stage;
        let space = if cases.is_empty() { "" } else { " " };
        Some((format!("{cases}{space}{name} of {stage}"), unit, value))
    });
    found.collect()
}

/// The lines of `metrics` that can be read: the last one may be half written.
pub fn lines(metrics: &str) -> Vec<EpochMetrics> {
    metrics.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A panel for each quantity of which there are curves, by what they show and the kind of cases.
fn panels(curves: impl Fn(Metric, &str) -> Vec<Series>) -> Vec<(String, Vec<Series>)> {
    let panels = CURVES.iter().map(|(name, unit, keys)| {
        let title = if unit.is_empty() { (*name).to_owned() } else { format!("{name} ({unit})") };
        (
            title,
            keys.iter().flat_map(|(cases, measured)| curves(*measured, cases)).collect::<Vec<_>>(),
        )
    });
    panels.filter(|(_, series)| !series.is_empty()).collect()
}

/// What was `measured` over the epochs of the whole training, a series for each stage, named by its stage and whether it is the first.
fn curves(
    lines: &[EpochMetrics],
    measured: Metric,
    name: impl Fn(StageKind, bool) -> String,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    let mut stage = None;
    for (epoch, line) in (1..).map(f64::from).zip(lines) {
        let Some(value) = measured(line) else { continue };
        if stage != Some(line.stage) {
            let name = name(line.stage, series.is_empty());
            series.push(Series::new(name, Mark::Line, Vec::new()));
            stage = Some(line.stage);
        }
        series.iter_mut().last().into_iter().for_each(|last| last.points.push((epoch, value)));
    }
    series
}

/// Draws how probable swaps were along the ladder of every layer that was learned by tempering, in its first epoch, its last
/// and one between, from the lines of `metrics`: `acceptance.png`, `acceptance_2.png`, … in `dir`.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn acceptance(dir: impl AsRef<Path>, metrics: &str) -> Result<()> {
    let dir = dir.as_ref();
    for (layer, mut rows) in by_layer(metrics, |line| line.mixing?.swap_acceptance) {
        rows.retain(|(_, gaps)| !gaps.is_empty());
        let mut shown = vec![0, rows.len() / 2, rows.len().saturating_sub(1)];
        shown.dedup();
        let rows: Vec<_> = shown.into_iter().filter_map(|i| rows.get(i).cloned()).collect();
        if !rows.is_empty() {
            let title = format!("Swaps along the ladder, layer {layer}");
            charts::acceptance_by_epoch(&file(dir, "acceptance", layer), &title, &rows)?;
        }
    }
    Ok(())
}

/// For every layer its number, and the epochs that have these `numbers` with them.
fn by_layer(
    metrics: &str,
    numbers: fn(EpochMetrics) -> Option<Vec<f64>>,
) -> BTreeMap<usize, Vec<(usize, Vec<f64>)>> {
    let mut layers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in lines(metrics) {
        let (StageKind::Layer(layer), epoch) = (line.stage, line.epoch) else { continue };
        if let Some(numbers) = numbers(line) {
            layers.entry(layer + 1).or_default().push((epoch, numbers));
        }
    }
    layers
}

/// `NAME.png` for the lowest layer, `NAME_2.png`, … for the others.
fn file(dir: &Path, name: &str, layer: usize) -> PathBuf {
    match layer {
        1 => dir.join(format!("{name}.png")),
        _ => dir.join(format!("{name}_{layer}.png")),
    }
}

/// Draws the two estimates of the log-likelihood against the number of inverse temperatures: those of `found`, and anew
/// with a tenth and a hundredth of them, backwards from the equilibrium `samples`. `cases` are prepared by the model.
///
/// # Errors
///
/// Without a forward estimate.
pub fn estimates(
    path: impl AsRef<Path>,
    model: &Model,
    cases: &View,
    options: &AisOptions,
    found: &Likelihood,
    samples: Option<&Tensor>,
) -> Result<()> {
    let path = path.as_ref();
    let rbm = model.dbn.top();
    let along = likelihood::path(model, cases)?;
    let whole = found.forward.ok_or_else(|| {
        Error::invalid("the chart of the likelihood", "a forward estimate", "none")
    })?;
    let mut rng = Rng::new(options.seed).split(0xC047);
    let mut rows = Vec::new();
    for count in [options.betas / 100, options.betas / 10].into_iter().filter(|n| *n >= 2) {
        let forward = Annealing::forward(
            rbm,
            along.clone(),
            betas_along(&along, count),
            options.chains,
            &mut rng,
        )?;
        let reverse = match samples {
            Some(samples) => Some(Annealing::reverse(
                rbm,
                along.clone(),
                betas_along(&along, count),
                samples.clone(),
            )?),
            None => None,
        };
        let mut annealed = |mut annealing: Annealing| {
            while !annealing.is_done() {
                annealing.step(rbm, &mut rng)?;
            }
            Ok::<_, Error>(side(whole.with(annealing.log_partition(rbm)?)))
        };
        let (forward, reverse) = (annealed(forward)?, reverse.map(annealed).transpose()?);
        rows.push(Convergence { betas: count, forward, reverse });
    }
    let (forward, reverse) = (side(whole), found.reverse.map(side));
    rows.push(Convergence { betas: options.betas, forward, reverse });
    let exact = found.exact.map(|exact| exact.log_likelihood);
    charts::estimates(path, &rows, exact, model.dbn.depth() > 1)
}

/// The mean log p(v) and its error, as a chart shows them.
fn side(value: likelihood::Value) -> (f64, f64) {
    (value.log_likelihood, value.log_partition.error)
}
