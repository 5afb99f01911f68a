//! What physicists measure: energy, heat capacity, magnetisation, susceptibility, Binder's cumulant, with errors.
//!
//! Chains are independent of each other. So errors come from the spread between chains: how slowly each of them forgets is in them.

use candle_core::{DType, Device, Tensor};
use rbm_core::model::{BinaryGraph, Boltzmann, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::sampling::{AnnealingPath, Chains, GraphChains, Trace, beta_column, mixing};
use rbm_core::units::Variance;
use rbm_core::{Error, Gibbs, Kernel, Result, Rng, Units};
use serde::Serialize;

use crate::Graph;
use crate::field::check_temperature;

/// The fewest chains that an error can come from.
const FEWEST: usize = 8;
/// The fewest sweeps that say how far chains differ.
const SHORTEST: usize = 4;
/// Sweeps between two looks at the watch.
const SLICE: usize = 64;

/// How long to walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// Independent chains, at least 8.
    pub chains: usize,
    /// Sweeps of each before anything is measured: the first half of them cools from the hottest temperature of
    /// [`Graph::temperatures`] to that of the measurement.
    pub burn_in: usize,
    /// Sweeps of each, after every one of which it is measured.
    pub sweeps: usize,
    /// Where chains begin.
    pub start: Start,
}

/// Where chains begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At configurations drawn evenly; the first half of the burn-in cools.
    #[default]
    Even,
    /// With all units alike, at the temperature itself: where a machine orders, chains from elsewhere may stay between two domains.
    Alike,
}

/// A number and its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// Averages at one temperature. N is the number of units, of sites where they have several columns, and β = 1/T.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// T.
    pub temperature: f64,
    /// ⟨E⟩/N.
    pub energy: Estimate,
    /// β²·(⟨E²⟩ − ⟨E⟩²)/N.
    pub heat_capacity: Estimate,
    /// ⟨|m|⟩, where m is the mean of all units; of units of q states (q·f − 1)/(q − 1), where f is the share of the commonest state.
    pub magnetisation: Estimate,
    /// β·N·(⟨m²⟩ − ⟨|m|⟩²).
    pub susceptibility: Estimate,
    /// 1 − ⟨m⁴⟩/(3⟨m²⟩²): two thirds where all units are alike, 0 where m is normal around 0 (Binder 1981).
    pub binder: Estimate,
    /// The integrated autocorrelation times of E and of |m|, in sweeps. `None` where nothing varies.
    pub autocorrelation_times: [Option<f64>; 2],
    /// Split-R̂ of E and of |m|: far above 1 where chains have been to different places.
    pub r_hats: [Option<f64>; 2],
}

/// Averages of the energy at one temperature, of whatever has one. N is the number of units or variables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnergyMeasurement {
    /// T.
    pub temperature: f64,
    /// ⟨E⟩/N; of a field E = −Σ log φ.
    pub energy: Estimate,
    /// (⟨E²⟩ − ⟨E⟩²)/T²/N.
    pub heat_capacity: Estimate,
    /// The integrated autocorrelation time of E, in sweeps. `None` where nothing varies.
    pub autocorrelation_time: Option<f64>,
    /// Split-R̂ of E: far above 1 where chains have been to different places.
    pub r_hat: Option<f64>,
}

impl EnergyMeasurement {
    /// Of the `energies` of chains of one length, a row for each chain.
    pub(crate) fn of(temperature: f64, units: usize, energies: &[Vec<f64>]) -> Result<Self> {
        let [energy, heat_capacity] =
            jackknife_of_energies(energies, 1.0 / temperature, units as f64);
        Ok(Self {
            temperature,
            energy,
            heat_capacity,
            autocorrelation_time: mixing::autocorrelation_time(energies)?,
            r_hat: mixing::r_hat(energies)?,
        })
    }
}

/// Brings `machine`, which is at temperature 1, to the temperature `tau`: E/τ is the energy of one whose parameters are all divided by it. They are
/// not put back.
///
/// # Errors
///
/// For a temperature that is not above 0 or at which parameters are no numbers of single precision, and for units a part of whose energy is not learned: of Gaussian units with unit variance and of
/// rectified ones there is no machine at another temperature.
pub fn set_temperature(machine: &dyn Boltzmann, tau: f64) -> Result<()> {
    check_temperature(tau)?;
    if tau == 1.0 {
        return Ok(());
    }
    let layers = [machine.rest().units(), machine.last().units()];
    if let Some((_, units)) = layers.iter().flat_map(Units::groups).find(|(_, of)| is_fixed(of)) {
        let expected = "units all of whose energy is learned, as that of gaussian-learned units is";
        return Err(Error::invalid("a temperature other than 1", expected, units.to_string()));
    }
    for (_, parameter) in machine.parameters() {
        let (own, divided) =
            (parameter.as_detached_tensor(), (parameter.as_detached_tensor() / tau)?);
        let [before, after] = [largest(&own)?, largest(&divided)?];
        if !after.is_finite() || (before > 0.0 && after < f64::from(f32::MIN_POSITIVE)) {
            let expected = "one at which the machine's parameters are numbers of single precision";
            return Err(Error::invalid("a temperature", expected, format!("{tau:e}")));
        }
        parameter.set(&divided)?;
    }
    Ok(())
}

/// The largest absolute value in `x`, 0 where nothing is.
fn largest(x: &Tensor) -> Result<f64> {
    if x.elem_count() == 0 {
        return Ok(0.0);
    }
    Ok(to_host(&x.abs()?.flatten_all()?.max(0)?)?.to_scalar()?)
}

/// Averages of the energy of `machine` at `temperature` over independent chains of Gibbs sampling, and the rest of it at their end,
/// `(chains, rest)`. The first half of the burn-in cools from where couplings are weak. Energies are those of the machine as it is handed in, at
/// temperature 1, and so it is left. `watch` is called now and then with how many sweeps are done, and ends the walk where it answers no: what has
/// been measured by then counts.
///
/// # Errors
///
/// As [`set_temperature`]; for a machine that is no distribution, for too few chains and sweeps, and for units some of whose values there are
/// several ways to: what that adds to p(x) is no energy, and the machine's energy has it.
pub fn measure_energy(
    machine: &dyn Boltzmann,
    temperature: f64,
    walk: [usize; 3],
    rng: &mut Rng,
    watch: impl FnMut(usize) -> bool,
) -> Result<(EnergyMeasurement, Tensor)> {
    let own = machine.parameters().into_iter().map(|(_, parameter)| parameter.copy());
    let own = own.collect::<candle_core::Result<Vec<_>>>()?;
    let restore = || -> Result<()> {
        machine.parameters().into_iter().zip(&own).try_for_each(|((_, of), own)| Ok(of.set(own)?))
    };
    let at = |tau: f64| restore().and_then(|()| set_temperature(machine, tau));
    let measured = walked(machine, (temperature, &at), walk, rng, watch);
    restore()?;
    measured
}

/// The same, where `at` brings the machine to a temperature.
fn walked(
    machine: &dyn Boltzmann,
    (temperature, at): (f64, &dyn Fn(f64) -> Result<()>),
    [count, burn_in, sweeps]: [usize; 3],
    rng: &mut Rng,
    mut watch: impl FnMut(usize) -> bool,
) -> Result<(EnergyMeasurement, Tensor)> {
    check_temperature(temperature)?;
    check_size(count, sweeps)?;
    machine.check_normalisable()?;
    let layers = [machine.rest().units(), machine.last().units()];
    let is_counted =
        |units: &Units| matches!(units, Units::Binomial { .. } | Units::Multinomial { .. });
    if let Some((_, units)) = layers.iter().flat_map(Units::groups).find(|(_, of)| is_counted(of)) {
        let expected = "units whose values there is one way to each";
        return Err(Error::invalid("a measurement of energies", expected, units.to_string()));
    }
    let (hottest, cooling) = (strongest_input(machine)?, burn_in / 2);
    let cools = hottest > temperature && cooling > 0 && has_temperatures(&layers);
    at(if cools { hottest } else { temperature })?;
    let gibbs = Gibbs::default();
    let start = AnnealingPath::from_biases(machine)?.sample_at_zero(machine, count, rng)?;
    let mut chains: Chains = gibbs.init(machine, start, rng)?;
    let mut energies = vec![Vec::with_capacity(sweeps); count];
    for sweep in 0..burn_in + sweeps {
        if cools && sweep <= cooling {
            at(hottest * (temperature / hottest).powf(sweep as f64 / cooling as f64))?;
            chains = gibbs.init(machine, chains.visible, rng)?;
        }
        gibbs.advance(machine, &mut chains, 1, rng)?;
        if sweep >= burn_in {
            let Chains { visible, hidden_inputs, hidden } = &chains;
            let now = host(&machine.energy_given(visible, hidden_inputs, hidden)?)?;
            energies.iter_mut().zip(now).for_each(|(all, now)| all.push(temperature * now));
        }
        if sweep % SLICE == SLICE - 1 && !watch(sweep + 1) {
            break;
        }
    }
    check_measured(&energies)?;
    if energies.iter().flatten().any(|energy| !energy.is_finite()) {
        let expected = "energies that single precision holds";
        return Err(Error::invalid("a measurement of energies", expected, "others"));
    }
    let units = layers.iter().map(sites_of).sum();
    Ok((EnergyMeasurement::of(temperature, units, &energies)?, chains.visible))
}

/// Whether there is a machine of these layers at every temperature.
fn has_temperatures(layers: &[Units]) -> bool {
    layers.iter().flat_map(Units::groups).all(|(_, units)| !is_fixed(units))
}

/// Whether a part of the energy of these units is not learned.
fn is_fixed(units: &Units) -> bool {
    matches!(units, Units::Gaussian { variance: Variance::Unit, .. } | Units::Relu { .. })
}

/// √(ΣJ² + b²) of the unit for which that is largest: at a temperature above it every unit is nearly free.
fn strongest_input(machine: &dyn Boltzmann) -> Result<f64> {
    let mut strongest: f64 = 0.0;
    for (_, parameter) in machine.parameters() {
        let squares = parameter.as_detached_tensor().sqr()?;
        let sums = match squares.dims().len() {
            2 => vec![squares.sum(0)?, squares.sum(1)?],
            _ => vec![squares.flatten_all()?],
        };
        for sum in &sums {
            strongest = strongest.max(largest(sum)?.sqrt());
        }
    }
    Ok(strongest)
}

/// How many units there are, a site of several states being one.
fn sites_of(units: &Units) -> usize {
    let count = |(_, units): (_, &Units)| match units {
        Units::Potts { sites, .. } => *sites,
        other => other.width(),
    };
    units.groups().into_iter().map(count).sum()
}

/// Chains of a machine, however they are carried.
enum Walkers<'a> {
    Graph(GraphChains<'a>),
    Machine { machine: &'a Machine, path: AnnealingPath, chains: Chains },
}

impl Graph {
    /// Averages at `temperature` over independent chains of Gibbs sampling, and where the chains are at the end, `(chains, units)`.
    /// `watch` is called now and then with how many sweeps are done, and ends the walk where it answers no: what has been measured by then
    /// counts.
    ///
    /// # Errors
    ///
    /// For a temperature that is not above 0, for too few chains and sweeps, and for what is no machine.
    pub fn measure(
        &self,
        temperature: f64,
        walk: &Walk,
        device: &Device,
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<(Measurement, Tensor)> {
        check_temperature(temperature)?;
        check_size(walk.chains, walk.sweeps)?;
        let machine = self.machine(DType::F32, device)?;
        machine.check_normalisable()?;
        let binary = machine.binary_graph()?;
        let mut walkers = Walkers::start(&machine, binary.as_ref(), walk, 1.0 / temperature, rng)?;
        let hottest = self.temperatures().map_or(temperature, |[hottest, _]| hottest);
        let cooling = walk.burn_in / 2;
        let cools = hottest > temperature && walk.start == Start::Even;
        let beta = |sweep: usize| match cools && sweep < cooling {
            true => (hottest / temperature).powf(sweep as f64 / cooling as f64) / hottest,
            false => 1.0 / temperature,
        };
        let mut energies = vec![Vec::with_capacity(walk.sweeps); walk.chains];
        let mut orders = energies.clone();
        let all: Vec<f64> = (0..walk.burn_in + walk.sweeps).map(beta).collect();
        let (burn_in, measured) = all.split_at(walk.burn_in);
        let mut done = 0;
        for slice in burn_in.chunks(SLICE).chain(measured.chunks(SLICE)) {
            let [now, m] = walkers.trace(slice, &self.units, rng)?;
            if done >= walk.burn_in {
                energies.iter_mut().zip(now).for_each(|(all, now)| all.extend(now));
                orders.iter_mut().zip(m).for_each(|(all, now)| all.extend(now));
            }
            done += slice.len();
            if !watch(done) {
                break;
            }
        }
        check_measured(&energies)?;
        let measured = Measurement::of(temperature, self.sites() as f64, &energies, &orders)?;
        Ok((measured, walkers.configurations()?))
    }

    /// How many units there are; sites, where a unit has a column for each state.
    pub fn sites(&self) -> usize {
        sites_of(&self.units)
    }

    /// How many pairs of units are coupled; of sites, where a unit has a column for each state.
    pub fn pairs(&self) -> usize {
        let Units::Potts { states, .. } = self.units else { return self.edges.len() };
        let site = |column: &u32| *column as usize / states.max(1);
        let pairs = self.edges.iter().map(|[a, b]| [site(a).min(site(b)), site(a).max(site(b))]);
        pairs.collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Errors unless so many chains and sweeps are enough to measure.
pub(crate) fn check_size(chains: usize, sweeps: usize) -> Result<()> {
    if chains >= FEWEST && sweeps >= SHORTEST {
        return Ok(());
    }
    let expected = format!("at least {FEWEST} chains and {SHORTEST} sweeps");
    Err(Error::invalid("a measurement", expected, format!("{chains} chains of {sweeps} sweeps")))
}

/// Errors where a walk was ended before enough was measured.
pub(crate) fn check_measured(energies: &[Vec<f64>]) -> Result<()> {
    match energies.first().map_or(0, Vec::len) {
        SHORTEST.. => Ok(()),
        found => {
            let expected = format!("at least {SHORTEST} sweeps after the burn-in");
            Err(Error::invalid("a measurement", expected, found.to_string()))
        }
    }
}

impl<'a> Walkers<'a> {
    fn start(
        machine: &'a Machine,
        graph: Option<&'a BinaryGraph>,
        walk: &Walk,
        beta: f64,
        rng: &mut Rng,
    ) -> Result<Self> {
        let (count, is_alike) = (walk.chains, walk.start == Start::Alike);
        if let Some(graph) = graph {
            return Ok(Self::Graph(match is_alike {
                true => GraphChains::at(graph, &vec![vec![graph.low(); graph.len()]; count])?,
                false => GraphChains::evenly(graph, count, rng)?,
            }));
        }
        let path = AnnealingPath::temperature(machine)?;
        let (start, beta) = match (is_alike, machine.rest().discrete()) {
            (true, Some(discrete)) => (discrete.configuration(0..1)?.repeat((count, 1))?, beta),
            _ => (path.sample_at_zero(machine, count, rng)?, 0.0),
        };
        let betas = beta_column(machine, &vec![beta; count])?;
        let chains = path.chains(machine, start, &betas, rng)?;
        Ok(Self::Machine { machine, path, chains })
    }

    /// E and m of each chain after a sweep at each of `betas`: a row for each chain.
    fn trace(&mut self, betas: &[f64], units: &Units, rng: &mut Rng) -> Result<[Vec<Vec<f64>>; 2]> {
        let (machine, path, chains) = match self {
            Self::Graph(chains) => {
                let Trace { energies, mut sums } = chains.trace(betas, rng);
                let count = units.width() as f64;
                sums.iter_mut().flatten().for_each(|sum| *sum /= count);
                return Ok([energies, sums]);
            }
            Self::Machine { machine, path, chains } => (*machine, path, chains),
        };
        let count = chains.visible.dim(0)?;
        let [mut energies, mut orders] =
            [(); 2].map(|()| vec![Vec::with_capacity(betas.len()); count]);
        for &beta in betas {
            let betas = beta_column(machine, &vec![beta; count])?;
            *chains = path.step(machine, (&chains.visible, &chains.hidden), &betas, rng)?;
            let Chains { visible, hidden_inputs, hidden } = &*chains;
            let energy = host(&machine.energy_given(visible, hidden_inputs, hidden)?)?;
            let order = order(units, &machine.configuration(visible, hidden)?)?;
            energies.iter_mut().zip(energy).for_each(|(all, now)| all.push(now));
            orders.iter_mut().zip(order).for_each(|(all, now)| all.push(now));
        }
        Ok([energies, orders])
    }

    fn configurations(&self) -> Result<Tensor> {
        match self {
            Self::Graph(chains) => chains.configurations(),
            Self::Machine { machine, chains, .. } => {
                machine.configuration(&chains.visible, &chains.hidden)
            }
        }
    }
}

/// m of each configuration `(chains, units)`.
fn order(units: &Units, x: &Tensor) -> Result<Vec<f64>> {
    let Units::Potts { sites, states } = *units else { return host(&x.mean(1)?) };
    let shares = host(&x.reshape((x.dim(0)?, sites, states))?.mean(1)?.max(1)?)?;
    let q = states as f64;
    Ok(shares.into_iter().map(|share| (q * share - 1.0) / (q - 1.0).max(1.0)).collect())
}

fn host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(to_host(&x.detach())?.to_vec1()?)
}

/// Means over the sweeps of a chain, or of many: E, E², |m|, m², m⁴.
#[derive(Debug, Clone, Copy, Default)]
struct Moments([f64; 5]);

impl Moments {
    fn of(energies: &[f64], orders: &[f64]) -> Self {
        let mut sums = [0.0; 5];
        for (e, m) in energies.iter().zip(orders) {
            let terms = [*e, e * e, m.abs(), m * m, m.powi(4)];
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        Self(sums.map(|sum| sum / energies.len() as f64))
    }

    fn mean(all: &[Self], without: Option<usize>) -> Self {
        let mut sums = [0.0; 5];
        let left = all.iter().enumerate().filter(|(i, _)| Some(*i) != without);
        let count = (all.len() - usize::from(without.is_some())) as f64;
        left.for_each(|(_, Self(m))| sums.iter_mut().zip(m).for_each(|(sum, m)| *sum += m / count));
        Self(sums)
    }
}

impl Measurement {
    fn of(
        temperature: f64,
        sites: f64,
        energies: &[Vec<f64>],
        orders: &[Vec<f64>],
    ) -> Result<Self> {
        let beta = 1.0 / temperature;
        let [energy, heat_capacity] = jackknife_of_energies(energies, beta, sites);
        let chains: Vec<Moments> =
            energies.iter().zip(orders).map(|(e, m)| Moments::of(e, m)).collect();
        let estimate = |of: &dyn Fn([f64; 5]) -> f64| jackknife(&chains, of);
        let magnitudes: Vec<Vec<f64>> =
            orders.iter().map(|chain| chain.iter().map(|m| m.abs()).collect()).collect();
        let both = [energies, &magnitudes];
        let times = both.map(mixing::autocorrelation_time);
        let r_hats = both.map(mixing::r_hat);
        let [energy_time, order_time] = times;
        let [energy_r_hat, order_r_hat] = r_hats;
        Ok(Self {
            temperature,
            energy,
            heat_capacity,
            magnetisation: estimate(&|[_, _, m, ..]| m),
            // Where nothing varies rounding is left.
            susceptibility: estimate(&|[_, _, m, m2, _]| {
                let variance = m2 - m * m;
                if variance.abs() > 1e-14 * m2 { beta * sites * variance } else { 0.0 }
            }),
            binder: estimate(&|[_, _, _, m2, m4]| 1.0 - m4 / (3.0 * m2 * m2)),
            autocorrelation_times: [energy_time?, order_time?],
            r_hats: [energy_r_hat?, order_r_hat?],
        })
    }
}

/// ⟨E⟩/N and β²·(⟨E²⟩ − ⟨E⟩²)/N with their errors, of the energies of chains of the same length.
fn jackknife_of_energies(energies: &[Vec<f64>], beta: f64, sites: f64) -> [Estimate; 2] {
    // Energies around their mean, so that little is lost where E² is large.
    let length = (energies.len() * energies[0].len()) as f64;
    let centre = energies.iter().flatten().sum::<f64>() / length;
    let chains: Vec<Moments> = energies
        .iter()
        .map(|chain| {
            let around: Vec<f64> = chain.iter().map(|energy| energy - centre).collect();
            Moments::of(&around, &around)
        })
        .collect();
    [
        jackknife(&chains, &|[e, ..]| (e + centre) / sites),
        jackknife(&chains, &|[e, e2, ..]| beta * beta * (e2 - e * e) / sites),
    ]
}

/// A function of means, and its error by leaving out one chain after the other (Quenouille 1956, Tukey 1958), which also takes away
/// the bias of first order.
fn jackknife(chains: &[Moments], of: &dyn Fn([f64; 5]) -> f64) -> Estimate {
    let count = chains.len() as f64;
    let all = of(Moments::mean(chains, None).0);
    let without: Vec<f64> =
        (0..chains.len()).map(|chain| of(Moments::mean(chains, Some(chain)).0)).collect();
    let mean = without.iter().sum::<f64>() / count;
    let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    Estimate {
        value: count * all - (count - 1.0) * mean,
        error: (squares * (count - 1.0) / count).sqrt(),
    }
}
