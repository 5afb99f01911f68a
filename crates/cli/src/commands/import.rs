//! `dbn import`: models of machines that other programs have learned.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_boltzmann::learning::Learner;
use candle_boltzmann::{Graph, letters_of_params};
use candle_dbn::data::Alphabet;
use candle_dbn::import::{self, TensorNames};
use candle_dbn::network::config;
use candle_dbn::store;
use candle_dbn::store::run::{RECIPE, RUNS};
use candle_dbn::store::table::TableLayout;
use clap::ValueEnum;
use rbm_core::Units;

use crate::machines::LearnedMachine;
use crate::output;

/// Make a model of a machine that another program has learned
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn import rbm.npz --out models/rbm               scikit-learn, by np.savez(\"rbm.npz\",
    components_=rbm.components_, intercept_hidden_=rbm.intercept_hidden_,
    intercept_visible_=rbm.intercept_visible_)
  dbn import RBM.h5 --update 1000 --out models/rbm  rbms: one of the updates in the file
  dbn import rbm.pt --out models/rbm                PyTorch: a state dict with W, v_bias, h_bias
    or names like them; with rbms.0.W, rbms.1.W and so on, machines on top of each other
  dbn import net.safetensors --map W=fc.weight --map h_bias=fc.bias --map v_bias=b --out m
  dbn import family_params.dat --out models/family  adabmDCA: J and h of an alignment; dbn score,
    contacts and sample --fasta take the folder
  dbn embed models/rbm data.npy --out features.npy  every command takes the folder
Nothing of a file is executed: a pickle that is more than tensors is refused.")]
pub struct Import {
    /// The file
    pub file: PathBuf,
    /// The program it is from [default: by its ending, .npz sklearn, .h5 or .hdf5 rbms, .dat adabmdca, .pt, .pth or .safetensors pytorch]
    #[arg(long, value_enum)]
    pub from: Option<Program>,
    /// rbms: after how many updates [default: the last in the file]
    #[arg(long, value_name = "N")]
    pub update: Option<u64>,
    /// pytorch: read the tensor TENSOR as NAME: W, v_bias or h_bias, of several machines 0.W, 1.W, ...
    #[arg(long, value_name = "NAME=TENSOR", value_parser = mapping)]
    pub map: Vec<(String, String)>,
    /// pytorch: weights are (visible, hidden); needed only where both layers are of one size
    #[arg(long)]
    pub transpose: bool,
    /// pytorch: kind of the data layer's units, as in dbn train [default: bernoulli]
    #[arg(long, value_name = "KIND")]
    pub visible: Option<String>,
    /// pytorch: kind of all hidden units [default: bernoulli]
    #[arg(long, value_name = "KIND")]
    pub hidden: Option<String>,
    /// Cases are pictures of this size, e.g. 28x28
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size, help_heading = "Data")]
    pub image: Option<(usize, usize)>,
    /// Folder of the model
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: PathBuf,
    /// Replace the model if there is one
    #[arg(long, help_heading = "Output")]
    pub force: bool,
}

/// A program whose machines can be read
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// scikit-learn's BernoulliRBM, its attributes in an .npz file
    Sklearn,
    /// rbms of DsysDML, its HDF5 files
    Rbms,
    /// adabmDCA, the couplings and fields of its _params.dat
    Adabmdca,
    /// PyTorch, a state dict
    Pytorch,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, tensor)) if !name.is_empty() && !tensor.is_empty() => {
            Ok((name.into(), tensor.into()))
        }
        _ => Err("expected NAME=TENSOR, e.g. W=fc.weight".into()),
    }
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('x').map(|(height, width)| (height.parse(), width.parse()));
    match parsed {
        Some((Ok(height), Ok(width))) => Ok((height, width)),
        _ => Err("expected HEIGHTxWIDTH, e.g. 28x28".into()),
    }
}

/// Writes the folder of the model that a file of another program is.
pub fn run(args: &Import) -> Result<()> {
    let out = args.out.display();
    output::check_folder(&args.out)?;
    let lies_there = |name: &&&str| args.out.join(name).exists();
    // A run is more than a model: it is not replaced by one.
    if let Some(name) = RUNS.iter().chain(&[RECIPE]).find(lies_there) {
        bail!("{out}: a run lies there (it has a {name}); choose another --out");
    }
    let is_there = [config::CONFIG].iter().chain(&MODELS).any(|name| lies_there(&name));
    ensure!(args.force || !is_there, "{out}: has a model already (--force replaces it)");
    let Some(program) = args.from.or_else(|| by_ending(&args.file)) else {
        let found = args.file.display();
        bail!(
            "--from: expected sklearn, rbms, adabmdca or pytorch for a file of this ending, found {found}"
        );
    };
    check_flags(args, program)?;
    match program {
        Program::Sklearn => write_network(args, import::sklearn(&args.file)?),
        Program::Rbms => write_network(args, import::rbms(&args.file, args.update)?),
        Program::Pytorch => write_network(args, import::pytorch(&args.file, &names(args)?)?),
        Program::Adabmdca => write_couplings(args),
    }
}

/// Errors where flags have no meaning for machines of this program.
fn check_flags(args: &Import, program: Program) -> Result<()> {
    let of = |flag: &str, program: &str| format!("{flag}: expected with --from {program} only");
    ensure!(args.update.is_none() || program == Program::Rbms, of("--update", "rbms"));
    let kinds = args.visible.is_some() || args.hidden.is_some();
    let is_named = !args.map.is_empty() || args.transpose || kinds;
    let flags = "--map, --transpose, --visible and --hidden";
    ensure!(!is_named || program == Program::Pytorch, of(flags, "pytorch"));
    ensure!(
        args.image.is_none() || program != Program::Adabmdca,
        "--image: expected of other programs: adabmDCA has sequences"
    );
    Ok(())
}

/// How the tensors of PyTorch are called.
fn names(args: &Import) -> Result<TensorNames> {
    let kind = |flag: &str, kind: &Option<String>| {
        let units = kind.as_deref().map(Units::of_kind).transpose();
        units.with_context(|| flag.to_owned())
    };
    Ok(TensorNames {
        map: args.map.clone(),
        transpose: args.transpose,
        visible: kind("--visible", &args.visible)?,
        hidden: kind("--hidden", &args.hidden)?,
    })
}

/// Writes the folder of a network.
fn write_network(args: &Import, imported: import::Imported) -> Result<()> {
    let out = args.out.display();
    let mut model = imported.model;
    if let Some((height, width)) = args.image {
        let expected = model.dbn.width();
        ensure!(
            height.checked_mul(width) == Some(expected),
            "--image: expected {expected} pixels, as the machine has, found {height} x {width}"
        );
        model.image = args.image;
    }
    std::fs::create_dir_all(&args.out).with_context(|| out.to_string())?;
    model.save(&args.out)?;
    take_others_away(&args.out, store::WEIGHTS)?;
    for note in imported.notes {
        output::note(note);
    }
    output::line(format!("{out}: {}", model.config().layers()))
}

/// The files of weights, one a kind of model.
const MODELS: [&str; 3] = [store::WEIGHTS, store::MACHINE, store::BELIEF];

/// Takes away the weights of other kinds that were replaced in the folder `dir`: a folder holds one model.
fn take_others_away(dir: &Path, own: &str) -> Result<()> {
    for name in MODELS.into_iter().filter(|name| *name != own) {
        let path = dir.join(name);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Writes the folder of the Boltzmann machine that a `_params.dat` is.
fn write_couplings(args: &Import) -> Result<()> {
    let (file, out) = (args.file.display(), args.out.display());
    let graph = Graph::read(&args.file)?;
    let Units::Potts { sites, states } = graph.units else {
        bail!("{file}: expected J and h of adabmDCA, found {} on a graph", graph.units);
    };
    // Their order is that of the states.
    let letters = letters_of_params(&args.file)?.concat();
    let alphabet = letters.parse::<Alphabet>().ok().filter(|found| found.letters() == letters);
    if alphabet.is_none() {
        output::note(format!(
            "{file}: its states {letters} are no letters of an alignment with a gap: sequences cannot be read for it"
        ));
    }
    // A small file is no large machine.
    let length = std::fs::metadata(&args.file).with_context(|| file.to_string())?.len();
    let (numbers, most) = ((sites * states).pow(2) as u64, length.saturating_mul(4).max(1 << 24));
    ensure!(
        numbers <= most,
        "{file}: expected a machine of at most {most} couplings in a file of this length, found {sites} sites of {states} states, which have {numbers}"
    );
    let learner = Learner::of_graph(&graph).with_context(|| file.to_string())?;
    std::fs::create_dir_all(&args.out).with_context(|| out.to_string())?;
    learner.save(args.out.join(store::MACHINE))?;
    let machine = LearnedMachine { dir: args.out.clone(), learner, recipe: None };
    let table = TableLayout { alphabet, ..TableLayout::default() };
    machine.config(None, Some(table)).save(&args.out)?;
    take_others_away(&args.out, store::MACHINE)?;
    output::line(format!("{out}: {sites} sites of {states} states, coupled"))
}

fn by_ending(file: &Path) -> Option<Program> {
    match file.extension()?.to_str()? {
        "npz" => Some(Program::Sklearn),
        "h5" | "hdf5" => Some(Program::Rbms),
        "dat" => Some(Program::Adabmdca),
        "pt" | "pth" | "safetensors" => Some(Program::Pytorch),
        _ => None,
    }
}
