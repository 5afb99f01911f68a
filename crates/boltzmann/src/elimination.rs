//! Exact inference: variables are summed out, or maximised over, one after the other (Dechter 1999). What it costs is decided by the
//! largest table on the way.

use std::collections::BTreeSet;

use rbm_core::{Error, Result};
use serde::Serialize;

use crate::elimination_order::{EliminationOrder, MOST_OF_SUMS};
use crate::field::{Beliefs, Clique, MarkovField, check_temperature};

/// log₂ of the largest table, and of all together, of ground states, of which a table is kept as the best states alone: 256 MiB, and at most 2 GiB of bits.
const MOST_OF_MAXIMA: [f64; 2] = [25.0, 34.5];
/// How near to the highest another value counts as the same: so many roundings of the sum of all cliques' largest numbers.
const TIE: f64 = 64.0 * f64::EPSILON;

/// The most that rounding may move the logarithm of a probability.
const MOST_ROUNDING: f64 = 1e-3;

/// The most probable configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mode {
    /// A state for each variable.
    pub states: Vec<usize>,
    /// Σ log φ of it, at temperature 1: −E.
    pub log_potential: f64,
    /// How many configurations are as good, but for rounding.
    pub count: f64,
}

impl Mode {
    /// E at temperature 1.
    pub fn energy(&self) -> f64 {
        0.0 - self.log_potential
    }
}

/// A table over some variables, the last fastest.
#[derive(Debug, Clone)]
struct Table {
    scope: Vec<usize>,
    values: Vec<f64>,
    /// How many configurations of what was maximised over reach the value; empty where it is summed.
    counts: Vec<f64>,
}

/// One variable taken out.
struct Bucket {
    variable: usize,
    /// The tables that have it, by number.
    inputs: Vec<usize>,
    /// The variables of the product of these: those that are left, then it.
    scope: Vec<usize>,
    output: usize,
}

/// A way through all variables.
struct Elimination<'a> {
    field: &'a MarkovField,
    tables: Vec<Table>,
    steps: Vec<Bucket>,
    known: &'a [Option<usize>],
}

/// States below a power of two, in so many bits each.
struct PackedStates {
    bits: usize,
    words: Vec<u64>,
}

impl PackedStates {
    /// Room for `count` of so many states.
    fn new(count: usize, states: usize) -> Self {
        let bits = states.next_power_of_two().trailing_zeros().max(1) as usize;
        Self { bits, words: vec![0; count.div_ceil(64 / bits)] }
    }

    /// The word of an entry, and where in it the entry begins.
    fn at(&self, place: usize) -> (usize, usize) {
        let a_word = 64 / self.bits;
        (place / a_word, place % a_word * self.bits)
    }

    fn put(&mut self, place: usize, state: usize) {
        let (word, shift) = self.at(place);
        self.words[word] |= (state as u64) << shift;
    }

    fn get(&self, place: usize) -> usize {
        let (word, shift) = self.at(place);
        (self.words[word] >> shift & ((1 << self.bits) - 1)) as usize
    }
}

/// Probabilities that sum to 1, whatever rounding has made of large logarithms.
fn normalised(p: &[f64]) -> Vec<f64> {
    let sum: f64 = p.iter().sum();
    p.iter().map(|p| p / sum).collect()
}

impl MarkovField {
    /// Marginals of all variables and cliques, and log Z, at temperature `tau`, given states of some variables: exactly.
    ///
    /// # Errors
    ///
    /// For evidence of states that there are not, a temperature that is not above 0 or too low for double precision, and where a table would have more
    /// than 2²⁴ numbers, or all of them together more than 2²⁹.
    pub fn infer(&self, tau: f64, given: &[(usize, usize)]) -> Result<Beliefs> {
        check_temperature(tau)?;
        self.infer_by(&self.elimination_order(given)?, tau)
    }

    /// [`MarkovField::infer`] in an order that is known, which is of this field and has the evidence.
    ///
    /// # Errors
    ///
    /// As [`MarkovField::infer`].
    pub fn infer_by(&self, order: &EliminationOrder, tau: f64) -> Result<Beliefs> {
        check_temperature(tau)?;
        self.check_resolution(tau)?;
        let mut elimination = Elimination::of(self, order, 1.0 / tau, false)?;
        elimination.sum();
        let log_partition = elimination.total().0;
        let (adjoints, originals) = elimination.backward();
        let mut marginals = Vec::new();
        for (variable, &states) in self.states.iter().enumerate() {
            marginals.push(match elimination.known[variable] {
                Some(known) => {
                    (0..states).map(|state| f64::from(u8::from(state == known))).collect()
                }
                None => normalised(&adjoints[originals + variable]),
            });
        }
        let mut x: Vec<usize> = elimination.known.iter().map(|known| known.unwrap_or(0)).collect();
        let cliques = self.cliques.iter().enumerate().map(|(number, clique)| {
            let mut table = vec![0.0; clique.log_potential.len()];
            let left = &elimination.tables[number].scope;
            for (place, p) in normalised(&adjoints[number]).iter().enumerate() {
                set(&mut x, left, self.states_at(left, place));
                table[self.place(clique, &x)] = *p;
            }
            table
        });
        Ok(Beliefs { cliques: cliques.collect(), marginals, log_partition })
    }

    /// log Z at temperature `tau` alone, in an order that is of this field and has the evidence.
    ///
    /// # Errors
    ///
    /// For a temperature that is not above 0, and where a table would be too large.
    pub fn log_partition_by(&self, order: &EliminationOrder, tau: f64) -> Result<f64> {
        check_temperature(tau)?;
        let mut elimination = Elimination::of(self, order, 1.0 / tau, false)?;
        elimination.sum();
        Ok(elimination.total().0)
    }

    /// Errors where rounding alone would move the logarithms of probabilities by more than [`MOST_ROUNDING`].
    fn check_resolution(&self, tau: f64) -> Result<()> {
        let size = |clique: &Clique| {
            clique.log_potential.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
        };
        let coldest = self.cliques.iter().map(size).sum::<f64>() * f64::EPSILON / MOST_ROUNDING;
        if tau < coldest {
            // A little more than that, so that it is taken when it is typed with two digits.
            let expected = format!(
                "at least {:.1e} of potentials that are so large: below it double precision does not tell states apart",
                1.1 * coldest
            );
            return Err(Error::invalid("a temperature", expected, format!("{tau:e}")));
        }
        Ok(())
    }

    /// The most probable configuration given states of some variables, and how many are as good. It is the same at every temperature.
    ///
    /// # Errors
    ///
    /// As [`MarkovField::infer`], whatever the temperature; here a table may have 2²⁵ numbers.
    pub fn mode(&self, given: &[(usize, usize)]) -> Result<Mode> {
        self.mode_by(&self.elimination_order(given)?)
    }

    /// [`MarkovField::mode`] in an order that is known, which is of this field and has the evidence.
    ///
    /// # Errors
    ///
    /// As [`MarkovField::mode`].
    pub fn mode_by(&self, order: &EliminationOrder) -> Result<Mode> {
        let mut elimination = Elimination::of(self, order, 1.0, true)?;
        let best = elimination.maximise();
        let (log_potential, count) = elimination.total();
        let mut x: Vec<usize> = elimination.known.iter().map(|known| known.unwrap_or(0)).collect();
        for (step, best) in elimination.steps.iter().zip(&best).rev() {
            let scope = &elimination.tables[step.output].scope;
            x[step.variable] = best.get(self.place_of(scope, &x));
        }
        Ok(Mode { states: x, log_potential, count })
    }
}

impl<'a> Elimination<'a> {
    fn of(
        field: &'a MarkovField,
        order: &'a EliminationOrder,
        beta: f64,
        counts: bool,
    ) -> Result<Self> {
        let EliminationOrder { known, variables, cost } = order;
        let most = if counts { MOST_OF_MAXIMA } else { MOST_OF_SUMS };
        if !order.fits(most) {
            let expected = format!(
                "tables of at most 2^{} numbers, 2^{} in all (sampling has no such bound)",
                most[0], most[1]
            );
            let found = format!("one of 2^{:.1}, 2^{:.1} in all", cost[0], cost[1]);
            return Err(Error::invalid("exact inference", expected, found));
        }
        let mut tables = Vec::new();
        for clique in &field.cliques {
            let Clique { scope, log_potential: values } = field.restricted(clique, known, beta);
            tables.push(Table { scope, counts: ones(values.len(), counts), values });
        }
        // A table of zeros for each variable: what log Z changes by with it is the variable's marginal.
        for (variable, &states) in field.states.iter().enumerate() {
            let (scope, size) = match known[variable] {
                Some(_) => (Vec::new(), 1),
                None => (vec![variable], states),
            };
            tables.push(Table { scope, values: vec![0.0; size], counts: ones(size, counts) });
        }
        let mut steps = Vec::new();
        let mut is_used = vec![false; tables.len()];
        // The numbers of the tables of each variable, rising.
        let mut of_variable = vec![Vec::new(); field.states.len()];
        for (number, table) in tables.iter().enumerate() {
            table.scope.iter().for_each(|v| of_variable[*v].push(number));
        }
        for &variable in variables {
            let mut inputs = std::mem::take(&mut of_variable[variable]);
            inputs.retain(|number| !is_used[*number]);
            let all: BTreeSet<usize> =
                inputs.iter().flat_map(|i| tables[*i].scope.clone()).collect();
            let mut scope: Vec<usize> = all.into_iter().filter(|v| *v != variable).collect();
            inputs.iter().for_each(|i| is_used[*i] = true);
            let output = tables.len();
            scope.iter().for_each(|v| of_variable[*v].push(output));
            tables.push(Table { scope: scope.clone(), values: Vec::new(), counts: Vec::new() });
            is_used.push(false);
            scope.push(variable);
            steps.push(Bucket { variable, inputs, scope, output });
        }
        Ok(Self { field, tables, steps, known })
    }

    /// Puts into `values` the sum of the inputs of a step over its scope, and into `counts` the product of their counts.
    fn product(&self, step: &Bucket, values: &mut Vec<f64>, counts: &mut Vec<f64>) {
        let sizes: Vec<usize> = step.scope.iter().map(|v| self.field.states[*v]).collect();
        let size: usize = sizes.iter().product();
        values.clear();
        values.resize(size, 0.0);
        let has_counts = step.inputs.iter().any(|i| !self.tables[*i].counts.is_empty());
        counts.clear();
        counts.resize(if has_counts { size } else { 0 }, 1.0);
        for &input in &step.inputs {
            let table = &self.tables[input];
            for (place, from) in
                Places::of(&step.scope, &sizes, &table.scope, &self.field.states).enumerate()
            {
                values[place] += table.values[from];
                if has_counts {
                    counts[place] *= table.counts[from];
                }
            }
        }
    }

    /// Takes all variables out by sums.
    fn sum(&mut self) {
        let (mut values, mut none) = (Vec::new(), Vec::new());
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            self.product(step, &mut values, &mut none);
            let left = values.chunks(self.field.states[step.variable]).map(|group| {
                let highest = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                highest + group.iter().map(|x| (x - highest).exp()).sum::<f64>().ln()
            });
            self.tables[step.output].values = left.collect();
        }
    }

    /// Takes all variables out by maxima: the best state of each, for each place of what is left of its step. Tables that were used are let go.
    fn maximise(&mut self) -> Vec<PackedStates> {
        let largest = |table: &Table| {
            let finite = table.values.iter().filter(|x| x.is_finite());
            finite.fold(0.0, |most: f64, x| most.max(x.abs()))
        };
        let tie = TIE * self.tables.iter().map(largest).sum::<f64>();
        let mut all = Vec::with_capacity(self.steps.len());
        let (mut values, mut counts) = (Vec::new(), Vec::new());
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            self.product(step, &mut values, &mut counts);
            let states = self.field.states[step.variable];
            let size = values.len() / states;
            let mut best = PackedStates::new(size, states);
            let (mut left, mut left_counts) = (Vec::with_capacity(size), Vec::with_capacity(size));
            for (place, (group, counts)) in
                values.chunks(states).zip(counts.chunks(states)).enumerate()
            {
                let (mut state, mut highest) = (0, f64::NEG_INFINITY);
                for (at, x) in group.iter().enumerate() {
                    (state, highest) = if *x >= highest { (at, *x) } else { (state, highest) };
                }
                let is_best = |x: &f64| highest - x <= tie;
                let of = counts.iter().zip(group).filter(|(_, x)| is_best(x));
                left_counts.push(of.map(|(count, _)| count).sum());
                left.push(highest);
                best.put(place, state);
            }
            all.push(best);
            for &input in &step.inputs {
                (self.tables[input].values, self.tables[input].counts) = Default::default();
            }
            let output = &mut self.tables[step.output];
            (output.values, output.counts) = (left, left_counts);
        }
        all
    }

    /// What is left when all variables are out: the sum of the tables without any, and the product of their counts.
    fn total(&self) -> (f64, f64) {
        let left = self.tables.iter().filter(|table| table.scope.is_empty());
        left.fold((0.0, 1.0), |(sum, count), table| {
            (
                sum + table.values.first().copied().unwrap_or(0.0),
                count * table.counts.first().copied().unwrap_or(1.0),
            )
        })
    }

    /// ∂ log Z/∂ value for every table, and where those of the variables begin.
    fn backward(&self) -> (Vec<Vec<f64>>, usize) {
        let mut adjoints: Vec<Vec<f64>> = self
            .tables
            .iter()
            .map(|table| vec![if table.scope.is_empty() { 1.0 } else { 0.0 }; table.values.len()])
            .collect();
        let (mut values, mut none) = (Vec::new(), Vec::new());
        for step in self.steps.iter().rev() {
            let sizes: Vec<usize> = step.scope.iter().map(|v| self.field.states[*v]).collect();
            self.product(step, &mut values, &mut none);
            let states = self.field.states[step.variable];
            let output = &self.tables[step.output].values;
            let out = std::mem::take(&mut adjoints[step.output]);
            let shares: Vec<f64> = values
                .iter()
                .enumerate()
                .map(|(place, value)| out[place / states] * (value - output[place / states]).exp())
                .collect();
            for &input in &step.inputs {
                let scope = &self.tables[input].scope;
                let places = Places::of(&step.scope, &sizes, scope, &self.field.states);
                for (share, to) in shares.iter().zip(places) {
                    adjoints[input][to] += share;
                }
            }
            adjoints[step.output] = out;
        }
        (adjoints, self.field.cliques.len())
    }
}

/// Where each place of a table over one scope lies in a table over a part of it, in order.
struct Places {
    sizes: Vec<usize>,
    /// How far a step of each variable leads in the smaller table.
    strides: Vec<usize>,
    x: Vec<usize>,
    place: usize,
    left: usize,
}

impl Places {
    fn of(scope: &[usize], sizes: &[usize], part: &[usize], states: &[usize]) -> Self {
        let mut strides = vec![0; scope.len()];
        let mut stride = 1;
        for variable in part.iter().rev() {
            if let Some(at) = scope.iter().position(|v| v == variable) {
                strides[at] = stride;
            }
            stride *= states[*variable];
        }
        Self {
            sizes: sizes.to_vec(),
            strides,
            x: vec![0; scope.len()],
            place: 0,
            left: sizes.iter().product(),
        }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let now = self.place;
        for at in (0..self.x.len()).rev() {
            self.x[at] += 1;
            self.place += self.strides[at];
            if self.x[at] < self.sizes[at] {
                break;
            }
            self.place -= self.strides[at] * self.sizes[at];
            self.x[at] = 0;
        }
        Some(now)
    }
}

fn ones(count: usize, are_wanted: bool) -> Vec<f64> {
    if are_wanted { vec![1.0; count] } else { Vec::new() }
}

/// Puts the variables of `scope` into these states.
fn set(x: &mut [usize], scope: &[usize], states: Vec<usize>) {
    for (&variable, state) in scope.iter().zip(states) {
        x[variable] = state;
    }
}
