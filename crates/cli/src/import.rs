//! `dbn import`

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_dbn::import::{self, Names};
use candle_dbn::network::config;
use candle_dbn::store;
use candle_dbn::store::run::{RECIPE, RUNS};
use rbm_core::Units;

use crate::args::{Import, Program};
use crate::output;

/// Writes the folder of the model that a file of another program is.
pub fn run(args: &Import) -> Result<()> {
    let out = args.out.display();
    let lies_there = |name: &&&str| args.out.join(name).exists();
    // A run is more than a model: it is not replaced by one.
    if let Some(name) = RUNS.iter().chain(&[RECIPE]).find(lies_there) {
        bail!("{out}: a run lies there (it has a {name}); choose another --out");
    }
    let is_there = [config::CONFIG, store::WEIGHTS].iter().find(lies_there).is_some();
    ensure!(args.force || !is_there, "{out}: has a model already (--force replaces it)");
    let imported = read(args)?;
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
    for note in imported.notes {
        output::note(note);
    }
    output::line(format!("{out}: {}", model.config().layers()))
}

fn read(args: &Import) -> Result<import::Imported> {
    let Some(program) = args.from.or_else(|| by_ending(&args.file)) else {
        let found = args.file.display();
        bail!("--from: expected sklearn, rbms or pytorch for a file of this ending, found {found}");
    };
    let of = |flag: &str, program: &str| format!("{flag}: expected with --from {program} only");
    ensure!(args.update.is_none() || program == Program::Rbms, of("--update", "rbms"));
    let kinds = args.visible.is_some() || args.hidden.is_some();
    let is_named = !args.map.is_empty() || args.transpose || kinds;
    let flags = "--map, --transpose, --visible and --hidden";
    ensure!(!is_named || program == Program::Pytorch, of(flags, "pytorch"));
    let kind = |flag: &str, kind: &Option<String>| {
        let units = kind.as_deref().map(Units::of_kind).transpose();
        units.with_context(|| flag.to_owned())
    };
    Ok(match program {
        Program::Sklearn => import::sklearn(&args.file)?,
        Program::Rbms => import::rbms(&args.file, args.update)?,
        Program::Pytorch => {
            let names = Names {
                map: args.map.clone(),
                transpose: args.transpose,
                visible: kind("--visible", &args.visible)?,
                hidden: kind("--hidden", &args.hidden)?,
            };
            import::pytorch(&args.file, &names)?
        }
    })
}

fn by_ending(file: &Path) -> Option<Program> {
    match file.extension()?.to_str()? {
        "npz" => Some(Program::Sklearn),
        "h5" | "hdf5" => Some(Program::Rbms),
        "pt" | "pth" | "safetensors" => Some(Program::Pytorch),
        _ => None,
    }
}
