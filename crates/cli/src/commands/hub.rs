//! `dbn pull`, `dbn push` and `dbn data`: models and data sets of the Hugging Face Hub.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use candle_dbn::hub::{ModelBundle, PushOptions, Pushed, Reference, Snapshot};
use candle_dbn::store::run::RUNS;
use indicatif::{DecimalBytes, MultiProgress};

use crate::beliefs::{self, LearnedBelief};
use crate::machines::{self, CLASSIFIER, LearnedMachine};
use crate::{output, progress};

/// Fetch a model from the Hub
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn pull me/mnist-dbn                     into the Hub's cache; prints the folder
  dbn pull me/mnist-dbn@v2 --out models/m   a copy in a folder of your own
  dbn embed me/mnist-dbn mnist/ --out f.npy every command that takes a model takes its name on the Hub
With HF_HUB_OFFLINE=1 what was fetched before is used. Nothing in a repository is executed.")]
pub struct Pull {
    /// Which: user/name, or user/name@revision
    #[arg(value_name = "USER/NAME")]
    pub from: String,
    /// A branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION", help_heading = "Hub")]
    pub revision: Option<String>,
    /// Copy it into this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace a model that lies there
    #[arg(long, requires = "out", help_heading = "Output")]
    pub force: bool,
}

/// Fetches a model, and prints where it lies.
pub fn pull(args: &Pull, bars: &MultiProgress) -> Result<()> {
    let reference = Reference::at(&args.from, args.revision.as_deref())?;
    if let Some(out) = &args.out {
        // A run is more than a model: it is not replaced by one.
        if let Some(name) = RUNS.iter().find(|name| out.join(name).exists()) {
            bail!("{}: a run lies there (it has a {name}); choose another --out", out.display());
        }
        let mut names = Snapshot::names().filter(|_| !args.force);
        if let Some(name) = names.find(|name| out.join(name).exists()) {
            bail!("{}: has a {name} already (replace it with --force)", out.display());
        }
    }
    let snapshot = progress::hub(bars, "pull")?.pull(&reference)?;
    // What cannot be read is not handed on.
    match &snapshot.dir {
        dir if machines::is_learned(dir) => drop(LearnedMachine::open(dir)?),
        dir if beliefs::is_learned(dir) => drop(LearnedBelief::open(dir)?),
        dir => drop(candle_dbn::Model::load(dir, &candle_core::Device::Cpu)?),
    }
    match &args.out {
        Some(out) => {
            snapshot.copy_to(out)?;
            output::line(out.display().to_string())
        }
        None => output::line(snapshot.dir.display().to_string()),
    }
}

/// Push a trained model to the Hub, with a model card made from its run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn push runs/mnist me/mnist-dbn --dry-run      what would go, without asking the Hub
  dbn push runs/mnist me/mnist-dbn                the repository is made if need be
  dbn push runs/mnist me/mnist-dbn@v2 --message \"trained for longer\"
  dbn push runs/mnist me/features --layers 0..2   the first two layers alone
  dbn push runs/bm me/bars                        a Boltzmann machine that has learned
  dbn push runs/belief me/digits-net              a belief net, with its recognition
What you write into the card on the Hub, beside the part between the two comments, stays. The token is that of `hf auth login`, or HF_TOKEN; \
HF_ENDPOINT chooses another Hub. The data do not go, nor do paths of this machine.")]
pub struct Push {
    /// Folder of the run, or user/name[@revision] on the Hub
    pub run: PathBuf,
    /// Where to: user/name, or user/name@branch
    #[arg(value_name = "USER/NAME")]
    pub to: String,
    /// Make the repository one that nobody else sees; one that is there and public is refused
    #[arg(long, help_heading = "Hub")]
    pub private: bool,
    /// The branch, which is made if need be [default: main]
    #[arg(long, value_name = "BRANCH", help_heading = "Hub")]
    pub revision: Option<String>,
    /// The commit's message
    #[arg(long, short, value_name = "TEXT", help_heading = "Hub")]
    pub message: Option<String>,
    /// The first layers alone, e.g. 0..2 for the lowest two; what was fine-tuned on top of all of them stays behind
    #[arg(long, value_name = "0..N", value_parser = first_layers)]
    pub layers: Option<Range<usize>>,
    /// List what would go, and ask nobody
    #[arg(long)]
    pub dry_run: bool,
    /// Propose the commit as a pull request instead of making it
    #[arg(long, help_heading = "Hub")]
    pub create_pr: bool,
}

/// `0..2`
fn first_layers(text: &str) -> Result<Range<usize>, String> {
    let range =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.filter(|range: &Range<usize>| range.start == 0 && range.end > 0).ok_or_else(|| {
        "expected 0..N: a network begins at the data, so layers go from the lowest one up"
            .to_owned()
    })
}

/// Pushes a run, or lists what would go.
pub fn push(args: &Push, bars: &MultiProgress) -> Result<()> {
    let reference = Reference::at(&args.to, args.revision.as_deref())?;
    let of_networks = [("--layers", args.layers.is_some())];
    if machines::is_meant(&args.run) {
        machines::check_learned(&args.run)?;
        output::refuse(&of_networks, "expected of a network, found a Boltzmann machine")?;
        LearnedMachine::open(&args.run)?.check_config()?;
        if args.run.join(CLASSIFIER).is_dir() {
            let classifier = args.run.join(CLASSIFIER);
            output::note(format!(
                "{}: stays here: a classifier that was unrolled is a model of its own",
                classifier.display()
            ));
        }
    } else if beliefs::is_learned(&args.run) {
        output::refuse(&of_networks, "expected of a network, found a belief net")?;
        LearnedBelief::open(&args.run)?.keep_config()?;
    } else {
        let name = args.run.display();
        ensure!(args.run.is_dir(), "{name}: expected the folder of a model, found none");
    }
    let bundle = match &args.layers {
        Some(layers) => ModelBundle::of_first_layers(&args.run, &reference, layers.end)?,
        None => ModelBundle::of(&args.run, &reference)?,
    };
    if args.dry_run {
        return list(&bundle, &reference);
    }
    let options = PushOptions {
        private: args.private,
        message: args.message.clone(),
        create_pr: args.create_pr,
    };
    let Pushed { commit, url, inline } =
        progress::hub(bars, "push")?.push(&reference, &bundle, &options)?;
    if let Some(bytes) = inline {
        output::note(format!(
            "the server has no xet: the weights ({}) went as text in the commit ({})",
            DecimalBytes(bytes),
            DecimalBytes(bytes.div_ceil(3) * 4),
        ));
    }
    let done = url.or(commit).unwrap_or_else(|| reference.to_string());
    output::line(format!("pushed {reference}: {done}"))
}

fn list(bundle: &ModelBundle, reference: &Reference) -> Result<()> {
    let card = bundle.card.over(None)?.len() as u64;
    let mut rows = vec![vec![candle_dbn::hub::CARD.to_owned(), DecimalBytes(card).to_string()]];
    for (name, content) in &bundle.files {
        rows.push(vec![name.clone(), DecimalBytes(content.size()?).to_string()]);
    }
    output::line(output::table(&["file", "size"], rows))?;
    output::line(format!(
        "would go to {} on {}; nothing was sent",
        reference.repository(),
        reference.revision()
    ))
}

/// Fetch a data set from the Hub, and print the folder it lies in
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn data mnist
  dbn train mnist              found there, where no folder of that name is here
It is fetched once, into the cache of the Hub (HF_HOME says where that is).")]
pub struct Data {
    /// Which
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(candle_dbn::hub::data::names()))]
    pub name: String,
}

/// Fetches a data set, and prints where it lies.
pub fn data(args: &Data, bars: &MultiProgress) -> Result<()> {
    output::line(progress::hub(bars, "data")?.data(&args.name)?.display().to_string())
}
