//! Where a machine that learns begins. A deep one may begin at a restricted one that has learned. Else the biases of what is observed are those
//! of the data's means, and where measurements are coupled with each other, their couplings are those of the normal distribution with the data's
//! own means and covariances.
//!
//! The couplings of Gaussian units are off the diagonal of the inverse of the covariances of all columns, below zero, and their precisions are its
//! diagonal. That is what is most probable of measurements alone, and beside one category, where measurements are normal given it. Couplings of
//! categories with each other begin at 0.

use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rbm_core::model::init::moments_of_weighted_blocks;
use rbm_core::model::{Coupling, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::rows::{self, BLOCK};
use rbm_core::units::{States, Support, first_columns};
use rbm_core::{Error, Layer, Rbm, Result, Rng, Rows, Units, ops};

use crate::couplings::Couplings;
use crate::shape::Shape;

/// How many times as large as its variance given all others the variance of a column may be. Where one is larger it nearly follows from the
/// others: single precision does not hold the energies. The least of these parts of its variance is then added to that of each column.
const MOST_INFLATION: f64 = 1e4;
const RIDGES: [f64; 5] = [0.0, 1e-6, 1e-5, 1e-4, 1e-3];
/// The standard deviation of first weights of a machine that is not deep.
const SMALL: f64 = 0.01;
/// The standard deviation of couplings above a machine that has learned.
const BARELY: f64 = 0.001;
/// The most columns whose eigenvalues are found.
const MOST_EIGENVALUES: usize = 512;
/// The most times that couplings are halved until they make a distribution.
const HALVINGS: usize = 60;

/// Gives what is observed the biases of the moments of `cases` `(n, observed)`, which count by `weights`, and couples measurements as these are.
///
/// # Errors
///
/// When the cases cannot be read, or a parameter cannot be set.
pub(crate) fn fit_observed(
    machine: &Machine,
    shape: &Shape,
    cases: &dyn Rows,
    weights: Option<&[f32]>,
) -> Result<()> {
    let (mean, variance) = moments_of_weighted_blocks(|| weighted_blocks(cases, weights))?;
    for (layer, columns) in machine.layers().into_iter().take(shape.observed_layers()) {
        let of = |x: &Tensor| x.narrow(0, columns.start, columns.len());
        layer.fit_moments(&of(&mean)?, &of(&variance)?)?;
    }
    couple_measurements(machine, cases, weights)
}

/// Draws the weights between layers.
///
/// # Errors
///
/// When memory is short.
pub(crate) fn draw_weights(machine: &Machine, shape: &Shape, rng: &mut Rng) -> Result<()> {
    let is_unbounded = |layer: usize| -> Result<bool> {
        let tails = machine.layers()[layer].0.tails()?;
        Ok(tails.iter().any(|tail| tail.precision.is_finite()))
    };
    for coupling in machine.couplings() {
        let Coupling::Dense { weights, layers } = coupling else { continue };
        let scale = match shape.hidden.len() {
            ..2 => SMALL,
            // Strong weights between units without bounds make no distribution.
            _ if is_unbounded(layers[0])? && is_unbounded(layers[1])? => SMALL,
            // Upper layers that begin near zero have next to no inputs, and stay there for long.
            _ => 1.0 / (weights.dim(0)?.max(1) as f64).sqrt(),
        };
        let normal = ops::normal(weights.shape().clone(), DType::F32, &Device::Cpu, rng)?;
        weights.set(&(normal * scale)?)?;
    }
    Ok(())
}

/// Sets the two lowest layers of a deep `machine` to the restricted machine `lowest`, and what is above to almost nothing.
///
/// # Errors
///
/// Unless the units are those of `lowest`, which are coupled with each other alone.
pub(crate) fn begin_at(
    machine: &Machine,
    shape: &Shape,
    lowest: &Rbm,
    rng: &mut Rng,
) -> Result<()> {
    let [visible, hidden] = [lowest.visible(), lowest.hidden()].map(|layer| layer.units());
    let own = [Some(&shape.visible), shape.hidden.first()];
    if own != [Some(&visible), Some(&hidden)] || shape.couplings != Couplings::None {
        let text = |units: Option<&Units>| units.map_or("none".to_owned(), Units::to_string);
        let expected = format!("{visible} below {hidden}, coupled with each other alone");
        let found =
            format!("{} below {}, couplings {:?}", text(own[0]), text(own[1]), shape.couplings);
        return Err(Error::invalid("where a deep machine begins", expected, found));
    }
    let places = shape.places();
    for (place, learned) in places.into_iter().zip([lowest.visible(), lowest.hidden()]) {
        let (layer, _) = machine.layers()[place];
        for ((_, var), (_, learned)) in layer.vars().into_iter().zip(learned.vars()) {
            var.set(&learned.as_detached_tensor())?;
        }
    }
    for (k, coupling) in machine.couplings().iter().enumerate() {
        let weights = coupling.weights();
        let learned = match k {
            0 => lowest.weights().as_detached_tensor(),
            _ => (ops::normal(weights.shape().clone(), DType::F32, &Device::Cpu, rng)? * BARELY)?,
        };
        weights.set(&learned.contiguous()?)?;
    }
    Ok(())
}

/// Sets couplings, precisions and biases of the visible layer of `machine`, the first one, where these are measurements with precisions of their
/// own, by `cases` `(n, visible)` that count by `weights`. Others stay as they are.
fn couple_measurements(machine: &Machine, cases: &dyn Rows, weights: Option<&[f32]>) -> Result<()> {
    let layers = machine.layers();
    let Some((layer, columns)) = layers.first() else { return Ok(()) };
    let (layer, width) = (*layer, columns.len());
    let lateral = machine.couplings().iter().find_map(|coupling| match coupling {
        Coupling::Lateral { layer: 0, weights } => Some(weights),
        _ => None,
    });
    let support = layer.support();
    let is_real: Vec<bool> = support.iter().flat_map(is_real_each).collect();
    let learned: usize = layer
        .vars()
        .iter()
        .filter(|(name, _)| is_precision(name))
        .map(|(_, v)| v.elem_count())
        .sum();
    let reals = is_real.iter().filter(|is_real| **is_real).count();
    let (Some(lateral), true) = (lateral, reals > 0 && learned == reals) else { return Ok(()) };
    let (mean, covariance) = moments(cases, weights, width)?;
    let units = first_columns(&support);
    let kept = informative(&covariance, &units, &is_real);
    let Some((inverse, _)) = inverse_of(&covariance, &kept) else { return Ok(()) };
    let mut couplings = DMatrix::zeros(width, width);
    for (a, i) in kept.iter().enumerate() {
        for (b, j) in kept.iter().enumerate() {
            if units[*i] != units[*j] && (is_real[*i] || is_real[*j]) {
                couplings[(*i, *j)] = -inverse[(a, b)];
            }
        }
    }
    centre_categories(&mut couplings, &units, &is_real);
    let vector = |x: &[f64], like: &Tensor| -> Result<Tensor> {
        Ok(Tensor::from_slice(x, like.dims(), &Device::Cpu)?.to_dtype(like.dtype())?)
    };
    let mut at = is_real.iter().enumerate().filter(|(_, is_real)| **is_real).map(|(i, _)| i);
    for (name, var) in layer.vars() {
        if is_precision(&name) {
            let now = to_host(&var.as_detached_tensor())?.to_vec1::<f64>()?;
            let of = now.into_iter().zip(at.by_ref()).map(|(now, i)| {
                kept.iter().position(|kept| *kept == i).map_or(now, |a| inverse[(a, a)])
            });
            var.set(&vector(&of.collect::<Vec<_>>(), var)?)?;
        }
    }
    if let Some(mask) = machine.mask(0) {
        let mask = to_host(mask)?.flatten_all()?.to_vec1::<f64>()?;
        couplings.component_mul_assign(&DMatrix::from_row_slice(width, width, &mask));
    }
    // Where not all may be coupled, what is left of the inverse need not be one.
    for _ in 0..HALVINGS {
        let by_rows: Vec<f64> = couplings.transpose().iter().copied().collect();
        lateral.set(&vector(&by_rows, lateral)?)?;
        if is_distribution(layer, &couplings, &is_real)? {
            break;
        }
        couplings *= 0.5;
    }
    set_biases(layer, &support, (&mean, &couplings, &is_real))
}

/// What is peculiar about columns, and how far they vary together.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFindings {
    /// The largest variance that a sum of the columns has whose coefficients are of length 1; of many columns a number above it. The curvature of
    /// log p is its square, and learning rates are below its inverse.
    pub largest_variance: f64,
    /// Those that are the same in every case.
    pub constant: Vec<usize>,
    /// Those that nearly follow from others.
    pub dependent: Vec<usize>,
    /// The part of its variance that is added to that of each column then; 0 where none follows.
    pub ridge: f64,
}

/// Looks at the columns of `cases` `(n, width)`, which are for `units`: how far they vary together, and which measurements among them are constant or
/// nearly follow from others.
///
/// # Errors
///
/// When the cases cannot be read, or do not have the width of the units.
pub fn column_findings(units: &Units, cases: &dyn Rows) -> Result<ColumnFindings> {
    let support = units.build(DType::F32, &Device::Cpu)?.support();
    let is_real: Vec<bool> = support.iter().flat_map(is_real_each).collect();
    let (_, covariance) = moments(cases, None, is_real.len())?;
    let kept = informative(&covariance, &first_columns(&support), &is_real);
    let constant = (0..is_real.len()).filter(|j| is_real[*j] && covariance[(*j, *j)] <= 0.0);
    let largest_variance = match covariance.nrows() <= MOST_EIGENVALUES {
        true => covariance.symmetric_eigenvalues().max(),
        false => covariance.norm(),
    };
    let mut found = ColumnFindings {
        largest_variance,
        constant: constant.collect(),
        dependent: Vec::new(),
        ridge: 0.0,
    };
    let Some((inverse, ridge)) = inverse_of(&covariance, &kept) else { return Ok(found) };
    if ridge > 0.0 {
        found.ridge = ridge;
        // With a ridge, the inflation of what follows from others is at its limit.
        let inflation = |a: usize| inverse[(a, a)] * covariance[(kept[a], kept[a])];
        let largest = (0..kept.len()).map(inflation).fold(0.0, f64::max);
        let is_far = |a: &usize| is_real[kept[*a]] && inflation(*a) > 0.01 * largest;
        found.dependent = (0..kept.len()).filter(is_far).map(|a| kept[a]).collect();
    }
    Ok(found)
}

/// The columns that say something of their own: those that vary, but for the last state of each category, which follows from the others.
fn informative(covariance: &DMatrix<f64>, units: &[usize], is_real: &[bool]) -> Vec<usize> {
    let is_last = |j: usize| !is_real[j] && units.get(j + 1) != Some(&units[j]) && units[j] != j;
    (0..units.len()).filter(|j| covariance[(*j, *j)] > 0.0 && !is_last(*j)).collect()
}

/// The inverse of the covariances of the columns `kept`, and the ridge that they have where a column nearly follows from the others.
fn inverse_of(covariance: &DMatrix<f64>, kept: &[usize]) -> Option<(DMatrix<f64>, f64)> {
    let of_kept = |ridge: f64| {
        DMatrix::from_fn(kept.len(), kept.len(), |a, b| {
            let found = covariance[(kept[a], kept[b])];
            if a == b { found * (1.0 + ridge) } else { found }
        })
    };
    // Symmetric to the bit, as couplings are.
    let symmetric = |inverse: DMatrix<f64>| 0.5 * (&inverse + inverse.transpose());
    let inverted = |ridge: f64| of_kept(ridge).cholesky().map(|factor| symmetric(factor.inverse()));
    let is_held = |inverse: &DMatrix<f64>| {
        let each = kept.iter().enumerate();
        each.map(|(a, i)| inverse[(a, a)] * covariance[(*i, *i)]).all(|x| x <= MOST_INFLATION)
    };
    RIDGES.into_iter().find_map(|ridge| Some((inverted(ridge).filter(is_held)?, ridge)))
}

/// Couplings of the states of a category that sum to 0: what all states of it share is a bias of the other column.
fn centre_categories(couplings: &mut DMatrix<f64>, units: &[usize], is_real: &[bool]) {
    let width = units.len();
    for first in (0..width).filter(|j| units[*j] == *j && !is_real[*j]) {
        let states: Vec<usize> = (first..width).take_while(|j| units[*j] == first).collect();
        if states.len() < 2 {
            continue;
        }
        for i in (0..width).filter(|i| is_real[*i]) {
            let mean = states.iter().map(|j| couplings[(i, *j)]).sum::<f64>() / states.len() as f64;
            for j in &states {
                couplings[(i, *j)] -= mean;
                couplings[(*j, i)] = couplings[(i, *j)];
            }
        }
    }
}

fn is_precision(name: &str) -> bool {
    name == "precision" || name.ends_with(".precision")
}

/// Whether these couplings of measurements with each other leave a distribution.
fn is_distribution(layer: &dyn Layer, couplings: &DMatrix<f64>, is_real: &[bool]) -> Result<bool> {
    Ok(precisions(layer, couplings, is_real)?.cholesky().is_some())
}

/// Λ of the measurements of a layer.
fn precisions(
    layer: &dyn Layer,
    couplings: &DMatrix<f64>,
    is_real: &[bool],
) -> Result<DMatrix<f64>> {
    let tails = layer.tails()?;
    let reals: Vec<usize> = (0..is_real.len()).filter(|i| is_real[*i]).collect();
    Ok(DMatrix::from_fn(reals.len(), reals.len(), |a, b| match a == b {
        true => tails[reals[a]].precision,
        false => -couplings[(reals[a], reals[b])],
    }))
}

fn is_real_each(of: &Support) -> impl Iterator<Item = bool> {
    std::iter::repeat_n(of.states == States::Real, of.columns.len())
}

/// Biases with which measurements have their means where all other columns have theirs, and each category its shares where all others
/// have theirs.
fn set_biases(
    layer: &dyn Layer,
    support: &[Support],
    (mean, couplings, is_real): (&DVector<f64>, &DMatrix<f64>, &[bool]),
) -> Result<()> {
    let reals: Vec<usize> = (0..mean.len()).filter(|i| is_real[*i]).collect();
    let matrix = precisions(layer, couplings, is_real)?;
    let Some(factor) = matrix.clone().cholesky() else { return Ok(()) };
    let of_reals =
        |x: &DVector<f64>| DVector::from_iterator(reals.len(), reals.iter().map(|i| x[*i]));
    let of_others = |x: &DVector<f64>| {
        DVector::from_iterator(
            x.len(),
            x.iter().zip(is_real).map(|(x, is_real)| if *is_real { 0.0 } else { *x }),
        )
    };
    let input_from = |others: &DVector<f64>| of_reals(&(couplings * others));
    let base = &matrix * of_reals(mean) - input_from(&of_others(mean));
    // What integrating the measurements adds to log p of these values of the others.
    let gain = |others: &DVector<f64>| {
        let input = &base + input_from(others);
        0.5 * input.dot(&factor.solve(&input))
    };
    let mut change = DVector::zeros(mean.len());
    for Support { columns, states } in support {
        let (width, is_bit) = match states {
            States::OneOf(states) => ((*states).max(1), false),
            States::Values(values) if is_zero_or_one(values) => (1, true),
            _ => continue,
        };
        for first in columns.clone().step_by(width) {
            let with = |column: Option<usize>| {
                let mut others = of_others(mean);
                (first..first + width).for_each(|j| others[j] = 0.0);
                if let Some(column) = column {
                    others[column] = 1.0;
                }
                gain(&others)
            };
            let none = if is_bit { with(None) } else { 0.0 };
            let gains: Vec<f64> = (first..first + width).map(|j| with(Some(j)) - none).collect();
            let level = if is_bit { 0.0 } else { gains.iter().sum::<f64>() / width as f64 };
            gains.iter().enumerate().for_each(|(k, gain)| change[first + k] = level - gain);
        }
    }
    let mut biases = to_host(&layer.bias()?)?.to_vec1::<f64>()?;
    biases.iter_mut().zip(change.iter()).for_each(|(bias, change)| *bias += change);
    reals.iter().zip(base.iter()).for_each(|(i, bias)| biases[*i] = *bias);
    let vars = layer.vars();
    for (k, columns) in layer.biases() {
        let var = vars[k].1;
        let of = Tensor::from_slice(&biases[columns], var.dims(), &Device::Cpu)?;
        var.set(&of.to_dtype(var.dtype())?)?;
    }
    Ok(())
}

fn is_zero_or_one(values: &[(f64, f64)]) -> bool {
    matches!(values, [(zero, _), (one, _)] if *zero == 0.0 && *one == 1.0)
}

/// Blocks of `cases`, and how much each of their rows counts, where not all count as much.
fn weighted_blocks<'a>(
    cases: &'a dyn Rows,
    weights: Option<&'a [f32]>,
) -> impl Iterator<Item = Result<(Tensor, Option<Vec<f32>>)>> + 'a {
    rows::blocks(cases).enumerate().map(move |(k, block)| {
        let block = block?;
        let count = block.dim(0)?;
        Ok((block, weights.map(|weights| weights[k * BLOCK..][..count].to_vec())))
    })
}

/// The means and the covariances of the first `width` columns.
fn moments(
    cases: &dyn Rows,
    weights: Option<&[f32]>,
    width: usize,
) -> Result<(DVector<f64>, DMatrix<f64>)> {
    let blocks = || {
        weighted_blocks(cases, weights).map(|found| -> Result<(Tensor, Tensor)> {
            let (block, weights) = found?;
            let block = to_host(&block.narrow(1, 0, width)?.contiguous()?)?;
            let count = block.dim(0)?;
            let weights = weights.unwrap_or_else(|| vec![1.0; count]);
            Ok((block, to_host(&Tensor::from_vec(weights, (count, 1), &Device::Cpu)?)?))
        })
    };
    let (mut total, mut sum) = (0.0, Tensor::zeros((1, width), DType::F64, &Device::Cpu)?);
    for block in blocks() {
        let (x, weights) = block?;
        total += weights.sum_all()?.to_scalar::<f64>()?;
        sum = (sum + x.broadcast_mul(&weights)?.sum_keepdim(0)?)?;
    }
    let mean = (sum / total)?;
    let mut products = Tensor::zeros((width, width), DType::F64, &Device::Cpu)?;
    for block in blocks() {
        let (x, weights) = block?;
        let off = x.broadcast_sub(&mean)?;
        products = (products + off.t()?.matmul(&off.broadcast_mul(&weights)?)?)?;
    }
    let covariance = (products / total)?.flatten_all()?.to_vec1::<f64>()?;
    let mean = DVector::from_vec(mean.flatten_all()?.to_vec1::<f64>()?);
    Ok((mean, DMatrix::from_row_slice(width, width, &covariance)))
}
