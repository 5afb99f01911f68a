//! The model that a command is about: a folder here, or a repository of the Hub.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use candle_core::Device;
use candle_dbn::{Model, Run, data};
use indicatif::MultiProgress;

use crate::output::Usage;
use crate::recipe;

/// The folder of the model that `given` means; what is on the Hub is fetched into its cache.
#[cfg(feature = "hub")]
pub fn find(given: &Path, bars: &MultiProgress) -> Result<PathBuf> {
    use anyhow::Context;
    use candle_dbn::hub::Reference;

    let text = given.to_string_lossy();
    check_is_no_data(&text)?;
    if !Reference::is_meant_by(&text) {
        return Ok(given.to_path_buf());
    }
    let reference: Reference = text.parse()?;
    let snapshot = crate::progress::hub(bars, "pull")?.find(&reference);
    Ok(snapshot.with_context(|| format!("no folder {text} here; on the Hub"))?.dir)
}

/// The folder of the model: there is no Hub in this program.
#[cfg(not(feature = "hub"))]
pub fn find(given: &Path, _: &MultiProgress) -> Result<PathBuf> {
    check_is_no_data(&given.to_string_lossy())?;
    Ok(given.to_path_buf())
}

/// Errors where data are named in a run's place.
fn check_is_no_data(given: &str) -> Result<()> {
    // A model is one, whatever pictures lie in folders of its own.
    let folder = Path::new(given);
    if Run::open(folder).is_ok() || folder.join(candle_dbn::store::WEIGHTS).is_file() {
        return Ok(());
    }
    if data::is_data(given) || recipe::is_of_hub(given) {
        return Err(Usage::of(anyhow!(
            "{given}: expected the folder of a run, found data, not a run (make one with: dbn train {given})"
        )));
    }
    Ok(())
}

/// The model in the folder `dir`, on `device`. Errors that say what to do where a training has not come to its end.
pub fn load(dir: &Path, device: &Device) -> Result<Model> {
    let name = dir.display();
    ensure!(dir.is_dir(), "{name}: expected the folder of a model, found none");
    let is_unfinished = Run::open(dir).is_ok_and(|run| !run.is_finished());
    ensure!(
        !is_unfinished,
        "{name}/model.safetensors: expected what a finished run leaves, found none (go on with: dbn train --resume {name})"
    );
    Ok(Model::load(dir, device)?)
}

/// Where a command may leave files about the model in the folder `run`: there, or in `runs/user--name@commit` for what lies in the
/// Hub's cache, where nothing but the Hub's own files belongs.
pub fn work_dir(run: &Path) -> PathBuf {
    let names: Vec<_> = run.ancestors().take(3).filter_map(Path::file_name).collect();
    match names[..] {
        [commit, snapshots, repository] if snapshots == "snapshots" => {
            let (commit, repository) = (commit.to_string_lossy(), repository.to_string_lossy());
            match repository.strip_prefix("models--") {
                Some(name) => Path::new("runs").join(format!("{name}@{commit:.7}")),
                None => run.to_path_buf(),
            }
        }
        _ => run.to_path_buf(),
    }
}
