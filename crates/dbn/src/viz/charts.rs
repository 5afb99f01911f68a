//! Charts that trainings and evaluations leave behind.

use std::path::Path;

use rbm_core::Result;

use super::plot::{Mark, Plot, Series};

/// The most columns of a histogram.
const BINS: usize = 60;

/// The columns of a histogram in which a group of `count` cases is no comb: twice the cube root of it (the rule of Rice).
fn bins(count: usize) -> usize {
    ((2.0 * (count as f64).cbrt()).ceil() as usize).clamp(1, BINS)
}

/// Free energies of groups of cases, as histograms over each other: a machine that overfits gives its training cases
/// lower ones than others (Practical Guide §6), and samples of a machine that has learned look like either.
///
/// # Errors
///
/// Where no group has a case.
pub fn free_energies(
    path: impl AsRef<Path>,
    title: &str,
    groups: &[(&str, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let all = groups.iter().flat_map(|(_, values)| values).filter(|x| x.is_finite());
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
    // All groups have the columns of the smallest.
    let least = groups.iter().map(|(_, values)| values.len()).filter(|count| *count > 0).min();
    let bins = bins(least.unwrap_or(0));
    let width = ((high - low) / bins as f64).max(f64::MIN_POSITIVE);
    let histogram = |values: &[f64]| -> Vec<(f64, f64)> {
        let mut counts = vec![0usize; bins];
        for x in values.iter().filter(|x| x.is_finite()) {
            counts[(((x - low) / width) as usize).min(bins - 1)] += 1;
        }
        let share = |count: usize| 100.0 * count as f64 / values.len().max(1) as f64;
        let middle = |i: usize| low + (i as f64 + 0.5) * width;
        counts.iter().enumerate().map(|(i, count)| (middle(i), share(*count))).collect()
    };
    let series = groups.iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let name = format!("{name}: {} cases, mean {mean:.1}", values.len());
        Series::new(name, Mark::Steps, histogram(values))
    });
    Plot {
        title: title.into(),
        x: "free energy (nats)".into(),
        y: "share of the cases (%)".into(),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// What both directions of annealing say with so many inverse temperatures.
#[derive(Debug, Clone, Copy)]
pub struct Convergence {
    /// Inverse temperatures.
    pub betas: usize,
    /// Mean log p(v) by annealing forwards, and its standard error, nats.
    pub forward: (f64, f64),
    /// The same backwards.
    pub reverse: Option<(f64, f64)>,
}

/// The estimates of the log-likelihood, or of a lower bound on it, against the number of inverse temperatures: the two sides must meet.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn estimates(
    path: impl AsRef<Path>,
    rows: &[Convergence],
    exact: Option<f64>,
    is_bound: bool,
) -> Result<()> {
    let path = path.as_ref();
    let series = |name: &str, of: &dyn Fn(&Convergence) -> Option<(f64, f64)>| {
        let found = rows.iter().filter_map(|row| Some((row.betas as f64, of(row)?)));
        let (points, errors) = found.map(|(x, (y, error))| ((x, y), error)).unzip();
        Series { name: name.into(), mark: Mark::Points, points, errors }
    };
    let mut all = vec![
        series("forward annealing (too high, if anything)", &|row| Some(row.forward)),
        series("reverse annealing (too low, if anything)", &|row| row.reverse),
    ];
    if let Some(exact) = exact {
        let line = rows.iter().map(|row| (row.betas as f64, exact)).collect();
        all.push(Series::new("exact", Mark::Line, line));
    }
    all.retain(|series| !series.points.is_empty());
    Plot {
        title: match is_bound {
            false => "Log-likelihood from both sides".into(),
            true => "A lower bound on the log-likelihood, from both sides of log Z".into(),
        },
        x: "inverse temperatures".into(),
        y: match is_bound {
            false => "mean log p(v) (nats a case)".into(),
            true => "lower bound on the mean log p(v) (nats a case)".into(),
        },
        is_log_x: true,
        series: all,
        ..Plot::default()
    }
    .write(path)
}

/// The largest singular values of W against epochs: `rows` has an epoch and its values, the largest first. Each that leaves
/// the bulk is something learned (Decelle, Fissore, Furtlehner 2017).
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn singular_values(
    path: impl AsRef<Path>,
    title: &str,
    rows: &[(f64, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let count = rows.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
    let nth = |n: usize| rows.iter().map(|(epoch, values)| (*epoch, values[n])).collect();
    let series = (0..count).map(|n| Series::new("", Mark::Line, nth(n)));
    Plot {
        title: title.into(),
        x: "epoch".into(),
        y: "singular value of W".into(),
        y_range: Some((0.0, 0.0)),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// Learning curves, a panel each: what is shown, with its unit, and a series for each stage or kind of cases, its points over the
/// epochs of the whole training.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn learning(path: impl AsRef<Path>, panels: Vec<(String, Vec<Series>)>) -> Result<()> {
    let path = path.as_ref();
    let panel = |(y, series): (String, Vec<Series>)| Plot {
        x: "epoch of the training".into(),
        y,
        series,
        ..Plot::default()
    };
    Plot::write_panels(path, &panels.into_iter().map(panel).collect::<Vec<_>>())
}

/// How probable swaps are over each gap of a ladder of inverse temperatures.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn acceptance(path: impl AsRef<Path>, ladder: &[f64], acceptance: &[f64]) -> Result<()> {
    let path = path.as_ref();
    let middles = ladder.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let points = middles.zip(acceptance.iter().copied()).collect();
    let title = format!("Swaps along the ladder of {} inverse temperatures", ladder.len());
    let x = "inverse temperature β (each point in the middle of a gap)";
    swaps(path, title, x, vec![Series::new("", Mark::Points, points)])
}

/// How probable swaps were over each gap of a training's ladder, from its bottom up: `rows` has an epoch and its gaps.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn acceptance_by_epoch(
    path: impl AsRef<Path>,
    title: &str,
    rows: &[(usize, Vec<f64>)],
) -> Result<()> {
    let path = path.as_ref();
    let series = rows.iter().map(|(epoch, gaps)| {
        let points = (1..).map(f64::from).zip(gaps.iter().copied()).collect();
        Series::new(format!("epoch {epoch}"), Mark::Points, points)
    });
    swaps(path, title.into(), "gap of the ladder, from its bottom up", series.collect())
}

fn swaps(path: &Path, title: String, x: &str, series: Vec<Series>) -> Result<()> {
    let y_range = Some((0.0, 1.0));
    Plot { title, x: x.into(), y: "acceptance".into(), is_log_x: false, y_range, series }
        .write(path)
}

/// Codes of two numbers, a dot for each case in the colour of its group.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn codes(path: impl AsRef<Path>, groups: &[(String, Vec<(f64, f64)>)]) -> Result<()> {
    let path = path.as_ref();
    let count: usize = groups.iter().map(|(_, codes)| codes.len()).sum();
    let series = groups.iter().map(|(name, codes)| Series::new(name, Mark::Dots, codes.clone()));
    Plot {
        title: format!("Codes of {count} cases"),
        x: "first number of the code".into(),
        y: "second number of the code".into(),
        series: series.collect(),
        ..Plot::default()
    }
    .write(path)
}

/// How pairs vary together in data and in samples, a dot for each, and the line on which both are the same.
///
/// # Errors
///
/// Where the picture would be too large, and where the file cannot be written.
pub fn correlations(path: impl AsRef<Path>, what: &str, pairs: Vec<(f64, f64)>) -> Result<()> {
    let path = path.as_ref();
    let ends =
        pairs.iter().fold((0.0f64, 0.0f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let same = vec![(ends.0, ends.0), (ends.1, ends.1)];
    Plot {
        title: "What varies together".into(),
        x: "C_ij of the data".into(),
        y: "C_ij of samples".into(),
        series: vec![
            Series::new(what, Mark::Dots, pairs),
            Series::new("the same in both", Mark::Line, same),
        ],
        ..Plot::default()
    }
    .write(path)
}
