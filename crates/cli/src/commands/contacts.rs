//! `dbn contacts`: the sites of an alignment that are coupled most.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_boltzmann::contacts::{Contact, PottsCouplings, WeightedCases, precision};
use candle_boltzmann::{Graph, letters_of_params};
use candle_core::Device;
use candle_dbn::viz::{Mark, Plot, Series};
use rbm_core::state::write_whole;
use rbm_core::{Error, Rows, Units};
use serde::Serialize;

use crate::inputs::{self, Cases, DataOptions};
use crate::machines::{self, LearnedMachine};
use crate::output;

/// Rows of the table on the screen, unless the user says so.
const SHOWN: usize = 20;
const TABLE: &str = "contacts.csv";
const PICTURE: &str = "contacts.png";

/// Which sites of an alignment are coupled most: direct coupling analysis of a machine of Potts units
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn train family.fasta --model bm --weights identity:0.8 --set target_pearson=0.95
  dbn contacts runs/bm-family                             the pairs of sites that are coupled most
  dbn contacts runs/bm-family --contacts known.txt        and how many of them are known: lines of i j, from 1
  dbn contacts family_params.dat --without-gap            what adabmDCA has learned
  dbn contacts runs/bm-family --params family_params.dat  the parameters, as adabmDCA reads them
Scores are Frobenius norms of couplings in the zero-sum gauge, less the average product correction. \
Of hidden units the effective couplings are taken, to second order in the weights: sum over the hidden units of Var(h) w(a) w(b), Var(h) \
being the mean over the cases that the run learned from, or over DATA.")]
pub struct Contacts {
    /// Folder of the run of a Boltzmann machine or of a single RBM with Potts visible units, user/name[@revision] on the Hub, or a _params.dat of adabmDCA
    pub run: PathBuf,
    /// Cases for the variances of hidden units [default: those that the run learned from]
    pub data: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// How many pairs are drawn, and shown as a table [default: as many as sites, and 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,
    /// The least distance of both sites in the sequence, |i - j|
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub min_separation: u32,
    /// Leave couplings of the gap out of the norms
    #[arg(long)]
    pub without_gap: bool,
    /// Known contacts: a line for each, sites i and j from 1; further columns, and lines that begin with #, are passed over
    #[arg(long, value_name = "FILE")]
    pub contacts: Option<PathBuf>,
    /// Write the machine's parameters too, as a _params.dat of adabmDCA
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub params: Option<PathBuf>,
    /// Folder for contacts.csv (all pairs) and contacts.png [default: contacts/ in the run's]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// A machine whose couplings are looked at.
struct ContactModel {
    couplings: PottsCouplings,
    sites: usize,
    /// The letters of its states, where they are known.
    letters: Option<Vec<String>>,
    /// The machine as plain data, where it has no hidden units.
    graph: Option<Graph>,
}

/// What is found, as JSON.
#[derive(Serialize)]
struct ContactTable {
    sites: usize,
    min_separation: u32,
    without_gap: bool,
    pairs: Vec<Pair>,
    /// Which share of the first n pairs are known contacts, for n from 1.
    precision: Option<Vec<f64>>,
    files: Vec<String>,
}

/// A pair, its sites from 1.
#[derive(Serialize)]
struct Pair {
    i: usize,
    j: usize,
    score: f64,
    norm: f64,
    is_known: Option<bool>,
}

/// Ranks the pairs, prints the first ones, and writes all of them and a picture.
pub fn run(args: &Contacts) -> Result<()> {
    let dir = args.out.clone().unwrap_or_else(|| machines::work_dir(&args.run).join("contacts"));
    output::check_folder(&dir)?;
    let (table, picture) = (dir.join(TABLE), dir.join(PICTURE));
    output::check_free(&[&table, &picture], args.force)?;
    output::check_free(&args.params.iter().collect::<Vec<_>>(), args.force)?;
    let ContactModel { couplings, sites, letters, graph } = ContactModel::of(args)?;
    let has_params = args.params.is_some() && graph.is_none();
    output::refuse(&[("--params", has_params)], "expected a machine without hidden units")?;
    let known = args.contacts.as_deref().map(|path| known_contacts(path, sites)).transpose()?;
    let gap = match args.without_gap {
        true => Some(gap_of(letters.as_deref())?),
        false => None,
    };
    let separation = args.min_separation as usize;
    let ranked = couplings.contacts(separation, gap)?;
    ensure!(
        !ranked.is_empty(),
        "--min-separation {separation}: expected less than the {sites} sites"
    );
    ensure!(
        ranked.iter().any(|contact| contact.norm > 0.0),
        "{}: expected couplings between sites that are at least {separation} apart, found none that is not 0 (--min-separation)",
        args.run.display()
    );
    let far = known.map(|known| -> Vec<[usize; 2]> {
        let far = known.iter().filter(|[i, j]| i.abs_diff(*j) >= separation);
        let far: Vec<_> = far.copied().collect();
        if far.len() < known.len() {
            let near = match known.len() - far.len() {
                1 => "1 known contact is".to_owned(),
                near => format!("{near} known contacts are"),
            };
            output::note(format!("{near} nearer than {separation} sites and not counted"));
        }
        far
    });
    ensure!(
        far.as_ref().is_none_or(|far| !far.is_empty()),
        "--contacts: expected contacts at least {separation} sites apart, found none (--min-separation)"
    );
    let precision = far.as_ref().map(|known| precision(&ranked, known));
    let is_known = |contact: &Contact| far.as_ref().map(|known| known.contains(&contact.sites));
    let pairs = ranked.iter().map(|contact| {
        let &Contact { sites: [i, j], score, norm } = contact;
        Pair { i: i + 1, j: j + 1, score, norm, is_known: is_known(contact) }
    });
    let pairs: Vec<Pair> = pairs.collect();
    let top = args.top.map_or(sites, |top| top as usize).min(ranked.len());
    output::make_folder(&dir)?;
    write_whole(&table, csv(&pairs).as_bytes())?;
    let panels = panels(&ranked[..top], sites, far.as_deref(), precision.as_deref());
    Plot::write_panels(&picture, &panels)?;
    let mut files = vec![table.display().to_string(), picture.display().to_string()];
    if let Some(path) = &args.params {
        write_params(path, graph.as_ref(), letters)?;
        files.push(path.display().to_string());
    }
    if args.json {
        let (min_separation, without_gap) = (args.min_separation, args.without_gap);
        return output::json(&ContactTable {
            sites,
            min_separation,
            without_gap,
            pairs,
            precision,
            files,
        });
    }
    let shown = args.top.map_or(SHOWN, |top| top as usize);
    output::line(screen_table(&pairs[..shown.min(pairs.len())], precision.as_deref()))?;
    if let Some(precision) = &precision {
        let at = [sites / 5, sites / 2, sites].map(|n| n.clamp(1, precision.len()));
        let of = at.map(|n| format!("{:.2} of the first {n}", precision[n - 1]));
        output::line(format!("known contacts: {}", of.join(", ")))?;
    }
    files.iter().try_for_each(output::line)
}

impl ContactModel {
    fn of(args: &Contacts) -> Result<Self> {
        let (run, data) = (&args.run, args.data.as_deref());
        if machines::is_learned(run) {
            return Self::of_learned(args);
        }
        if machines::is_meant(run) {
            let name =
                run.to_str().with_context(|| format!("{}: expected UTF-8", run.display()))?;
            ensure!(data.is_none(), "DATA: expected of a machine with hidden units");
            let graph = machines::graph(name)?;
            let letters = match run.is_file() {
                true => Some(letters_of_params(run)?).filter(|letters| !letters.is_empty()),
                false => None,
            };
            let couplings = PottsCouplings::of_graph(&graph).with_context(|| name.to_owned())?;
            let sites = sites_of(&graph.units);
            return Ok(Self { couplings, sites, letters, graph: Some(graph) });
        }
        let model = inputs::load_model(run, &Device::Cpu)?;
        if model.dbn.depth() > 1 {
            bail!("{}: expected a single machine, found a stack", run.display());
        }
        check_no_labels(model.dbn.classes(), run)?;
        let rbm = model.dbn.top();
        let visible = rbm.visible().units();
        let letters = inputs::letters(&model, "contacts").ok().as_ref().map(words);
        let part = match data {
            Some(_) => None,
            None => Some(Cases::Train),
        };
        let part = inputs::find_cases(run, &model, data, &args.data_options, part)?;
        let cases = model.prepare_cases(&part.cases)?;
        let weights = rbm.weights().as_detached_tensor();
        let counted = WeightedCases { values: &cases, weights: part.weights.as_deref() };
        let couplings = PottsCouplings::through_hidden(&visible, &weights, rbm.hidden(), &counted)
            .with_context(|| run.display().to_string())?;
        note_effective(cases.count());
        Ok(Self { couplings, sites: sites_of(&visible), letters, graph: None })
    }

    /// Of a Boltzmann machine that has learned.
    fn of_learned(args: &Contacts) -> Result<Self> {
        let machine = LearnedMachine::open(&args.run)?;
        let has_hidden = !machine.learner.shape().hidden.is_empty();
        check_no_labels(machine.learner.shape().labels, &args.run)?;
        ensure!(
            has_hidden || args.data.is_none(),
            "DATA: expected of a machine with hidden units: this one's couplings are its own"
        );
        let cases = match has_hidden {
            true => {
                let part = args.data.is_none().then_some(Cases::Train);
                Some(machine.cases(args.data.as_deref(), &args.data_options, part)?)
            }
            false => None,
        };
        let weighted = cases.as_ref().map(|cases| WeightedCases {
            values: &cases.values,
            weights: cases.examples.weights.as_deref(),
        });
        let couplings = PottsCouplings::of_machine(machine.learner.machine(), weighted.as_ref())
            .with_context(|| args.run.display().to_string())?;
        if let Some(WeightedCases { values, .. }) = weighted {
            note_effective(values.count());
        }
        let graph = match has_hidden {
            true => None,
            false => Some(machine.learner.graph()?),
        };
        let letters = machine.letters("contacts").ok().as_ref().map(words);
        Ok(Self { couplings, sites: sites_of(machine.visible()), letters, graph })
    }
}

/// What labels say to the hidden units is no coupling of sites.
fn check_no_labels(labels: Option<usize>, run: &Path) -> Result<()> {
    ensure!(
        labels.is_none(),
        "{}: expected a machine of sequences alone, found one that learned labels beside them",
        run.display()
    );
    Ok(())
}

fn note_effective(cases: usize) {
    output::note(format!(
        "couplings through hidden units are effective ones, to second order in the weights, over {} cases",
        output::grouped(cases as u64)
    ));
}

fn sites_of(units: &Units) -> usize {
    match units {
        Units::Potts { sites, .. } => *sites,
        units => units.width(),
    }
}

/// The letters, one by one.
fn words(alphabet: &candle_dbn::data::Alphabet) -> Vec<String> {
    alphabet.letters().chars().map(String::from).collect()
}

/// The state of the gap.
fn gap_of(letters: Option<&[String]>) -> Result<usize> {
    let letters = letters.context(
        "--without-gap: expected a machine that learned from an alignment, found one that knows no letters",
    )?;
    let gap = letters.iter().position(|letter| *letter == "-");
    gap.with_context(|| format!("--without-gap: expected - among the letters {}", letters.concat()))
}

/// The pairs of sites in the file `path`, from 0, the lower one first.
fn known_contacts(path: &Path, sites: usize) -> Result<Vec<[usize; 2]>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let mut known = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        // The header is that of the file that this command writes.
        if line.is_empty() || line.starts_with('#') || number == 0 && line.starts_with("i,j") {
            continue;
        }
        let words = line.split([',', ' ', '\t', ';']).filter(|word| !word.is_empty());
        let pair: Vec<Option<usize>> = words.take(2).map(|word| word.parse().ok()).collect();
        let pair = match pair[..] {
            [Some(i), Some(j)]
                if i != j && (1..=sites).contains(&i) && (1..=sites).contains(&j) =>
            {
                [i.min(j) - 1, i.max(j) - 1]
            }
            _ => bail!(
                "{name}: line {}: expected two different sites from 1 to {sites}, found {line:?}",
                number + 1
            ),
        };
        if !known.contains(&pair) {
            known.push(pair);
        }
    }
    ensure!(!known.is_empty(), "{name}: expected lines of two sites, found none");
    Ok(known)
}

fn write_params(path: &Path, graph: Option<&Graph>, letters: Option<Vec<String>>) -> Result<()> {
    let graph = graph.context("--params: expected a machine without hidden units")?;
    let letters = match (letters, &graph.units) {
        (Some(letters), _) => letters,
        (None, Units::Potts { states, .. }) => {
            output::note("no letters are known: states are written as numbers");
            (0..*states).map(|state| state.to_string()).collect()
        }
        (None, _) => Vec::new(),
    };
    Ok(graph.write_params(path, &letters)?)
}

fn csv(pairs: &[Pair]) -> String {
    let has_known = pairs.iter().any(|pair| pair.is_known.is_some());
    let mut text =
        String::from(if has_known { "i,j,score,norm,known\n" } else { "i,j,score,norm\n" });
    for Pair { i, j, score, norm, is_known } in pairs {
        let known =
            is_known.map_or_else(String::new, |is_known| format!(",{}", u8::from(is_known)));
        text += &format!("{i},{j},{score},{norm}{known}\n");
    }
    text
}

fn screen_table(pairs: &[Pair], precision: Option<&[f64]>) -> String {
    let mut header = vec!["i", "j", "score", "norm"];
    if precision.is_some() {
        header.extend(["known", "precision"]);
    }
    let rows = pairs.iter().enumerate().map(|(n, pair)| {
        let mut row = vec![
            pair.i.to_string(),
            pair.j.to_string(),
            format!("{:.4}", pair.score),
            format!("{:.4}", pair.norm),
        ];
        if let (Some(is_known), Some(precision)) = (pair.is_known, precision) {
            row.extend([
                if is_known { "yes" } else { "no" }.into(),
                format!("{:.2}", precision[n]),
            ]);
        }
        row
    });
    output::table(&header, rows.collect())
}

/// The map of contacts among all `sites`, what is ranked above the diagonal and what is known below it, or the same where nothing is; and how many of the
/// first are known.
fn panels(
    top: &[Contact],
    sites: usize,
    known: Option<&[[usize; 2]]>,
    precision: Option<&[f64]>,
) -> Vec<Plot> {
    let dot = |[i, j]: [usize; 2]| ((i + 1) as f64, (j + 1) as f64);
    let (hits, others): (Vec<&Contact>, Vec<&Contact>) =
        top.iter().partition(|contact| known.is_some_and(|known| known.contains(&contact.sites)));
    let dots = |contacts: &[&Contact]| -> Vec<(f64, f64)> {
        contacts.iter().map(|contact| dot(contact.sites)).collect()
    };
    let mut series = Vec::new();
    if let Some(known) = known {
        let below = known.iter().map(|[i, j]| dot([*j, *i])).collect();
        series.push(Series::new("known", Mark::Pairs, below));
        series.push(Series::new("found and known", Mark::Pairs, dots(&hits)));
        series.push(Series::new("found alone", Mark::Pairs, dots(&others)));
    } else {
        let both = dots(&others).into_iter().flat_map(|(i, j)| [(i, j), (j, i)]).collect();
        series.push(Series::new("", Mark::Pairs, both));
    }
    series.retain(|series| !series.points.is_empty());
    let mut panels = vec![Plot {
        title: format!("the {} pairs coupled most", top.len()),
        x: "site i".into(),
        y: "site j".into(),
        y_range: Some((1.0, sites as f64)),
        series,
        ..Plot::default()
    }];
    if let Some(precision) = precision {
        let points = precision.iter().enumerate().map(|(n, share)| ((n + 1) as f64, *share));
        panels.push(Plot {
            title: "positive predictive value".into(),
            x: "pairs".into(),
            y: "share of them that are known".into(),
            is_log_x: true,
            y_range: Some((0.0, 1.0)),
            series: vec![Series::new("", Mark::Line, points.collect())],
        });
    }
    panels
}
