//! Markov random fields: a product of clique potentials, p(x) ∝ Π φ_c(x_c)^(1/τ) at temperature τ.
//!
//! A clique of any number of variables has a table. Evidence anywhere makes the tables smaller.

use candle_core::{DType, Device, Tensor};
use rbm_core::model::Machine;
use rbm_core::sampling::{COLDEST, is_temperature};
use rbm_core::{Error, Result, Units};
use serde::Serialize;

use crate::Graph;
use crate::belief::BeliefNet;

/// The most causes of a unit of a belief net, and the most numbers of all its tables: half a GiB.
const MOST_PARENTS: usize = 20;
const MOST_NUMBERS: usize = 1 << 26;
/// The most states of all variables together.
const MOST_STATES: usize = 1 << 24;

/// A potential over a few variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Clique {
    /// The variables, each once.
    pub scope: Vec<usize>,
    /// log φ, the last variable of the scope fastest.
    pub log_potential: Vec<f64>,
}

/// Variables of a few states each, and the potentials of their cliques.
///
/// ```
/// use candle_boltzmann::MarkovField;
///
/// // Two variables that want to be alike, four to one.
/// let field = MarkovField::of_potentials(&[2, 2], &[(&[0, 1], &[4.0, 1.0, 1.0, 4.0])])?;
/// let exact = field.infer(1.0, &[(0, 1)])?; // variable 0 is in state 1
/// assert!((exact.marginals[1][1] - 0.8).abs() < 1e-12);
/// assert!((field.infer(1.0, &[])?.log_partition - 10f64.ln()).abs() < 1e-12);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MarkovField {
    /// How many states each variable has.
    pub states: Vec<usize>,
    /// The cliques.
    pub cliques: Vec<Clique>,
}

/// What is believed of the variables, exactly or from samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beliefs {
    /// p(state) of each variable; of evidence 1 and 0.
    pub marginals: Vec<Vec<f64>>,
    /// p over each clique's variables, laid out as its table; those of evidence stay in it.
    #[serde(skip)]
    pub cliques: Vec<Vec<f64>>,
    /// log Σ Π φ^(1/τ) over all that agrees with the evidence. NaN where it was not counted.
    pub log_partition: f64,
}

impl MarkovField {
    /// A field of variables and cliques.
    ///
    /// # Errors
    ///
    /// For a variable without a state, a scope that names a variable twice or one that there is not, a table of another size, and log
    /// potentials that are not finite: a potential of zero would split the states into parts that no sampler crosses.
    pub fn new(states: Vec<usize>, cliques: Vec<Clique>) -> Result<Self> {
        if states.is_empty() || states.contains(&0) {
            let found = format!("{states:?}");
            return Err(Error::invalid(
                "the variables of a field",
                "at least one, each of a state",
                found,
            ));
        }
        let all = states.iter().try_fold(0usize, |all, states| all.checked_add(*states));
        if all.is_none_or(|all| all > MOST_STATES) {
            let expected = format!("at most {MOST_STATES} states of all together");
            return Err(Error::invalid("the variables of a field", expected, "more"));
        }
        for (number, Clique { scope, log_potential }) in cliques.iter().enumerate() {
            let place = || format!("clique {number}");
            for (at, variable) in scope.iter().enumerate() {
                if *variable >= states.len() || scope[..at].contains(variable) {
                    let expected =
                        format!("each of the variables 0 to {} at most once", states.len() - 1);
                    return Err(Error::invalid(place(), expected, format!("{scope:?}")));
                }
            }
            let size = scope.iter().try_fold(1usize, |size, &v| size.checked_mul(states[v]));
            if size != Some(log_potential.len()) {
                let expected = format!("a number for each of {size:?} combinations");
                return Err(Error::invalid(place(), expected, log_potential.len().to_string()));
            }
            if let Some(wrong) = log_potential.iter().find(|x| !x.is_finite()) {
                return Err(Error::invalid(place(), "potentials above 0", wrong.exp().to_string()));
            }
        }
        Ok(Self { states, cliques })
    }

    /// A field of potentials φ, not their logarithms.
    ///
    /// # Errors
    ///
    /// As [`MarkovField::new`].
    pub fn of_potentials(states: &[usize], cliques: &[(&[usize], &[f64])]) -> Result<Self> {
        let clique = |(scope, potential): &(&[usize], &[f64])| Clique {
            scope: scope.to_vec(),
            log_potential: potential.iter().map(|x| x.ln()).collect(),
        };
        Self::new(states.to_vec(), cliques.iter().map(clique).collect())
    }

    /// The field of a graph: a clique for each edge (for each pair of sites, where these have several columns) and for each field.
    ///
    /// # Errors
    ///
    /// For units that are not discrete.
    pub fn of_graph(graph: &Graph) -> Result<Self> {
        let (states, values): (usize, &[f64]) = match graph.units {
            Units::Spin { .. } => (2, &[-1.0, 1.0]),
            Units::Bernoulli { .. } => (2, &[0.0, 1.0]),
            Units::Potts { states, .. } => (states, &[]),
            _ => {
                let expected = "spins, Bernoulli or Potts units";
                return Err(Error::invalid("a field", expected, graph.units.to_string()));
            }
        };
        let sites = graph.sites();
        let mut cliques = Vec::new();
        let mut pairs = std::collections::BTreeMap::<[usize; 2], Vec<f64>>::new();
        for (&[a, b], &coupling) in graph.edges.iter().zip(&graph.couplings) {
            let (a, b) = (a.min(b) as usize, a.max(b) as usize);
            if values.is_empty() {
                let table = pairs
                    .entry([a / states, b / states])
                    .or_insert_with(|| vec![0.0; states * states]);
                table[a % states * states + b % states] += coupling;
            } else {
                let table = pairs.entry([a, b]).or_insert_with(|| vec![0.0; 4]);
                for (i, x) in values.iter().enumerate() {
                    for (j, y) in values.iter().enumerate() {
                        table[2 * i + j] += coupling * x * y;
                    }
                }
            }
        }
        for (scope, log_potential) in pairs {
            cliques.push(Clique { scope: scope.to_vec(), log_potential });
        }
        for (site, fields) in
            graph.fields.chunks(if values.is_empty() { states } else { 1 }).enumerate()
        {
            if fields.iter().any(|field| *field != 0.0) {
                let log_potential = match values {
                    [] => fields.to_vec(),
                    values => values.iter().map(|x| x * fields[0]).collect(),
                };
                cliques.push(Clique { scope: vec![site], log_potential });
            }
        }
        Self::new(vec![states; sites], cliques)
    }

    /// A sigmoid belief net: a variable for each unit, of the observed layer first and then of each layer above it, and for each of them the
    /// probabilities of its states given all units of the layer above. log Z is 0, and under evidence log of its probability.
    ///
    /// # Errors
    ///
    /// Where a layer above another has more than 20 units, or the tables of all units have more than 2²⁶ numbers together.
    pub fn of_belief_net(net: &BeliefNet) -> Result<Self> {
        let widths = net.widths();
        if let Some(wide) = widths[1..].iter().find(|width| **width > MOST_PARENTS) {
            let expected = format!("at most {MOST_PARENTS} units in a layer above another");
            return Err(Error::invalid("a belief net as a field", expected, wide.to_string()));
        }
        let numbers_of = |pair: &[usize]| pair[0] << (pair[1] + 1);
        let size: usize = widths.windows(2).map(numbers_of).sum();
        if size > MOST_NUMBERS {
            let expected = format!("at most {MOST_NUMBERS} numbers in the tables of all units");
            return Err(Error::invalid("a belief net as a field", expected, size.to_string()));
        }
        let numbers = |tensor: &Tensor| -> Result<Vec<f64>> {
            let host = tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            Ok(host.flatten_all()?.to_vec1()?)
        };
        // log of the probabilities of 0 and 1 at an input.
        let logs = |input: f64| [-softplus(input), -softplus(-input)];
        let (mut cliques, mut first) = (Vec::new(), 0);
        for (layer, pair) in net.layers.iter().zip(widths.windows(2)) {
            let (below, above) = (pair[0], pair[1]);
            let weights = numbers(&layer.weights)?;
            let biases = numbers(&layer.units.bias()?)?;
            for (unit, bias) in biases.iter().enumerate() {
                // The unit above that comes last in the scope is the fastest.
                let input = |states: usize| {
                    let on = (0..above).filter(|at| states >> (above - 1 - at) & 1 == 1);
                    bias + on.map(|at| weights[at * below + unit]).sum::<f64>()
                };
                let scope = (0..above).map(|at| first + below + at).chain([first + unit]);
                let log_potential = (0..1usize << above).flat_map(|states| logs(input(states)));
                cliques.push(Clique {
                    scope: scope.collect(),
                    log_potential: log_potential.collect(),
                });
            }
            first += below;
        }
        for (unit, bias) in numbers(&net.top.bias()?)?.into_iter().enumerate() {
            let log_potential = logs(bias).to_vec();
            cliques.push(Clique { scope: vec![first + unit], log_potential });
        }
        Self::new(vec![2; widths.iter().sum()], cliques)
    }

    /// The field as a machine at temperature 1, E(x) = −Σ log φ: a Potts site for each variable, a layer for each colour and number of states.
    /// Every sampler and estimator of `rbm_core` takes it. [`Machine::configuration`] has the columns of the variables in their order, one a
    /// state.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn machine(&self, dtype: DType, device: &Device) -> Result<Machine> {
        let cliques: Vec<(&[usize], &[f64])> = self
            .cliques
            .iter()
            .map(|clique| (&clique.scope[..], &clique.log_potential[..]))
            .collect();
        Machine::of_cliques(&self.states, &cliques, dtype, device)
    }

    /// The field at temperature `tau` of the variables that `given` does not name, in their order: its partition function is that of what
    /// agrees with the evidence. So whatever takes a field or its [machine](MarkovField::machine) takes one under evidence.
    ///
    /// # Errors
    ///
    /// For evidence of states that there are not, a temperature that is not above 0, and where every variable is given.
    pub fn conditioned(&self, tau: f64, given: &[(usize, usize)]) -> Result<Self> {
        check_temperature(tau)?;
        let known = self.check_evidence(given)?;
        let free: Vec<usize> = (0..known.len()).filter(|&v| known[v].is_none()).collect();
        let conditioned = self.cliques.iter().map(|clique| {
            let Clique { scope, log_potential } = self.restricted(clique, &known, 1.0 / tau);
            // The numbers of all variables rise.
            let scope = scope.iter().filter_map(|v| free.binary_search(v).ok()).collect();
            Clique { scope, log_potential }
        });
        let conditioned = conditioned.collect();
        Self::new(free.iter().map(|&variable| self.states[variable]).collect(), conditioned)
    }

    /// Σ log φ of a configuration, a state for each variable: −E.
    ///
    /// # Errors
    ///
    /// For states that there are not.
    pub fn log_potential(&self, x: &[usize]) -> Result<f64> {
        if x.len() != self.states.len() || x.iter().zip(&self.states).any(|(x, states)| x >= states)
        {
            let expected = format!("a state of each of {} variables", self.states.len());
            return Err(Error::invalid(
                "a configuration",
                expected,
                format!("{} numbers", x.len()),
            ));
        }
        Ok(self.cliques.iter().map(|clique| clique.log_potential[self.place(clique, x)]).sum())
    }

    /// The states of the variables of `scope` at a place of a table over them, the last variable fastest.
    pub fn states_at(&self, scope: &[usize], mut place: usize) -> Vec<usize> {
        let mut states = vec![0; scope.len()];
        for (state, &variable) in states.iter_mut().zip(scope).rev() {
            *state = place % self.states[variable];
            place /= self.states[variable];
        }
        states
    }

    /// A clique over those of its variables that are not `known`, where the others are in their states; log φ times `beta`.
    pub(crate) fn restricted(&self, clique: &Clique, known: &[Option<usize>], beta: f64) -> Clique {
        let scope: Vec<usize> =
            clique.scope.iter().copied().filter(|v| known[*v].is_none()).collect();
        let size: usize = scope.iter().map(|v| self.states[*v]).product();
        let log_potential = (0..size).map(|place| {
            let mut free = self.states_at(&scope, place).into_iter();
            let at = clique.scope.iter().fold(0, |at, &v| {
                at * self.states[v] + known[v].or_else(|| free.next()).unwrap_or(0)
            });
            beta * clique.log_potential[at]
        });
        Clique { log_potential: log_potential.collect(), scope }
    }

    /// log φ of the clique with this number, of states that there are.
    pub(crate) fn log_potential_of(&self, number: usize, x: &[usize]) -> f64 {
        let clique = &self.cliques[number];
        clique.log_potential[self.place(clique, x)]
    }

    /// Where the states `x` of a clique's variables lie in its table.
    pub(crate) fn place(&self, clique: &Clique, x: &[usize]) -> usize {
        self.place_of(&clique.scope, x)
    }

    /// Where the states `x` of the variables of `scope` lie in a table over them.
    pub(crate) fn place_of(&self, scope: &[usize], x: &[usize]) -> usize {
        scope.iter().fold(0, |place, &v| place * self.states[v] + x[v])
    }

    /// The state of each variable that `given` names, `(variable, state)`.
    ///
    /// # Errors
    ///
    /// Unless these are states of variables, each variable once or twice the same.
    pub fn check_evidence(&self, given: &[(usize, usize)]) -> Result<Vec<Option<usize>>> {
        let mut known = vec![None; self.states.len()];
        for &(variable, state) in given {
            let place = || format!("the evidence of variable {variable}");
            let Some(states) = self.states.get(variable) else {
                let expected = format!("variables 0 to {}", self.states.len() - 1);
                return Err(Error::invalid("evidence", expected, variable.to_string()));
            };
            if state >= *states {
                let expected = format!("a state from 0 to {}", states - 1);
                return Err(Error::invalid(place(), expected, state.to_string()));
            }
            if let Some(other) = known[variable].replace(state).filter(|other| *other != state) {
                return Err(Error::invalid(place(), "one state", format!("{other} and {state}")));
            }
        }
        Ok(known)
    }
}

/// log(1 + eˣ).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub(crate) fn check_temperature(tau: f64) -> Result<()> {
    if is_temperature(tau) {
        return Ok(());
    }
    let expected = format!("a number of at least {COLDEST:e}");
    Err(Error::invalid("a temperature", expected, format!("{tau:e}")))
}
