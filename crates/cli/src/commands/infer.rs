//! `dbn infer`

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use candle_boltzmann::{Beliefs, Clique, MarkovField, Mode, read_evidence};
use indicatif::MultiProgress;
use rbm_core::Rng;
use rbm_core::sampling::mixing::MOST_R_HAT;
use rbm_core::state::write_whole;
use serde::Serialize;

use crate::interrupt::Stopped;
use crate::output::Usage;
use crate::{inputs, interrupt, output, progress};

/// The most rows of a joint table, and of a table of marginals on the screen.
const MOST_JOINT: usize = 4096;
const MOST_SHOWN: usize = 64;
/// log₂ of the largest table of exact inference.
const WIDEST: f64 = 24.0;
/// Chains of sampling.
const CHAINS: usize = 8;

/// What is believed of the variables of a Markov random field, given some of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn infer field.uai                                   all marginals, log Z and the most probable configuration
  dbn infer field.uai --given B=1,C=0 --query D         what B and C say of D; variables by letter or by number
  dbn infer field.uai --query B,C --temperature 2       p(B, C) at a higher temperature: φ to the power of 1/2
  dbn infer field.uai --evidence field.uai.evid --mar field.mar
  dbn infer pmj:12x12:seed=1                            exactly, with the number of ground states
  dbn infer ising:32x32 --temperature 2.5 --sweeps 2000  too wide to be counted: from samples
MODEL: a UAI file (MARKOV or BAYES), or whatever dbn anneal takes. Of spins and of Bernoulli units
state 1 is up. Exact where no table exceeds 2^24 numbers, else from Gibbs sampling in 8 chains:
which of both is said.")]
pub struct Infer {
    /// A UAI file, or a machine: ising:8x8, pmj:12x12:seed=1, potts:3:4x4, sk:16:seed=1, or its file
    pub model: String,
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
    /// Sweeps of sampling, of all chains together
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sweeps: u32,
    /// Seed of sampling
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the marginals as a UAI result
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub mar: Option<PathBuf>,
    /// Write the field itself as a UAI file
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
    temperature: f64,
    given: Vec<(usize, usize)>,
    is_exact: bool,
    /// Of the variables asked for: number and p(state).
    marginals: Vec<(usize, &'a [f64])>,
    /// States of the variables asked for, and their probability.
    joint: Vec<(Vec<usize>, f64)>,
    log_partition: Option<f64>,
    most_probable: Option<Mode>,
}

/// Prints tables, or one JSON object.
pub fn run(args: &Infer, bars: &MultiProgress) -> Result<()> {
    let files: Vec<_> = args.mar.iter().chain(&args.uai).collect();
    output::check_free(&files, args.force)?;
    if !(args.temperature > 0.0 && args.temperature.is_finite()) {
        let error = anyhow!("--temperature {}: expected a number above 0", args.temperature);
        return Err(Usage::of(error));
    }
    let mut field = match MarkovField::is_in(&args.model) {
        true => MarkovField::read(&args.model)?,
        false => MarkovField::of_graph(&inputs::graph(&args.model)?)?,
    };
    if let Some(path) = &args.uai {
        write_whole(path, field.to_uai().as_bytes())?;
    }
    let names = Names { count: field.states.len() };
    let mut given = match &args.evidence {
        Some(path) => {
            let given = read_evidence(path)?;
            field.check_evidence(&given).with_context(|| path.display().to_string())?;
            given
        }
        None => Vec::new(),
    };
    for text in &args.given {
        given.push(names.state(text).map_err(Usage::of)?);
    }
    let query = args.query.iter().map(|text| names.variable(text)).collect::<Result<Vec<_>>>();
    let query = query.map_err(Usage::of)?;
    let combinations = query.iter().try_fold(1usize, |size, &v| size.checked_mul(field.states[v]));
    if query.len() > 1 {
        let size = combinations.filter(|size| *size <= MOST_JOINT).ok_or_else(|| {
            Usage::of(anyhow!("--query: expected at most {MOST_JOINT} combinations of states"))
        })?;
        // A clique that says nothing: its table is what is asked for.
        field.cliques.push(Clique { scope: query.clone(), log_potential: vec![0.0; size] });
        field = MarkovField::new(field.states, field.cliques).map_err(Usage::of)?;
    }
    let (beliefs, mode) = infer(args, &field, &given, bars)?;
    if let Some(path) = &args.mar {
        write_whole(path, beliefs.to_uai().as_bytes())?;
    }
    let shown = if query.is_empty() { (0..field.states.len()).collect() } else { query.clone() };
    let joint = match (query.len() > 1, beliefs.cliques.last()) {
        (true, Some(table)) => {
            table.iter().enumerate().map(|(at, p)| (field.states_at(&query, at), *p)).collect()
        }
        _ => Vec::new(),
    };
    let inferred = Inferred {
        model: &args.model,
        temperature: args.temperature,
        given,
        is_exact: mode.is_some(),
        marginals: shown.iter().map(|&v| (v, &beliefs.marginals[v][..])).collect(),
        joint,
        log_partition: Some(beliefs.log_partition).filter(|log_z| log_z.is_finite()),
        most_probable: mode,
    };
    if args.json {
        return output::json(&inferred);
    }
    inferred.print(&names)
}

/// Beliefs, and the most probable configuration where they are exact.
fn infer(
    args: &Infer,
    field: &MarkovField,
    given: &[(usize, usize)],
    bars: &MultiProgress,
) -> Result<(Beliefs, Option<Mode>)> {
    let is_narrow = field.width(given)? <= WIDEST;
    if !args.sampled && (args.exact || is_narrow) {
        let spinner = progress::spinner(bars, "counting");
        let found = field
            .infer(args.temperature, given)
            .and_then(|beliefs| Ok((beliefs, field.mode(given)?)));
        spinner.finish_and_clear();
        let (beliefs, mode) = found.with_context(|| args.model.clone())?;
        return Ok((beliefs, Some(mode)));
    }
    if !args.sampled {
        output::note(format!(
            "too wide to be counted: sampled, in {CHAINS} chains of Gibbs sampling"
        ));
    }
    let sweeps = (args.sweeps as usize).div_ceil(CHAINS);
    let bar = progress::bar(bars, (sweeps + sweeps / 5) as u64);
    let _caught = interrupt::catch()?;
    let mut rng = Rng::new(args.seed);
    let walk = [CHAINS, sweeps];
    let found = field.sample(args.temperature, given, walk, &mut rng, |done| {
        bar.set_position(done as u64);
        !interrupt::is_asked()
    });
    bar.finish_and_clear();
    if interrupt::is_asked() {
        return Err(Stopped("nothing was written".to_owned()).into());
    }
    let (beliefs, r_hat) = found?;
    if let Some(r_hat) = r_hat.filter(|r_hat| *r_hat > MOST_R_HAT) {
        output::note(format!(
            "the chains have been to different places (R\u{302} = {r_hat:.2}): more --sweeps, or a higher --temperature"
        ));
    }
    Ok((beliefs, None))
}

/// Variables by number, and of up to 26 also by letter.
struct Names {
    count: usize,
}

impl Names {
    fn variable(&self, text: &str) -> Result<usize> {
        let of_letter = match text.as_bytes() {
            [letter @ b'A'..=b'Z'] if self.count <= 26 => Some(usize::from(letter - b'A')),
            _ => None,
        };
        let number = of_letter.or_else(|| text.parse().ok());
        number.filter(|number| *number < self.count).ok_or_else(|| {
            let letters = match self.count {
                2..=26 => format!(" or A to {}", self.name(self.count - 1)),
                _ => String::new(),
            };
            anyhow!("variable {text:?}: expected 0 to {}{letters}", self.count - 1)
        })
    }

    fn state(&self, text: &str) -> Result<(usize, usize)> {
        let (variable, state) = text
            .split_once('=')
            .with_context(|| format!("--given {text:?}: expected VARIABLE=STATE"))?;
        let number = state
            .parse()
            .with_context(|| format!("--given {text:?}: expected a state's number"))?;
        Ok((self.variable(variable)?, number))
    }

    fn name(&self, variable: usize) -> String {
        match self.count {
            0..=26 => char::from(b'A' + variable as u8).to_string(),
            _ => variable.to_string(),
        }
    }
}

impl Inferred<'_> {
    fn print(&self, names: &Names) -> Result<()> {
        let probability = |p: f64| format!("{p:.6}");
        let most = self.marginals.iter().map(|(_, marginal)| marginal.len()).max().unwrap_or(0);
        let header: Vec<String> = std::iter::once("variable".into())
            .chain((0..most).map(|state| format!("p({state})")))
            .collect();
        let row = |(variable, marginal): &(usize, &[f64])| {
            let mut cells = vec![names.name(*variable)];
            cells.extend(marginal.iter().map(|p| probability(*p)));
            cells.resize(most + 1, String::new());
            cells
        };
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows = self.marginals.iter().take(MOST_SHOWN).map(row).collect();
        output::line(output::table(&header, rows))?;
        if let Some(left) = self.marginals.len().checked_sub(MOST_SHOWN).filter(|left| *left > 0) {
            output::note(format!("and {left} more variables: --query, --mar or --json show them"));
        }
        if !self.joint.is_empty() {
            let mut header: Vec<String> =
                self.marginals.iter().map(|(v, _)| names.name(*v)).collect();
            header.push("p".into());
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let rows = self.joint.iter().map(|(states, p)| {
                states.iter().map(usize::to_string).chain([probability(*p)]).collect()
            });
            output::line(output::table(&header, rows.collect()))?;
        }
        match (self.log_partition, &self.most_probable) {
            (Some(log_z), Some(mode)) => {
                output::line(format!("log Z {log_z:.10}, exact at T = {}", self.temperature))?;
                let p = (mode.log_potential / self.temperature - log_z).exp();
                let states: Vec<String> = mode.states.iter().map(usize::to_string).collect();
                let all = match states.len() {
                    0..=64 => format!(" {}", states.join(" ")),
                    _ => String::new(),
                };
                output::line(format!(
                    "most probable{all}: p = {p:.4e}, E = {:.6}, one of {}",
                    -mode.log_potential, mode.count
                ))
            }
            _ => output::line(format!(
                "sampled at T = {}: probabilities have errors of sampling",
                self.temperature
            )),
        }
    }
}
