//! Data as Boltzmann machines learn them: which units they are for, and cases as configurations of these.

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::{DType, Device, Tensor};
use candle_dbn::Examples;
use candle_dbn::data::{
    self, Binarise, Dataset, Missing, ReadOptions, Standardise, check_units, check_width,
};
use candle_dbn::network::labels::label_codes;
use candle_dbn::recipe::VisibleKind;
use candle_dbn::store::table::TableLayout;
use rbm_core::learning::trainer::Pass;
use rbm_core::ops::device::to_host;
use rbm_core::units::{Support, Variance};
use rbm_core::{Rows, Units, rows};

use crate::{inputs, output};

/// Zeros and ones are made of grey values so.
pub const CUT: f32 = 0.5;
/// What is said of that.
pub const CUT_NOTE: &str = "values above 0.5 are taken as 1, the others as 0";
/// Cases are drawn so for a machine that learned from zeros and ones drawn anew at every turn.
pub const DRAWN_ONCE: Binarise = Binarise::Sample(0);
/// Numbers farther from the mean than so many deviations have energies that single precision does not tell from each other.
const LARGEST_DEVIATION: f64 = 1e5;

/// The cases as learning takes them: configurations of these units, or the probabilities with which it draws them; `read` from `source`.
pub fn learned(
    part: &Examples,
    units: &Units,
    pass: Pass,
    standardise: Option<&Standardise>,
    (source, read): (&str, &ReadOptions),
) -> Result<Tensor> {
    let configurations = configurations(part, units, standardise, source)?;
    let (Pass::Sample, Units::Bernoulli { .. }) = (pass, units) else {
        warn_of_one_case(&configurations)?;
        return Ok(configurations);
    };
    // What cannot be drawn once for its likelihood is not to be learned.
    inputs::load_numbers(source, &ReadOptions { binarise: Some(DRAWN_ONCE), ..read.clone() })
        .context("data.pass=sample")?;
    if !differ(&configurations, &part.cases)? {
        output::note("data.pass=sample: all values are 0 or 1, so nothing is drawn");
    }
    Ok(part.cases.tensor()?)
}

/// Says so where all cases are the same.
fn warn_of_one_case(cases: &Tensor) -> Result<()> {
    let (first, count) = (cases.narrow(0, 0, 1)?, cases.dim(0)?);
    for row in 1..count {
        let difference = (cases.narrow(0, row, 1)? - &first)?.abs()?.max_all()?;
        if difference.to_scalar::<f32>()? != 0.0 {
            return Ok(());
        }
    }
    output::note(match count {
        1 => "warning: there is one case alone: nothing follows from it".to_owned(),
        count => format!("warning: all {count} cases are the same: nothing follows from one"),
    });
    Ok(())
}

/// What brings the measurements of a machine's cases to mean 0 and deviation 1, where it has units for such.
pub fn standardise_of(table: &TableLayout) -> Result<Option<Standardise>> {
    Ok(table.moments.as_ref().map(|moments| moments.standardise()).transpose()?)
}

/// Whether some of the units are for measurements.
pub fn has_measurements(units: &Units) -> bool {
    units.groups().iter().any(|(_, units)| matches!(units, Units::Gaussian { .. }))
}

/// How many units there are, a category being one.
pub fn count_of(units: &Units) -> Result<usize> {
    let layer = units.build(DType::F32, &Device::Cpu)?;
    Ok(layer.support().iter().map(Support::count).sum())
}

/// Whether some of the units may be any number.
pub fn is_unbounded(units: &Units) -> bool {
    let is_so = |units: &Units| matches!(units, Units::Gaussian { .. } | Units::Relu { .. });
    units.groups().iter().any(|(_, units)| is_so(units))
}

/// The cases as configurations of these units: of Bernoulli units 1 above ½; measurements are standardised. Errors for other values, and for
/// another width.
pub fn configurations(
    part: &Examples,
    units: &Units,
    standardise: Option<&Standardise>,
    source: &str,
) -> Result<Tensor> {
    check_width(part.width(), units).with_context(|| source.to_owned())?;
    ensure!(
        !part.cases.has_missing()?,
        "{source}: values are missing: a Boltzmann machine needs all of them"
    );
    let cases = part.cases.tensor()?;
    if let Units::Bernoulli { .. } = units {
        let (low, high) = (cases.min_all()?, cases.max_all()?);
        let (low, high) = (low.to_scalar::<f32>()?, high.to_scalar::<f32>()?);
        ensure!(
            low >= 0.0 && high <= 1.0,
            "{source}: expected values from 0 to 1 of Bernoulli units, found {low} to {high} (--scale and --binarise bring others there)"
        );
        return Ok(cases.gt(f64::from(CUT))?.to_dtype(cases.dtype())?);
    }
    let cases = match standardise {
        Some(standardise) => standardise.apply(&cases)?,
        None => cases,
    };
    if is_unbounded(units) {
        check_units(source, part, units)?;
        check_size(&cases, source)?;
    }
    let nearest = units.nearest(&cases)?;
    let distance = to_host(&(nearest - &cases)?.abs()?.max(1)?)?.to_vec1::<f64>()?;
    if let Some(at) = distance.iter().position(|distance| *distance > 1e-6 || distance.is_nan()) {
        return Err(anyhow!(
            "{source}: expected configurations of {} units, found other values in case {}",
            units.kind(),
            at + 1
        ));
    }
    Ok(cases)
}

/// `cases` `(n, visible)`, which are those of `part`, and beside them a one for the class of each.
pub fn with_labels(
    cases: &Tensor,
    part: &Examples,
    classes: usize,
    source: &str,
) -> Result<Tensor> {
    let labels = part.labels.as_ref();
    let labels = labels.with_context(|| format!("{source}: expected labels, found none"))?;
    let codes = label_codes(labels, classes, cases.dtype(), cases.device())?;
    Ok(Tensor::cat(&[cases, &codes], 1)?)
}

/// Reads numbers that a machine learns from: every one of them must be there.
pub fn load_whole(source: &str, read: &ReadOptions) -> Result<Dataset> {
    if read.missing() != Missing::Refuse {
        return Err(output::Usage::of(anyhow!(
            "--missing: a Boltzmann machine needs every value (--drop leaves columns out; a network, without --model, learns from the others)"
        )));
    }
    inputs::load_numbers(source, read)
}

/// The data that a machine learns, and whether its units are those of the columns: so it is of a table whose values are more than zeros and
/// ones, unless the user names the `kind` of units.
pub fn load(kind: &VisibleKind, source: &str, read: &ReadOptions) -> Result<(Dataset, bool)> {
    let dataset = load_whole(source, read)?;
    let is_table = dataset.columns.is_some() && dataset.alphabet.is_none();
    let is_asked = !(read.categories.is_empty() && read.numbers.is_empty());
    if let (Some(columns), VisibleKind::Of(Units::Gaussian { .. } | Units::Relu { .. })) =
        (&dataset.columns, kind)
        && columns.0.iter().any(|column| !column.holds.states().is_empty())
    {
        output::note(format!(
            "warning: the states of categories are learned as {kind} units: without --visible units are as the columns are"
        ));
    }
    if *kind != VisibleKind::Auto || !is_table || !(is_asked || has_measured(&dataset)?) {
        return Ok((dataset, false));
    }
    let found = inputs::load_kinds(source, read)?;
    if found.columns != dataset.columns
        && let Some(columns) = &found.columns
    {
        output::note(format!("{}: {}", source, columns.description()));
    }
    found.notes.iter().filter(|note| note.starts_with("warning")).for_each(output::note);
    Ok((found, true))
}

/// Whether some values are neither between 0 and 1 nor all of them −1 and 1.
fn has_measured(dataset: &Dataset) -> Result<bool> {
    let values = dataset.train.cases.tensor()?.flatten_all()?.to_vec1::<f32>()?;
    let is_spin = values.iter().all(|x| x.abs() == 1.0);
    Ok(!is_spin && values.iter().any(|x| !(0.0..=1.0).contains(x)))
}

/// The kind that the user names, or that the columns or the values have.
pub fn visible_units(
    kind: &VisibleKind,
    (dataset, is_by_columns): (&Dataset, bool),
    pass: Pass,
    source: &str,
) -> Result<Units> {
    let width = dataset.train.width();
    match kind {
        VisibleKind::Auto => {}
        VisibleKind::OneHot => return Ok(data::one_hot_units(source, &[&dataset.train])?),
        VisibleKind::Of(units) => return units.with_width(width).map_err(output::Usage::of),
    }
    if let Some(alphabet) = &dataset.alphabet {
        let states = alphabet.states();
        return Ok(Units::Potts { sites: width / states.max(1), states });
    }
    if let (Some(columns), true) = (&dataset.columns, is_by_columns) {
        let units = with_precisions(columns.units());
        let scaled = match has_measurements(&units) {
            true => ", measurements brought to mean 0 and deviation 1",
            false => "",
        };
        output::note(format!(
            "units as the columns are{scaled}: {units} (--visible decides otherwise)"
        ));
        return Ok(units);
    }
    let values = dataset.train.cases.tensor()?.flatten_all()?.to_vec1::<f32>()?;
    if values.iter().all(|x| x.abs() == 1.0) && values.contains(&-1.0) {
        return Ok(Units::Spin { size: width });
    }
    ensure!(
        values.iter().all(|x| (0.0..=1.0).contains(x)),
        "{source}: values outside [0, 1]: expected zeros and ones, −1 and 1, or an alignment (--scale and --binarise bring others there; --visible gaussian-learned learns measurements)"
    );
    if pass == Pass::Mean && values.iter().any(|x| *x != 0.0 && *x != 1.0) {
        output::note(CUT_NOTE);
    }
    Ok(Units::Bernoulli { size: width })
}

/// Units for measurements with precisions that are learned: that of one grows as others come to tell what it is.
fn with_precisions(units: Units) -> Units {
    match units {
        Units::Gaussian { size, .. } => Units::Gaussian { size, variance: Variance::Learned },
        Units::Concat { groups } => {
            Units::Concat { groups: groups.into_iter().map(with_precisions).collect() }
        }
        other => other,
    }
}

/// Errors for the first case with a number so far out that its energy means nothing in single precision.
fn check_size(cases: &Tensor, source: &str) -> Result<()> {
    let largest = to_host(&cases.abs()?.max(1)?)?.to_vec1::<f64>()?;
    match largest.iter().position(|x| x.is_nan() || *x > LARGEST_DEVIATION) {
        None => Ok(()),
        Some(at) => Err(anyhow!(
            "{source}: expected numbers at most {LARGEST_DEVIATION:e} deviations from the mean, found {:e} in case {}",
            largest[at],
            at + 1
        )),
    }
}

/// Whether any number of two tables of as many cases differs. Where one does, no more are read than the cases around it.
pub fn differ(a: &dyn Rows, b: &dyn Rows) -> Result<bool> {
    for (a, b) in rows::blocks(a).zip(rows::blocks(b)) {
        if a?.ne(&b?)?.max_all()?.to_scalar::<u8>()? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
