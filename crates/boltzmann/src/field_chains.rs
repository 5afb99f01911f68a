//! Many chains of Gibbs sampling in one Markov random field, side by side: averages at temperatures, and the lowest energies seen as these fall.

use rand::RngExt;
use rayon::prelude::*;
use rbm_core::sampling::{LowestEnergies, TemperedSearch, mixing};
use rbm_core::stats::categorical;
use rbm_core::{Error, Result, Rng};
use serde::Serialize;

use crate::field::{Beliefs, MarkovField, check_temperature};
use crate::observables::{EnergyMeasurement, check_measured, check_size};

/// Sweeps between two looks at the watch.
const SLICE: usize = 16;
/// Replicas of a ladder of temperatures.
const LEVELS: usize = 32;

/// Chains in a field, each with random numbers of its own.
#[derive(Debug, Clone)]
struct FieldChains<'a> {
    field: &'a MarkovField,
    /// The cliques of each variable.
    of_variable: Vec<Vec<usize>>,
    /// The variables that are known.
    known: Vec<Option<usize>>,
    chains: Vec<Chain>,
}

#[derive(Debug, Clone)]
struct Chain {
    states: Vec<usize>,
    rng: Rng,
}

/// What Gibbs sampling says of the variables of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledBeliefs {
    /// Shares of all sweeps. log Z is not among what sampling finds: NaN.
    pub beliefs: Beliefs,
    /// Their standard errors, from the spread between chains, laid out as they are; NaN of a single chain.
    pub errors: Beliefs,
    /// The highest R̂ of E, and of whether a variable is in a state: far above 1 where the chains have been to different places; `None` where nothing
    /// varies, and for fewer than 4 sweeps.
    pub r_hat: Option<f64>,
    /// The lowest E that any chain has seen after the burn-in, and the states there. There may be lower ones.
    pub best: FieldBest,
}

/// The best of each read of an annealing or of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldBest {
    /// A state of each variable, for each read.
    pub states: Vec<Vec<usize>>,
    /// E of each.
    pub energies: LowestEnergies,
}

impl<'a> FieldChains<'a> {
    /// `count` chains from states drawn evenly; evidence is held.
    ///
    /// # Errors
    ///
    /// Without a chain, and for evidence of states that there are not.
    fn new(
        field: &'a MarkovField,
        given: &[(usize, usize)],
        count: usize,
        rng: &mut Rng,
    ) -> Result<Self> {
        let known = field.check_evidence(given)?;
        if count == 0 {
            return Err(Error::invalid("sampling", "at least one chain", "none"));
        }
        let mut of_variable = vec![Vec::new(); field.states.len()];
        for (number, clique) in field.cliques.iter().enumerate() {
            clique.scope.iter().for_each(|&variable| of_variable[variable].push(number));
        }
        let label = rng.random();
        let streams = rng.split(label);
        let chain = |number: usize| {
            let mut rng = streams.split(number as u64);
            let free = known.iter().zip(&field.states);
            let states = free.map(|(known, states)| {
                known.unwrap_or_else(|| (rng.random::<f64>() * *states as f64) as usize)
            });
            Chain { states: states.collect(), rng }
        };
        let chains = (0..count).map(chain).collect();
        Ok(Self { field, of_variable, known, chains })
    }

    /// Draws every variable of each chain once at each of the `temperatures` of the chain with this number, and tells `seen` the chain and its
    /// E after each sweep.
    fn sweep_all<'t, T: Send>(
        &mut self,
        temperatures: impl Fn(usize) -> &'t [f64] + Sync,
        states: &mut [T],
        seen: impl Fn(&mut T, &[usize], f64) + Sync,
    ) {
        let (field, of_variable, known) = (self.field, &self.of_variable, &self.known);
        self.chains.par_iter_mut().zip(states).enumerate().for_each(|(number, (chain, state))| {
            let mut logits = Vec::new();
            for tau in temperatures(number) {
                let Chain { states: x, rng } = chain;
                for variable in (0..x.len()).filter(|variable| known[*variable].is_none()) {
                    logits.clear();
                    for value in 0..field.states[variable] {
                        x[variable] = value;
                        let of = |&number: &usize| field.log_potential_of(number, x);
                        logits.push(of_variable[variable].iter().map(of).sum::<f64>() / tau);
                    }
                    x[variable] = categorical(logits.iter().copied(), rng.random());
                }
                let cliques = 0..field.cliques.len();
                let energy =
                    0.0 - cliques.map(|number| field.log_potential_of(number, x)).sum::<f64>();
                seen(state, x, energy);
            }
        });
    }

    /// A state of each variable, for each chain.
    fn states(&self) -> impl Iterator<Item = &[usize]> {
        self.chains.iter().map(|chain| &chain.states[..])
    }
}

/// What one chain has seen.
struct Seen {
    marginals: Vec<Vec<f64>>,
    tables: Vec<Vec<f64>>,
    energies: Vec<f64>,
    best: Lowest,
}

impl Seen {
    /// All shares, one after the other.
    fn shares(&self) -> impl Iterator<Item = &f64> {
        self.marginals.iter().chain(&self.tables).flatten()
    }

    fn shares_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.marginals.iter_mut().chain(&mut self.tables).flatten()
    }

    fn into_beliefs(self) -> Beliefs {
        Beliefs { marginals: self.marginals, cliques: self.tables, log_partition: f64::NAN }
    }
}

/// The lowest energy that a chain has seen, and where.
#[derive(Debug, Clone)]
struct Lowest {
    energy: f64,
    states: Vec<usize>,
}

impl Default for Lowest {
    fn default() -> Self {
        Self { energy: f64::INFINITY, states: Vec::new() }
    }
}

impl Lowest {
    fn take(&mut self, states: &[usize], energy: f64) {
        if energy < self.energy {
            self.energy = energy;
            self.states.clear();
            self.states.extend_from_slice(states);
        }
    }
}

impl FromIterator<Lowest> for FieldBest {
    fn from_iter<I: IntoIterator<Item = Lowest>>(all: I) -> Self {
        let (energies, states) = all.into_iter().map(|best| (best.energy, best.states)).unzip();
        Self { states, energies: LowestEnergies(energies) }
    }
}

impl MarkovField {
    /// Beliefs from `chains` chains of Gibbs sampling at temperature `tau`, `sweeps` sweeps each after a fifth as many that do not count; evidence
    /// is held. `watch` is called with how many sweeps are done, and ends the chains where it answers no.
    ///
    /// # Errors
    ///
    /// For evidence of states that there are not, a temperature that is not above 0, no chains or sweeps, and where it is ended in the burn-in.
    pub fn sample(
        &self,
        tau: f64,
        given: &[(usize, usize)],
        [chains, sweeps]: [usize; 2],
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<SampledBeliefs> {
        check_temperature(tau)?;
        if sweeps == 0 {
            return Err(Error::invalid("sampling", "at least one sweep", "none"));
        }
        let mut walkers = FieldChains::new(self, given, chains, rng)?;
        let zeros = |_: usize| Seen {
            marginals: self.states.iter().map(|states| vec![0.0; *states]).collect(),
            tables: self.cliques.iter().map(|of| vec![0.0; of.log_potential.len()]).collect(),
            energies: Vec::new(),
            best: Lowest::default(),
        };
        let mut all: Vec<Seen> = (0..chains).map(zeros).collect();
        let burn_in = sweeps / 5;
        let slice = [tau; SLICE];
        let mut done = 0;
        while done < burn_in + sweeps {
            let end = if done < burn_in { burn_in } else { burn_in + sweeps };
            let now = SLICE.min(end - done);
            let counts = done >= burn_in;
            walkers.sweep_all(
                |_| &slice[..now],
                &mut all,
                |seen, x, energy| {
                    if counts {
                        x.iter()
                            .zip(&mut seen.marginals)
                            .for_each(|(state, sum)| sum[*state] += 1.0);
                        for (clique, table) in self.cliques.iter().zip(&mut seen.tables) {
                            table[self.place(clique, x)] += 1.0;
                        }
                        seen.energies.push(energy);
                        seen.best.take(x, energy);
                    }
                },
            );
            done += now;
            if !watch(done) {
                break;
            }
        }
        let energies: Vec<Vec<f64>> =
            all.iter_mut().map(|seen| std::mem::take(&mut seen.energies)).collect();
        if energies[0].is_empty() {
            return Err(Error::invalid("sampling", "a sweep after the burn-in", "none"));
        }
        let counted = energies[0].len() as f64;
        let (mut mean, mut error) = (zeros(0), zeros(0));
        for seen in &all {
            let shares = mean.shares_mut().zip(seen.shares());
            shares.for_each(|(mean, share)| *mean += share / counted / chains as f64);
        }
        for seen in &all {
            let shares = error.shares_mut().zip(mean.shares()).zip(seen.shares());
            shares.for_each(|((sum, mean), share)| *sum += (share / counted - mean).powi(2));
        }
        let pairs = (chains * (chains - 1)) as f64;
        // As R̂ is, of whether a variable is in a state: wells of the same energy are seen here alone.
        let allowance = 2.0 * (5.0 + (self.states.len() as f64).ln()) / counted;
        let r_hat_of = |(mean, squares): (&f64, &f64)| {
            let between = squares / (chains - 1).max(1) as f64;
            // Of so many variables the farthest is farther than one would be.
            let within = mean * (1.0 - mean) - between * (chains - 1) as f64 / chains as f64;
            let ratio = between / within.max(0.0) - allowance;
            (between > 0.0).then(|| (1.0 + ratio.max(0.0)).sqrt())
        };
        let of_states = mean
            .marginals
            .iter()
            .zip(&error.marginals)
            .flat_map(|(mean, squares)| mean.iter().zip(squares))
            .filter_map(r_hat_of);
        let of_states =
            of_states.fold(None, |most: Option<f64>, r| Some(most.map_or(r, |m| m.max(r))));
        error.shares_mut().for_each(|sum| *sum = (*sum / pairs).sqrt());
        let best = all.into_iter().map(|seen| seen.best);
        Ok(SampledBeliefs {
            beliefs: mean.into_beliefs(),
            errors: error.into_beliefs(),
            r_hat: match energies[0].len() {
                4.. => {
                    [mixing::r_hat(&energies)?, of_states].into_iter().flatten().reduce(f64::max)
                }
                _ => None,
            },
            best: best.min_by(|a, b| a.energy.total_cmp(&b.energy)).into_iter().collect(),
        })
    }

    /// Averages at temperature `tau` over `chains` independent chains, of `sweeps` sweeps each after `burn_in` that do not count; and where
    /// they are at the end. The first half of the burn-in cools. `watch` is called now and then with how many sweeps are done, and ends the walk
    /// where it answers no: what has been measured by then counts.
    ///
    /// # Errors
    ///
    /// For a temperature that is not above 0, and for fewer than 8 chains or 4 sweeps.
    pub fn measure(
        &self,
        tau: f64,
        [chains, burn_in, sweeps]: [usize; 3],
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<(EnergyMeasurement, Vec<Vec<usize>>)> {
        check_temperature(tau)?;
        check_size(chains, sweeps)?;
        let mut walkers = FieldChains::new(self, &[], chains, rng)?;
        let hottest = self.temperatures().map_or(tau, |[hottest, _]| hottest.max(tau));
        let cooling = burn_in / 2;
        let at = |sweep: usize| match sweep < cooling {
            true => hottest * (tau / hottest).powf(sweep as f64 / cooling as f64),
            false => tau,
        };
        let all: Vec<f64> = (0..burn_in + sweeps).map(at).collect();
        let (before, measured) = all.split_at(burn_in);
        let mut energies = vec![Vec::with_capacity(sweeps); chains];
        let mut done = 0;
        for slice in before.chunks(SLICE).chain(measured.chunks(SLICE)) {
            let counts = done >= burn_in;
            walkers.sweep_all(
                |_| slice,
                &mut energies,
                |all, _, energy| {
                    if counts {
                        all.push(energy);
                    }
                },
            );
            done += slice.len();
            if !watch(done) {
                break;
            }
        }
        check_measured(&energies)?;
        let measured = EnergyMeasurement::of(tau, self.states.len(), &energies)?;
        Ok((measured, walkers.states().map(<[usize]>::to_vec).collect()))
    }

    /// Simulated annealing: `reads` independent chains, a sweep at each of the `temperatures`, and the best that each has seen.
    ///
    /// # Errors
    ///
    /// Without a read or a sweep, and for a temperature that is not above 0.
    pub fn anneal(
        &self,
        temperatures: &[f64],
        reads: usize,
        rng: &mut Rng,
        mut watch: impl FnMut(usize) -> bool,
    ) -> Result<FieldBest> {
        temperatures.iter().try_for_each(|tau| check_temperature(*tau))?;
        if temperatures.is_empty() {
            return Err(Error::invalid("annealing", "at least one sweep", "none"));
        }
        let mut walkers = FieldChains::new(self, &[], reads, rng)?;
        let mut best = vec![Lowest::default(); reads];
        let mut done = 0;
        for slice in temperatures.chunks(SLICE) {
            walkers.sweep_all(|_| slice, &mut best, Lowest::take);
            done += slice.len();
            if !watch(done) {
                break;
            }
        }
        Ok(best.into_iter().collect())
    }

    /// Parallel tempering: `searches` independent ladders of 32 replicas, whose neighbours exchange their temperatures; the best of each. Clusters
    /// are those of pairs of spins: none are exchanged here. `watch` is called now and then with how many sweeps are done and the lowest energy so
    /// far, and ends the search where it answers no.
    ///
    /// # Errors
    ///
    /// As [`TemperedSearch::check`].
    pub fn search(
        &self,
        search: &TemperedSearch,
        searches: usize,
        rng: &mut Rng,
        mut watch: impl FnMut(usize, f64) -> bool,
    ) -> Result<FieldBest> {
        search.check(searches)?;
        let ladder = search.temperatures(LEVELS);
        let mut walkers = FieldChains::new(self, &[], LEVELS * searches, rng)?;
        // The energy of each chain, and the lowest that it has seen.
        let mut seen = vec![(0.0, Lowest::default()); LEVELS * searches];
        // The chain at each temperature of each ladder, and the temperature of each chain.
        let mut chain_at: Vec<usize> = (0..LEVELS * searches).collect();
        let mut temperatures = vec![0.0; LEVELS * searches];
        for sweep in 0..search.sweeps {
            for (chains, temperature) in chain_at.iter().zip(ladder.iter().cycle()) {
                temperatures[*chains] = *temperature;
            }
            let of_chain = |chain: usize| std::slice::from_ref(&temperatures[chain]);
            walkers.sweep_all(of_chain, &mut seen, |(now, best), states, energy| {
                *now = energy;
                best.take(states, energy);
            });
            for chains in chain_at.chunks_mut(LEVELS) {
                for at in (sweep % 2..LEVELS - 1).step_by(2) {
                    let (hotter, colder) = (seen[chains[at]].0, seen[chains[at + 1]].0);
                    let gap = 1.0 / ladder[at + 1] - 1.0 / ladder[at];
                    if rng.random::<f64>().ln() < gap * (colder - hotter) {
                        chains.swap(at, at + 1);
                    }
                }
            }
            let lowest = seen.iter().fold(f64::INFINITY, |low, (_, best)| low.min(best.energy));
            if (sweep + 1) % SLICE == 0 && !watch(sweep + 1, lowest) {
                break;
            }
        }
        let best = seen.chunks(LEVELS).filter_map(|replicas| {
            let replicas = replicas.iter().map(|(_, best)| best);
            replicas.min_by(|a, b| a.energy.total_cmp(&b.energy)).cloned()
        });
        Ok(best.collect())
    }

    /// A range of temperatures to anneal through, the hottest first, by how far the potentials of the variables' cliques range: as
    /// [`Graph::temperatures`](crate::Graph::temperatures). `None` where all are even.
    pub fn temperatures(&self) -> Option<[f64; 2]> {
        let mut squares = vec![0.0; self.states.len()];
        let mut weakest = vec![f64::INFINITY; self.states.len()];
        for clique in &self.cliques {
            let ends = clique
                .log_potential
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                    (low.min(*x), high.max(*x))
                });
            let range = ends.1 - ends.0;
            for &variable in clique.scope.iter().filter(|_| range > 0.0) {
                squares[variable] += range * range;
                weakest[variable] = f64::min(weakest[variable], range);
            }
        }
        let hottest = 0.5 * squares.into_iter().fold(0.0, f64::max).sqrt();
        weakest.retain(|range| range.is_finite());
        weakest.sort_by(f64::total_cmp);
        let weakest = weakest.get(weakest.len() / 2)?;
        Some([hottest, (weakest / 1000f64.ln()).clamp(0.01 * hottest, hottest)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Chains at exact samples are at exact samples after a sweep: χ² over all configurations. Evidence is held.
    #[test]
    fn a_sweep_leaves_the_distribution_as_it_is() {
        let states = [2, 3, 2, 2];
        let (three, two) =
            ([1.0, 2.0, 0.5, 3.0, 4.0, 0.25, 1.5, 6.0, 0.7, 2.0, 0.1, 1.0], [4.0, 0.23, 5.0, 9.45]);
        let field =
            MarkovField::of_potentials(&states, &[(&[0, 1, 2], &three), (&[3, 0], &two)]).unwrap();
        for (tau, given) in [(1.0, vec![]), (2.5, vec![]), (0.6, vec![(2, 1)])] {
            let all: Vec<Vec<usize>> = (0..24)
                .map(|k| vec![k % 2, k / 2 % 3, k / 6 % 2, k / 12])
                .filter(|x| given.iter().all(|(variable, state)| x[*variable] == *state))
                .collect();
            let weight = |x: &Vec<usize>| {
                let log_p: f64 = (0..2).map(|clique| field.log_potential_of(clique, x)).sum();
                (log_p / tau).exp()
            };
            let total: f64 = all.iter().map(weight).sum();
            let p: Vec<f64> = all.iter().map(|x| weight(x) / total).collect();
            let (count, mut rng) = (60_000, Rng::new(8));
            let mut chains = FieldChains::new(&field, &given, count, &mut rng).unwrap();
            for chain in &mut chains.chains {
                let logits = p.iter().map(|p| p.ln());
                chain.states = all[categorical(logits, rng.random())].clone();
            }
            chains.sweep_all(|_| std::slice::from_ref(&tau), &mut vec![(); count], |_, _, _| {});
            let mut square = 0.0;
            for (x, p) in all.iter().zip(&p) {
                let seen = chains.states().filter(|states| states == x).count() as f64;
                let expected = p * count as f64;
                square += (seen - expected).powi(2) / expected;
            }
            assert_eq!(chains.states().filter(|states| !all.contains(&states.to_vec())).count(), 0);
            // As a standard normal number (Wilson and Hilferty 1931): above 4.75 once in a million.
            let (k, ninth) = (all.len() as f64 - 1.0, 2.0 / (9.0 * (all.len() as f64 - 1.0)));
            let drift = ((square / k).cbrt() - (1.0 - ninth)) / ninth.sqrt();
            assert!(drift < 4.75, "temperature {tau}: {drift}");
        }
    }
}
