//! `dbn infer`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use candle_boltzmann::{Beliefs, Clique, FieldBest, Graph, MarkovField, Mode, evidence_as_uai};
use candle_core::{DType, Device};
use candle_dbn::estimate::likelihood::TOLERANCE;
use indicatif::MultiProgress;
use rbm_core::Rng;
use rbm_core::estimate::AisEstimates;
use rbm_core::sampling::AnnealingPath;
use rbm_core::sampling::mixing::MOST_R_HAT;
use rbm_core::state::write_whole;
use serde::Serialize;

use super::evaluate::machine::brief_log_partition;
use crate::beliefs::{self, LearnedBelief};
use crate::interrupt::Interrupted;
use crate::machines::{self, UnitNames};
use crate::output::Usage;
use crate::{inputs, interrupt, output, progress};

/// The most rows of a joint table, and of a table of marginals on the screen.
const MOST_JOINT: usize = 4096;
const MOST_SHOWN: usize = 64;
/// Chains of sampling, and the usual number of their sweeps together.
const CHAINS: usize = 8;
const SWEEPS: u32 = 100_000;

/// What is believed of the variables of a Markov random field, given some of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn infer field.uai                                   all marginals, log Z and the most probable configuration
  dbn infer field.uai --given B=1,C=0 --query D         what B and C say of D; variables by letter or by number
  dbn infer field.uai --query B,C --temperature 2       p(B, C) at a higher temperature: φ to the power of 1/2
  dbn infer field.uai --evidence field.uai.evid --mar field.mar
  dbn infer pmj:12x12:seed=1                            exactly, with the number of ground states
  dbn infer ising:32x32 --temperature 2.5 --sweeps 2000  too wide to be counted: from samples
  dbn infer ising:8x8 --temperature 2.5 --sampled --log-z  sampled, with log Z from both sides
MODEL: a UAI file (MARKOV or BAYES), whatever dbn anneal takes, or the run of a small belief net (at
most 20 units in each layer above another), whose variables are v0, v1, ... and the causes above
them h1.0, h1.1, ..., h2.0, ... The variables of a problem in JSON have its names, and those of a
table its columns'; those of an alignment are its sites from 1, and their states its letters:
--given 2=A. Hidden units of a machine are h1.0, h1.1, ... then. Of spins and of Bernoulli units
state 1 is up. Exact where no table exceeds 2^24 numbers and all together 2^29, else from Gibbs
sampling in 8 chains: which of both is said. Of samples, 0.1234(12) has a standard error of 0.0012,
by the spread between the chains.")]
pub struct Infer {
    /// A UAI file, or a machine: ising:8x8, pmj:12x12:seed=1, potts:3:4x4, sk:16:seed=1, its file, its run, or its name on the Hub
    pub model: PathBuf,
    /// States of variables that are known
    #[arg(long, value_name = "VARIABLE=STATE,...", value_delimiter = ',')]
    pub given: Vec<String>,
    /// The same from a UAI evidence file
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// The variables of interest: marginals of these alone, and with several of them their joint table [default: all]
    #[arg(long, value_name = "VARIABLE,...", value_delimiter = ',')]
    pub query: Vec<String>,
    /// Count exactly, or fail
    #[arg(long, conflicts_with = "sampled")]
    pub exact: bool,
    /// Sample, even where counting would be possible
    #[arg(long)]
    pub sampled: bool,
    /// Temperature: potentials to the power of 1/T
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    pub temperature: f64,
    /// Sweeps of sampling, of all chains together [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub sweeps: Option<u32>,
    /// Where it is sampled, find log Z too: by annealing from both sides
    #[arg(long, conflicts_with = "exact")]
    pub log_z: bool,
    /// Seed of sampling
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the marginals as a UAI result
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub mar: Option<PathBuf>,
    /// Write what is known as a UAI evidence file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub evid: Option<PathBuf>,
    /// Write the field itself as a UAI file, without what is given, at temperature 1
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub uai: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Inferred<'a> {
    model: &'a str,
    /// What the variables are called, where they have names.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    names: &'a [String],
    /// What their states are called, where these are letters.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    letters: &'a [String],
    temperature: f64,
    given: Vec<(usize, usize)>,
    is_exact: bool,
    /// Of the variables asked for: number and p(state).
    marginals: Vec<(usize, &'a [f64])>,
    /// The standard errors of these, where they are sampled; none of what was never or always seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<(usize, Vec<Option<f64>>)>>,
    /// States of the variables asked for, and their probability.
    joint: Vec<(Vec<usize>, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joint_errors: Option<Vec<Option<f64>>>,
    log_partition: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_partition_error: Option<f64>,
    /// log Z by annealing from each side and by Bennett's ratio over a ladder of temperatures, where it was not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_partition_sides: Option<AisEstimates>,
    most_probable: Option<Mode>,
    /// The best states that the chains have seen, and their E, where nothing was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_seen: Option<FieldBest>,
    /// How far the chains have been to different places, where it was sampled: of E and of the states of variables the highest R̂.
    #[serde(skip_serializing_if = "Option::is_none")]
    r_hat: Option<f64>,
    /// Whether the chains have been to the same places, by R̂, which may be infinite and is no number of JSON then.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_mixed: Option<bool>,
}

/// Prints tables, or one JSON object.
pub fn run(args: &Infer, bars: &MultiProgress) -> Result<()> {
    let files: Vec<_> = args.mar.iter().chain(&args.uai).chain(&args.evid).collect();
    output::check_free(&files, args.force)?;
    output::check_folders(&files)?;
    inputs::check_temperature(args.temperature)?;
    let model = inputs::text(&args.model)?;
    let Question { mut field, graph, names: own, letters } = Question::find(&args.model)?;
    let places = files.iter().map(std::path::absolute).collect::<std::io::Result<Vec<_>>>()?;
    if (1..places.len()).any(|at| places[..at].contains(&places[at])) {
        return Err(Usage::of(anyhow!(
            "--uai, --mar and --evid: expected several files, found one"
        )));
    }
    let names = Names { states: field.states.clone(), own, letters };
    let mut given = match &args.evidence {
        Some(path) => {
            let given = field.read_evidence(path)?;
            if given.is_empty() {
                output::note(format!("{}: no variable is known", path.display()));
            }
            given
        }
        None => Vec::new(),
    };
    for text in &args.given {
        let (variable, state) = names.state(text).map_err(Usage::of)?;
        if let Some((_, other)) =
            given.iter().find(|(known, of)| *known == variable && *of != state)
        {
            let (name, other) = (names.name(variable), names.name_of_state(*other));
            bail!("--given {text}: expected one state for {name}, found {other} before");
        }
        given.push((variable, state));
    }
    let query = args.query.iter().map(|text| names.variable(text)).collect::<Result<Vec<_>>>();
    let query = query.map_err(Usage::of)?;
    if let Some(twice) = (1..query.len()).find(|at| query[..*at].contains(&query[*at])) {
        let name = names.name(query[twice]);
        return Err(Usage::of(anyhow!("--query: expected each variable once, found {name} twice")));
    }
    let mut written = Vec::new();
    if let Some(path) = &args.uai {
        // A potential that is no number above 0 could not be read again.
        let mut all = field.cliques.iter().flat_map(|clique| &clique.log_potential);
        if let Some(log) = all.find(|log| !log.exp().is_normal()) {
            bail!("--uai: expected potentials that double precision holds, found exp({log})");
        }
        written.push((path, field.to_uai()));
    }
    let combinations = query.iter().try_fold(1usize, |size, &v| size.checked_mul(field.states[v]));
    if query.len() > 1 {
        let size = combinations.filter(|size| *size <= MOST_JOINT).ok_or_else(|| {
            Usage::of(anyhow!("--query: expected at most {MOST_JOINT} combinations of states"))
        })?;
        // A clique that says nothing: its table is what is asked for.
        field.cliques.push(Clique { scope: query.clone(), log_potential: vec![0.0; size] });
        field = MarkovField::new(field.states, field.cliques).map_err(Usage::of)?;
    }
    let found =
        infer(args, (&field, graph.as_ref()), &given, bars).with_context(|| model.to_owned())?;
    written.extend(args.evid.as_ref().map(|path| (path, evidence_as_uai(&given))));
    written.extend(args.mar.as_ref().map(|path| (path, found.beliefs.to_uai())));
    for (path, text) in written {
        write_whole(path, text.as_bytes())?;
    }
    let shown = if query.is_empty() { (0..field.states.len()).collect() } else { query.clone() };
    let table = if query.len() > 1 { last_table(&found.beliefs) } else { &[] };
    let inferred = Inferred {
        model,
        names: &names.own,
        letters: &names.letters,
        temperature: args.temperature,
        given,
        is_exact: found.mode.is_some(),
        marginals: marginals_of(&found.beliefs, &shown),
        errors: found.errors.as_ref().map(|errors| {
            marginals_of(errors, &shown).into_iter().map(|(v, errors)| (v, known(errors))).collect()
        }),
        joint: table.iter().enumerate().map(|(at, p)| (field.states_at(&query, at), *p)).collect(),
        joint_errors: found
            .errors
            .as_ref()
            .filter(|_| query.len() > 1)
            .map(|errors| known(last_table(errors))),
        log_partition: Some(found.beliefs.log_partition).filter(|log_z| log_z.is_finite()),
        log_partition_error: found.sides.as_ref().and_then(|sides| Some(sides.best()?[1])),
        log_partition_sides: found.sides,
        most_probable: found.mode,
        best_seen: found.best,
        r_hat: found.r_hat.filter(|r_hat| r_hat.is_finite()),
        is_mixed: found.r_hat.map(|r_hat| r_hat <= MOST_R_HAT),
    };
    if args.json {
        return output::json(&inferred);
    }
    inferred.print(&names)
}

/// The field that is meant.
struct Question {
    field: MarkovField,
    /// The graph that it is of, where it is of one.
    graph: Option<Graph>,
    /// What its variables are called, where they have names.
    names: Vec<String>,
    /// What the states of each are called, where they are letters of an alignment.
    letters: Vec<String>,
}

impl Question {
    fn find(path: &Path) -> Result<Self> {
        let model = inputs::text(path)?;
        if MarkovField::is_in(model) {
            let field = MarkovField::read(model)?;
            return Ok(Self { field, graph: None, names: Vec::new(), letters: Vec::new() });
        }
        if beliefs::is_learned(path) {
            let learned = LearnedBelief::open(path)?;
            let net = &learned.learner.machine().net;
            let field = MarkovField::of_belief_net(net).with_context(|| model.to_owned())?;
            // v0, v1, ... are observed; h1.0, h1.1, ... their causes, h2.0, ... the causes of these.
            let layers = net.widths().into_iter().enumerate();
            let names = layers.flat_map(|(layer, width)| {
                (0..width).map(move |unit| match layer {
                    0 => format!("v{unit}"),
                    _ => format!("h{layer}.{unit}"),
                })
            });
            let names = names.collect();
            return Ok(Self { field, graph: None, names, letters: Vec::new() });
        }
        let graph = machines::graph(model)?;
        let field = MarkovField::of_graph(&graph)?;
        let UnitNames { units: names, letters } = UnitNames::of(path, &graph)?;
        Ok(Self { field, graph: Some(graph), names, letters })
    }
}

/// Errors of sampling; samples that are all alike have no spread, and so none.
fn known(errors: &[f64]) -> Vec<Option<f64>> {
    errors.iter().map(|error| Some(*error).filter(|error| *error > 0.0)).collect()
}

/// Those of some variables, by their numbers.
fn marginals_of<'a>(beliefs: &'a Beliefs, variables: &[usize]) -> Vec<(usize, &'a [f64])> {
    variables.iter().map(|&v| (v, &beliefs.marginals[v][..])).collect()
}

/// The table of the last clique.
fn last_table(beliefs: &Beliefs) -> &[f64] {
    beliefs.cliques.last().map_or(&[], |table| &table[..])
}

/// Beliefs, exact or sampled, and what comes with them.
struct Answers {
    beliefs: Beliefs,
    /// Of what is sampled.
    errors: Option<Beliefs>,
    sides: Option<AisEstimates>,
    best: Option<FieldBest>,
    r_hat: Option<f64>,
    /// Of what is exact.
    mode: Option<Mode>,
}

/// Exactly where that is possible, else from samples.
fn infer(
    args: &Infer,
    (field, graph): (&MarkovField, Option<&Graph>),
    given: &[(usize, usize)],
    bars: &MultiProgress,
) -> Result<Answers> {
    // Of a sampled field it is of no use.
    let order = match args.sampled {
        true => None,
        false => Some(field.elimination_order(given)?),
    };
    if let Some(order) = order.filter(|order| args.exact || order.is_countable()) {
        if args.sweeps.is_some() || args.log_z {
            output::note("counted exactly: nothing is sampled (--sampled does that)");
        }
        let spinner = progress::spinner(bars, "counting");
        let found = field
            .infer_by(&order, args.temperature)
            .and_then(|beliefs| Ok((beliefs, field.mode_by(&order)?)));
        spinner.finish_and_clear();
        let (beliefs, mode) = found?;
        return Ok(Answers {
            beliefs,
            errors: None,
            sides: None,
            best: None,
            r_hat: None,
            mode: Some(mode),
        });
    }
    if !args.sampled {
        output::note(format!(
            "too wide to be counted: sampled, in {CHAINS} chains of Gibbs sampling"
        ));
    }
    let sweeps = (args.sweeps.unwrap_or(SWEEPS) as usize).div_ceil(CHAINS);
    let bar = progress::bar(bars, (sweeps + sweeps / 5) as u64);
    let _caught = interrupt::catch()?;
    let mut rng = Rng::new(args.seed);
    let walk = [CHAINS, sweeps];
    let sampled = field.sample(args.temperature, given, walk, &mut rng, |done| {
        bar.set_position(done as u64);
        !interrupt::is_requested()
    });
    bar.finish_and_clear();
    if interrupt::is_requested() {
        return Err(Interrupted("nothing was written".to_owned()).into());
    }
    let mut sampled = sampled?;
    if let Some(r_hat) = sampled.r_hat.filter(|r_hat| *r_hat > MOST_R_HAT) {
        output::note(format!(
            "the chains have been to different places (R\u{302} = {r_hat:.2}): more --sweeps, or a higher --temperature"
        ));
    }
    let is_free = field.check_evidence(given)?.contains(&None);
    if args.log_z && !is_free {
        output::note("every variable is given: log Z is −E/T of that");
    }
    let sides = match args.log_z && is_free {
        true => Some(sides(args, (field, graph), given, bars)?),
        false => None,
    };
    if let Some([value, _]) = sides.as_ref().and_then(AisEstimates::best) {
        sampled.beliefs.log_partition = value;
    }
    Ok(Answers {
        beliefs: sampled.beliefs,
        errors: Some(sampled.errors),
        sides,
        best: Some(sampled.best),
        r_hat: sampled.r_hat,
        mode: None,
    })
}

/// log Z from both sides.
fn sides(
    args: &Infer,
    (field, graph): (&MarkovField, Option<&Graph>),
    given: &[(usize, usize)],
    bars: &MultiProgress,
) -> Result<AisEstimates> {
    // A machine of pairs is faster than one of cliques.
    let machine = match graph {
        Some(graph) if given.is_empty() => {
            graph.at(args.temperature).machine(DType::F64, &Device::Cpu)?
        }
        _ => field.conditioned(args.temperature, given)?.machine(DType::F64, &Device::Cpu)?,
    };
    let path = AnnealingPath::temperature(&machine)?;
    brief_log_partition(&machine, path, args.seed, (bars, "nothing was written"))
}

/// Variables by their own names; where they have none by number, and of up to 26 also by letter.
struct Names {
    /// How many states each has.
    states: Vec<usize>,
    own: Vec<String>,
    /// What states are called, where they are letters.
    letters: Vec<String>,
}

impl Names {
    fn variable(&self, text: &str) -> Result<usize> {
        if !self.own.is_empty() {
            return self.own.iter().position(|name| name == text).with_context(|| {
                let few = self.own.iter().take(10).map(String::as_str).collect::<Vec<_>>();
                let more = if self.own.len() > few.len() { ", ..." } else { "" };
                format!("variable {text:?}: expected one of {}{more}", few.join(", "))
            });
        }
        let count = self.states.len();
        let of_letter = match text.as_bytes() {
            [letter @ b'A'..=b'Z'] if count <= 26 => Some(usize::from(letter - b'A')),
            _ => None,
        };
        let number = of_letter.or_else(|| text.parse().ok());
        number.filter(|number| *number < count).ok_or_else(|| {
            let letters = match count {
                2..=26 => format!(" or A to {}", self.name(count - 1)),
                _ => String::new(),
            };
            anyhow!("variable {text:?}: expected 0 to {}{letters}", count - 1)
        })
    }

    fn state(&self, text: &str) -> Result<(usize, usize)> {
        // A name may have the sign in it.
        let (variable, state) = text
            .rsplit_once('=')
            .with_context(|| format!("--given {text:?}: expected VARIABLE=STATE"))?;
        let variable = self.variable(variable)?;
        if !self.letters.is_empty() {
            let number = self.letters.iter().position(|letter| letter == state);
            let number = number.with_context(|| {
                let letters = self.letters.join(" ");
                format!("--given {text:?}: expected one of the letters {letters}, found {state:?}")
            })?;
            return Ok((variable, number));
        }
        let number = state.parse().ok().filter(|number| *number < self.states[variable]);
        let number = number.with_context(|| {
            let most = self.states[variable] - 1;
            format!("--given {text:?}: expected a state from 0 to {most}, found {state:?}")
        })?;
        Ok((variable, number))
    }

    fn name_of_state(&self, state: usize) -> String {
        self.letters.get(state).cloned().unwrap_or_else(|| state.to_string())
    }

    /// States for a line, where they are few.
    fn listed(&self, states: &[usize]) -> String {
        let apart = if self.letters.is_empty() { " " } else { "" };
        match states.len() {
            0..=64 => {
                let names = states.iter().map(|state| self.name_of_state(*state));
                format!(" {}", names.collect::<Vec<_>>().join(apart))
            }
            _ => String::new(),
        }
    }

    fn name(&self, variable: usize) -> String {
        match (self.own.get(variable), self.states.len()) {
            (Some(name), _) => name.clone(),
            (None, 0..=26) => char::from(b'A' + variable as u8).to_string(),
            _ => variable.to_string(),
        }
    }
}

impl Inferred<'_> {
    fn print(&self, names: &Names) -> Result<()> {
        let most = self.marginals.iter().map(|(_, marginal)| marginal.len()).max().unwrap_or(0);
        let header: Vec<String> = std::iter::once("variable".into())
            .chain((0..most).map(|state| format!("p({})", names.name_of_state(state))))
            .collect();
        let row = |(at, (variable, marginal)): (usize, &(usize, &[f64]))| {
            let errors = self.errors.as_ref().map(|errors| &errors[at].1[..]);
            let is_given = self.given.iter().any(|(given, _)| given == variable);
            let mut cells = vec![names.name(*variable)];
            cells.extend(probabilities(marginal, errors.filter(|_| !is_given)));
            cells.resize(most + 1, String::new());
            cells
        };
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows = self.marginals.iter().take(MOST_SHOWN).enumerate().map(row).collect();
        output::line(output::table(&header, rows))?;
        if let Some(left) = self.marginals.len().checked_sub(MOST_SHOWN).filter(|left| *left > 0) {
            output::note(format!("and {left} more variables: --query, --mar or --json show them"));
        }
        if !self.joint.is_empty() {
            let mut header: Vec<String> =
                self.marginals.iter().map(|(v, _)| names.name(*v)).collect();
            header.push("p".into());
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let values: Vec<f64> = self.joint.iter().map(|(_, p)| *p).collect();
            let shown = probabilities(&values, self.joint_errors.as_deref());
            let is_excluded = |states: &[usize]| {
                let mut pairs = self.marginals.iter().zip(states);
                pairs.any(|((v, _), state)| self.given.iter().any(|(g, of)| g == v && of != state))
            };
            let rows = self.joint.iter().zip(shown).map(|((states, _), p)| {
                let p = if is_excluded(states) { output::number(0.0) } else { p };
                states.iter().map(|state| names.name_of_state(*state)).chain([p]).collect()
            });
            output::line(output::table(&header, rows.collect()))?;
        }
        self.print_exact(names)?;
        self.print_sampled(names)
    }

    fn print_exact(&self, names: &Names) -> Result<()> {
        let (Some(log_z), Some(mode)) = (self.log_partition, &self.most_probable) else {
            return Ok(());
        };
        let tau = output::short(self.temperature);
        output::line(format!("log Z {log_z:.10}, exact at T = {tau}"))?;
        let p = (mode.log_potential / self.temperature - log_z).exp();
        let p = if p < 1e-3 { format!("{p:.4e}") } else { format!("{p:.6}") };
        output::line(format!(
            "most probable{}: p = {p}, E = {:.6}, one of {}",
            names.listed(&mode.states),
            mode.energy(),
            output::counted(mode.count)
        ))
    }

    fn print_sampled(&self, names: &Names) -> Result<()> {
        let Some(best) = &self.best_seen else { return Ok(()) };
        let tau = output::short(self.temperature);
        output::line(format!("sampled at T = {tau}: probabilities have errors of sampling"))?;
        if let Some(sides) = &self.log_partition_sides
            && let (Some(forward), Some(reverse)) = (&sides.forward, &sides.reverse)
            && let Some([log_z, error]) = sides.best()
        {
            let gap = (forward.value - reverse.value).abs();
            output::line(format!(
                "log Z {} at T = {tau}, forwards {} and backwards {}",
                output::with_error(log_z, error),
                output::with_error(forward.value, forward.error),
                output::with_error(reverse.value, reverse.error)
            ))?;
            // What is no number agrees with nothing.
            if gap.is_nan() || gap > TOLERANCE {
                output::note(format!(
                    "both sides of log Z are {} apart: it is not to be quoted",
                    output::short((100.0 * gap).round() / 100.0)
                ));
            }
        }
        if self.log_partition_sides.as_ref().is_some_and(|sides| sides.best().is_none()) {
            output::note("log Z was not found: no estimate of it is a number");
        }
        match (&best.states[..], &best.energies.0[..]) {
            ([states], [energy]) => output::line(format!(
                "best of these samples{}: E = {} (dbn anneal looks for lower ones)",
                names.listed(states),
                output::number(*energy)
            )),
            _ => Ok(()),
        }
    }
}

/// Numbers for a table, with their errors where they are sampled.
fn probabilities(values: &[f64], errors: Option<&[Option<f64>]>) -> Vec<String> {
    let Some(errors) = errors else {
        return values.iter().map(|p| output::number(*p)).collect();
    };
    let text = |(p, error): (&f64, &Option<f64>)| match (*p, error) {
        // That is not to say that there are no others.
        (0.0, None) => "never seen".to_owned(),
        (1.0, None) => "always seen".to_owned(),
        (p, error) => output::with_error(p, error.unwrap_or(0.0)),
    };
    values.iter().zip(errors).map(text).collect()
}
