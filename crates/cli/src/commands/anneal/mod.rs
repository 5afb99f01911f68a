//! `dbn anneal`

mod ground_state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_boltzmann::{FieldBest, Graph, MarkovField, Mode};
use candle_core::{DType, Device, Tensor};
use candle_dbn::viz::images::{self, Contrast};
use indicatif::MultiProgress;
use rbm_core::model::Machine;
use rbm_core::sampling::{Best, LowestEnergies, SimulatedAnnealing, TemperedSearch};
use rbm_core::state::write_whole;
use rbm_core::{Rng, Units};
use serde::Serialize;

use self::ground_state::{ExactGroundState, listed};
use crate::inputs::{self, Where};
use crate::interrupt::Interrupted;
use crate::machines::{self, ModelSize};
use crate::output::Usage;
use crate::{interrupt, output, progress, tables};

/// Look for the lowest energy of a spin glass, a lattice or a problem of yes and no
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dbn anneal pmj:16x16:seed=1                             a ±J spin glass of 256 spins, open sides
  dbn anneal pmj:16x16:seed=1 --target -342 --json        how often, and how soon, a known optimum is found
  dbn anneal pmj:32x32:seed=2 --tempering --target -1372  a harder one, by parallel tempering with cluster moves
  dbn anneal pmj:8x8:seed=2:cylinder --from 3 --to 0.1 --sweeps 300 --reads 50 --out best.png
  dbn anneal pmj:12x12:seed=1 --exact                     the lowest energy there is, and how many configurations have it
  dbn anneal pmj:12x12:seed=1 --exact --sweeps 300        the same, then how often annealing comes to it
  dbn anneal field.uai                                    a field of cliques: E = −Σ log φ
  dbn anneal problem.json                                 a problem of yes and no, and the answer by the names of its variables
  dbn anneal G1                                           a graph for max-cut in a file: E = Σ w·s·s', the cut is (Σw − E)/2
MODEL: ising:ROWSxCOLUMNS, a torus of couplings 1; pmj:ROWSxCOLUMNS, couplings of ±1, with :seed=N
and :open, :cylinder or :torus; sk:SPINS:seed=N, all pairs coupled; potts:STATES:ROWSxCOLUMNS; or a
file: a list of edges (rudy, Gset), Matrix Market, UAI, a problem of yes and no as JSON {\"linear\": {\"a\":
1}, \"quadratic\": {\"a,b\": -2}}, or the _params.dat of adabmDCA. The energy is −Σ J·s·s', each bond
once. What counts is the lowest energy that a read has ever seen, not its last one. A success is a
read that comes to the target, or without one to the lowest energy of all reads: then it is only as
good as these. The time to solution is what it takes to see a success once with a probability of 99
%. With --tempering a read is a ladder of 32 replicas that change their temperatures; with a target,
it ends where one comes there.")]
pub struct Anneal {
    /// ising:ROWSxCOLUMNS, pmj:ROWSxCOLUMNS:seed=N, potts:STATES:ROWSxCOLUMNS, sk:SPINS:seed=N, a file, a run, or a name on the Hub
    pub model: PathBuf,
    /// Temperature of the first sweep, or the hottest of the ladder [default: by the strongest couplings]
    #[arg(long, value_name = "T", help_heading = "Annealing")]
    pub from: Option<f64>,
    /// Temperature of the last sweep, or the coldest of the ladder; each is colder than the one before by the same factor [default: by the
    /// weakest couplings]
    #[arg(long, value_name = "T", help_heading = "Annealing")]
    pub to: Option<f64>,
    /// Sweeps of each read [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000),
        help_heading = "Annealing")]
    pub sweeps: Option<u32>,
    /// Independent reads, side by side [default: 100, and 2 with --tempering]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Annealing")]
    pub reads: Option<u32>,
    /// Parallel tempering in place of falling temperatures
    #[arg(long, help_heading = "Annealing")]
    pub tempering: bool,
    /// Count the ground states, exactly: where no table on the way exceeds 2^25 numbers, as of open lattices 24 by 24. With --sweeps, --reads, --from, --to or
    /// --tempering their energy is then the target of a search; without these there is none
    #[arg(long, conflicts_with = "target", help_heading = "Annealing")]
    pub exact: bool,
    /// The energy that counts as a success, where it is known
    #[arg(long, value_name = "ENERGY", help_heading = "Annealing")]
    pub target: Option<f64>,
    /// Seed [default: 0]
    #[arg(long, value_name = "N", help_heading = "Annealing")]
    pub seed: Option<u64>,
    /// Write the best configuration: .npy, a row of ±1 for each row of the lattice, or .png; both with --out twice
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Vec<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    #[command(flatten)]
    pub place: Where,
    /// How many configurations have the target's energy, where that was counted.
    #[arg(skip)]
    ground_states: Option<f64>,
}

impl Anneal {
    fn sweeps(&self) -> u32 {
        self.sweeps.unwrap_or(1000)
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    /// Whether something is asked for that only a search has.
    fn has_search(&self) -> bool {
        self.tempering || self.from.or(self.to).is_some() || self.sweeps.or(self.reads).is_some()
    }
}

/// The most spins of all reads together: with what a sweep needs beside them, 2 GiB.
const MAX_SPINS: usize = 1 << 26;
/// How near to a target that was typed an energy counts as it: relative to it, but less than half of the step of whole numbers.
const TYPED: f64 = 1e-6;
const HALF: f64 = 0.4;
/// How near to each other two energies are the same, as a share of the sum of all couplings.
const ROUNDING: f64 = 1e-13;
/// How sure the time to solution is to have seen one.
const SURE: f64 = 0.99;

/// What was found.
#[derive(Debug, Serialize)]
struct Annealed<'a> {
    model: &'a str,
    #[serde(flatten)]
    size: ModelSize,
    from: f64,
    to: f64,
    sweeps: u32,
    reads: usize,
    is_tempered: bool,
    seed: u64,
    /// The lowest energy that any read has seen.
    energy: f64,
    energy_per_unit: f64,
    /// The mean of the reads' lowest energies.
    mean_energy: f64,
    /// What counts as a success.
    target: f64,
    is_target_known: bool,
    /// How many configurations have the target's energy, where that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    ground_states: Option<f64>,
    hits: usize,
    /// `None` of a search that ended at its first success: how many others there were says nothing.
    success_probability: Option<f64>,
    seconds: f64,
    /// `None` where no read was a success.
    seconds_to_solution: Option<f64>,
    /// The weight of the cut, of a graph in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<f64>,
    /// The best configuration, where its variables have names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configuration: BTreeMap<String, f64>,
}

/// Prints a table, or one JSON object.
pub fn run(args: &Anneal, bars: &MultiProgress) -> Result<()> {
    let model = inputs::text(&args.model)?;
    let has_seed = args.exact && !args.has_search() && args.seed.is_some();
    output::refuse(&[("--seed", has_seed)], "has no meaning where states are counted alone")?;
    if args.exact && args.has_search() {
        check_out(args)?;
        let field = match MarkovField::is_in(model) {
            true => MarkovField::read(model)?,
            false => MarkovField::of_graph(&machines::graph(model)?)?,
        };
        let (mode, _) = ground_state(args, &field, bars)?;
        let (target, ground_states) = (Some(mode.energy()), Some(mode.count));
        return run(&Anneal { exact: false, target, ground_states, ..args.clone() }, bars);
    }
    if MarkovField::is_in(model) {
        return of_cliques(args, bars);
    }
    let graph = machines::graph(model)?;
    if args.exact {
        return count(args, &graph, bars);
    }
    let is_binary = matches!(graph.units, Units::Spin { .. } | Units::Bernoulli { .. });
    if args.tempering && !is_binary {
        return of_potts(args, &graph, bars);
    }
    let range = match args.tempering {
        true => graph.temperatures(),
        false => graph.annealing_temperatures(),
    };
    let search = Search::between(args, range)?;
    search.check_size(args, graph.units.width())?;
    check_out(args)?;
    let machine = graph.machine(DType::F32, &args.place.find()?)?;
    let (best, seconds) = timed(args, bars, |show| search.run(args, &machine, show))?;
    let mut best = best.with_context(|| model.to_owned())?;
    let rest_and_last = machine.configuration(&best.rest, &best.last)?;
    // What the search has added up in single precision is counted anew.
    best.energies = LowestEnergies(graph.energies(&rest_and_last)?);
    if graph.is_beyond_single_precision() {
        output::note(
            "single precision does not hold all sums of these couplings: the search may pass over lower energies (--exact does not)",
        );
    }
    let rounding = ROUNDING * graph.strength();
    let of = (&best.energies, rounding);
    let (mut found, read) = Annealed::of(args, ModelSize::of_graph(&graph), &search, of, seconds)?;
    let configuration = rest_and_last.narrow(0, read, 1)?;
    found.configuration = named(&graph, &configuration)?;
    found.cut = cut(model, &graph, found.energy);
    args.out.iter().try_for_each(|out| write(out, &graph, &configuration))?;
    found.print(args.json)
}

/// What `search` finds, and the seconds that it takes; it is handed what shows how many sweeps are done.
fn timed<T>(
    args: &Anneal,
    bars: &MultiProgress,
    search: impl FnOnce(&dyn Fn(usize)) -> T,
) -> Result<(T, f64)> {
    let bar = progress::bar(bars, args.sweeps().into());
    let (_caught, start) = (interrupt::catch()?, Instant::now());
    let found = search(&|done| bar.set_position(done as u64));
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if interrupt::is_requested() {
        return Err(Interrupted("nothing was written".to_owned()).into());
    }
    Ok((found, seconds))
}

/// A field of cliques: E = −Σ log φ.
fn of_cliques(args: &Anneal, bars: &MultiProgress) -> Result<()> {
    check_out(args)?;
    if args.out.iter().any(|out| out.extension().is_some_and(|it| it == "png")) {
        return Err(Usage::of(anyhow::anyhow!("--out: expected .npy of a field of cliques")));
    }
    let model = inputs::text(&args.model)?;
    let field = MarkovField::read(model)?;
    let size = ModelSize::of_field(&field);
    if args.exact {
        let (mode, seconds) = ground_state(args, &field, bars)?;
        write_states(args, &mode.states)?;
        let counted = ExactGroundState::of(model, size, &mode, BTreeMap::new(), seconds);
        return counted.print(args.json);
    }
    search_field(args, (&field, field.temperatures(), size), bars, |states| {
        write_states(args, states)
    })
}

/// A ladder of temperatures for Potts units: in the field that they are.
fn of_potts(args: &Anneal, graph: &Graph, bars: &MultiProgress) -> Result<()> {
    check_out(args)?;
    let field = MarkovField::of_graph(graph)?;
    let size = ModelSize::of_graph(graph);
    search_field(args, (&field, graph.temperatures(), size), bars, |states| {
        let configuration = configuration_of(graph, states)?;
        args.out.iter().try_for_each(|out| write(out, graph, &configuration))
    })
}

/// Searches a field between `temperatures`, has the best states written, and prints what was found.
fn search_field(
    args: &Anneal,
    (field, temperatures, size): (&MarkovField, Option<[f64; 2]>, ModelSize),
    bars: &MultiProgress,
    write: impl FnOnce(&[usize]) -> Result<()>,
) -> Result<()> {
    let search = Search::between(args, temperatures)?;
    search.check_size(args, field.states.len())?;
    let (best, seconds) = timed(args, bars, |show| search.run_field(args, field, show))?;
    let best = best.with_context(|| args.model.display().to_string())?;
    let LowestEnergies(energies) = &best.energies;
    let rounding = ROUNDING * energies.iter().fold(0.0, |most: f64, energy| most.max(energy.abs()));
    let (found, read) = Annealed::of(args, size, &search, (&best.energies, rounding), seconds)?;
    write(&best.states[read])?;
    found.print(args.json)
}

/// A state of each variable, where there is a file for them.
fn write_states(args: &Anneal, states: &[usize]) -> Result<()> {
    let states: Vec<f32> = states.iter().map(|state| *state as f32).collect();
    let states = Tensor::from_vec(states.clone(), (1, states.len()), &Device::Cpu)?;
    let bytes = tables::npy_bytes(&states)?;
    Ok(args.out.iter().try_for_each(|out| write_whole(out, &bytes))?)
}

/// The weight of the cut between spins up and down, (Σw − E)/2 with w = −J, of a graph in a file: there a cut may be what is looked for.
fn cut(model: &str, graph: &Graph, energy: f64) -> Option<f64> {
    let is_cut = Path::new(model).is_file()
        && matches!(graph.units, Units::Spin { .. })
        && graph.names.is_empty()
        && graph.fields.iter().all(|field| *field == 0.0);
    is_cut.then(|| 0.5 * (0.0 - graph.couplings.iter().sum::<f64>() - energy))
}

/// The most probable configuration, counted, and the seconds that it takes.
fn ground_state(args: &Anneal, field: &MarkovField, bars: &MultiProgress) -> Result<(Mode, f64)> {
    let spinner = progress::spinner(bars, "counting");
    let start = Instant::now();
    let mode = field.mode(&[]);
    spinner.finish_and_clear();
    let mode = mode.with_context(|| args.model.display().to_string())?;
    Ok((mode, start.elapsed().as_secs_f64()))
}

/// The ground states, counted.
fn count(args: &Anneal, graph: &Graph, bars: &MultiProgress) -> Result<()> {
    check_out(args)?;
    let model = inputs::text(&args.model)?;
    let field = MarkovField::of_graph(graph).with_context(|| model.to_owned())?;
    let (mode, seconds) = ground_state(args, &field, bars)?;
    let configuration = configuration_of(graph, &mode.states)?;
    let named = named(graph, &configuration)?;
    let size = ModelSize::of_graph(graph);
    args.out.iter().try_for_each(|out| write(out, graph, &configuration))?;
    let cut = cut(model, graph, mode.energy());
    let counted = ExactGroundState::of(model, size, &mode, named, seconds);
    counted.with_cut(cut).print(args.json)
}

/// States as a configuration `(1, units)`.
fn configuration_of(graph: &Graph, states: &[usize]) -> Result<Tensor> {
    let values = match graph.units {
        Units::Potts { states: all, .. } => states
            .iter()
            .flat_map(|&state| (0..all).map(move |of| f32::from(u8::from(of == state))))
            .collect(),
        _ => {
            let (low, high) = graph.units.range();
            states.iter().map(|&state| if state == 1 { high } else { low }).collect::<Vec<_>>()
        }
    };
    Ok(Tensor::from_vec(values, (1, graph.units.width()), &Device::Cpu)?)
}

/// The numbers of a configuration `(1, units)` by the names of the units, where these have any.
fn named(graph: &Graph, configuration: &Tensor) -> Result<BTreeMap<String, f64>> {
    if graph.names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let values = configuration.get(0)?.to_dtype(DType::F64)?.to_vec1()?;
    Ok(graph.names.iter().cloned().zip(values).collect())
}

/// Errors unless the file of the best configuration may be written.
fn check_out(args: &Anneal) -> Result<()> {
    output::check_folders(&args.out)?;
    output::check_free(&args.out, args.force)?;
    let is_other = |out: &&PathBuf| {
        out.extension().is_none_or(|extension| extension != "npy" && extension != "png")
    };
    match args.out.iter().find(is_other) {
        Some(out) => {
            Err(Usage::of(anyhow::anyhow!("--out {}: expected .npy or .png", out.display())))
        }
        None => Ok(()),
    }
}

/// One configuration, `(1, units)`.
fn write(out: &Path, graph: &Graph, configuration: &Tensor) -> Result<()> {
    let [rows, columns] = graph.shape.unwrap_or([1, graph.sites()]);
    let configuration = images::one_number_a_unit(&graph.units, configuration)?;
    if out.extension().is_some_and(|extension| extension == "npy") {
        let bytes = tables::npy_bytes(&configuration.reshape((rows, columns))?)?;
        return Ok(write_whole(out, &bytes)?);
    }
    // Units that lie nowhere are drawn row by row, in a picture that is about as wide as high.
    let shape = images::shape_of(graph.sites(), graph.shape.map(|[rows, columns]| (rows, columns)));
    let grey = images::grey(&graph.units, &configuration)?;
    Ok(images::write_grid(out, &grey, &[], shape, 1, Contrast::Unit)?)
}

/// How to look.
struct Search {
    from: f64,
    to: f64,
    reads: usize,
    is_tempered: bool,
    annealing: SimulatedAnnealing,
}

impl Search {
    /// Between what was typed, or these temperatures.
    fn between(args: &Anneal, temperatures: Option<[f64; 2]>) -> Result<Self> {
        let [hottest, coldest] = temperatures.unwrap_or([1.0, 1.0]);
        let to = args.to.unwrap_or(coldest);
        // Where it is to end warmer than it would begin, it begins warmer.
        let from = args.from.unwrap_or(if to > hottest { 2.0 * to } else { hottest });
        if let Some(target) = args.target.filter(|target| !target.is_finite()) {
            return Err(Usage::of(anyhow::anyhow!("--target {target}: expected a finite number")));
        }
        let annealing = SimulatedAnnealing::between(from, to, args.sweeps() as usize)
            .map_err(Usage::of)
            .context("--from, --to")?;
        let reads = args.reads.unwrap_or(if args.tempering { 2 } else { 100 }) as usize;
        Ok(Self { from, to, reads, is_tempered: args.tempering, annealing })
    }

    /// Errors unless all chains of so many units fit in memory.
    fn check_size(&self, args: &Anneal, units: usize) -> Result<()> {
        let reads = self.reads;
        let chains = if args.tempering { 32 * reads } else { reads };
        if units.saturating_mul(chains) > MAX_SPINS {
            let most = (MAX_SPINS / units / (chains / reads)).max(1);
            let error =
                anyhow::anyhow!("--reads {reads}: expected at most {most} of {units} units");
            return Err(Usage::of(error));
        }
        Ok(())
    }

    fn tempering(&self, args: &Anneal) -> TemperedSearch {
        TemperedSearch {
            coldest: self.to,
            hottest: self.from,
            sweeps: args.sweeps() as usize,
            has_clusters: true,
        }
    }

    /// Reads of a field, by annealing or by tempering.
    fn run_field(
        &self,
        args: &Anneal,
        field: &MarkovField,
        show: &dyn Fn(usize),
    ) -> rbm_core::Result<FieldBest> {
        let mut rng = Rng::new(args.seed());
        if self.is_tempered {
            let search = self.tempering(args);
            return field.search(&search, self.reads, &mut rng, |done, lowest| {
                show(done);
                !is_found(args, lowest) && !interrupt::is_requested()
            });
        }
        let temperatures: Vec<f64> = self.annealing.betas.iter().map(|beta| 1.0 / beta).collect();
        field.anneal(&temperatures, self.reads, &mut rng, |done| {
            show(done);
            !interrupt::is_requested()
        })
    }

    fn run(
        &self,
        args: &Anneal,
        machine: &Machine,
        show: &dyn Fn(usize),
    ) -> rbm_core::Result<Best> {
        let mut rng = Rng::new(args.seed());
        if !self.is_tempered {
            return self.annealing.run_with(machine, self.reads, &mut rng, |done| {
                show(done);
                !interrupt::is_requested()
            });
        }
        self.tempering(args).run(machine, self.reads, &mut rng, |done, lowest| {
            show(done);
            !is_found(args, lowest) && !interrupt::is_requested()
        })
    }
}

/// With three places, unless these would say nothing of it.
fn temperature(tau: f64) -> String {
    match (1e-3..1e9).contains(&tau) {
        true => format!("{tau:.3}"),
        false => format!("{tau:.3e}"),
    }
}

/// How near to a target that was typed is near enough.
fn nearness(target: f64) -> f64 {
    (TYPED * target.abs()).min(HALF)
}

/// Whether an energy is the one that was asked for.
fn is_found(args: &Anneal, energy: f64) -> bool {
    args.target.is_some_and(|target| energy <= target + nearness(target))
}

impl<'a> Annealed<'a> {
    /// What the reads have come to, and which was the best.
    fn of(
        args: &'a Anneal,
        size: ModelSize,
        search: &Search,
        (best, rounding): (&LowestEnergies, f64),
        seconds: f64,
    ) -> Result<(Self, usize)> {
        let (Some(energy), Some(mean_energy), Some(read)) =
            (best.lowest(), best.mean(), best.best())
        else {
            bail!("{}: no read was made", args.model.display())
        };
        let target = args.target.unwrap_or(energy);
        let tolerance = rounding.max(args.target.map_or(0.0, nearness));
        let hits = best.hits(target, tolerance);
        let reads = search.reads as f64;
        // All reads ran side by side: one takes its share of the time. A search that ended where it was told to has no share.
        let is_cut = args.tempering && args.target.is_some();
        let repeats = best.repeats(target, tolerance, SURE).filter(|_| !is_cut);
        let found = Self {
            model: inputs::text(&args.model)?,
            size,
            from: search.from,
            to: search.to,
            sweeps: args.sweeps(),
            reads: search.reads,
            is_tempered: args.tempering,
            seed: args.seed(),
            energy,
            energy_per_unit: energy / size.units() as f64,
            mean_energy,
            target,
            is_target_known: args.target.is_some(),
            ground_states: args.ground_states,
            hits,
            success_probability: (!is_cut).then_some(hits as f64 / reads),
            seconds,
            seconds_to_solution: repeats.map(|repeats| repeats * seconds / reads),
            cut: None,
            configuration: BTreeMap::new(),
        };
        Ok((found, read))
    }

    fn print(&self, is_json: bool) -> Result<()> {
        if is_json {
            return output::json(self);
        }
        let target = output::energy(self.target);
        let target = match (self.ground_states, self.is_target_known) {
            (Some(1.0), _) => format!("{target} (exact, of one ground state)"),
            (Some(count), _) => {
                format!("{target} (exact, of {} ground states)", output::counted(count))
            }
            (None, true) => format!("{} (given)", output::short(self.target)),
            (None, false) => format!("{target} (the lowest of these reads)"),
        };
        let solution = match self.seconds_to_solution {
            Some(seconds) => format!("{seconds:.4} s"),
            None if self.hits > 0 => "not known of one search".to_owned(),
            None => "not known: no read came to the target".to_owned(),
        };
        let hits = match self.success_probability {
            Some(share) => format!("{} of {} ({:.1} %)", self.hits, self.reads, 100.0 * share),
            None if self.hits > 0 => {
                format!("{} of {}; the first of them ended the search", self.hits, self.reads)
            }
            None => format!("0 of {}", self.reads),
        };
        let ladder = if self.is_tempered { "ladder of temperatures" } else { "temperatures" };
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            self.size.row(),
            row(ladder, format!("{} to {}", temperature(self.from), temperature(self.to))),
            row(
                "lowest energy",
                format!("{} ({:.4} a unit)", output::energy(self.energy), self.energy_per_unit),
            ),
            row("mean of the reads", output::energy(self.mean_energy)),
            row("target", target),
            row("reads that came to it", hits),
            row("time to solution, 99 %", solution),
            row("time of all reads", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(self.cut.map(|cut| row("cut of the best read", output::energy(cut))));
        rows.extend(listed(&self.configuration).map(|text| row("the best of them", text)));
        output::line(output::texts(&[self.model, ""], rows))
    }
}
