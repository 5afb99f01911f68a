//! log Z of a model where it is known: counted, or kept by `dbn evaluate --likelihood --both`.

use std::path::Path;

use anyhow::Result;
use candle_dbn::estimate::KeptPartition;
use candle_dbn::estimate::likelihood::TOLERANCE;
use rbm_core::estimate::Estimate;

use crate::{inputs, output};

/// Says why there is none.
pub fn left_out(why: &str) -> Result<Option<Estimate>> {
    output::note(format!("log_likelihood is left out: {why}"));
    Ok(None)
}

/// log Z of the model in the folder `run`, `exact` where it was counted. What it rests on, or what is missing, is said.
pub fn known(run: &Path, exact: Option<Estimate>) -> Result<Option<Estimate>> {
    if let Some(exact) = exact {
        output::note(format!("log Z {:.4}, exact", exact.value));
        return Ok(Some(exact));
    }
    let advice = format!("dbn evaluate {} --likelihood --both", run.display());
    let kept = match KeptPartition::of(inputs::work_dir(run), run) {
        Err(damaged @ candle_dbn::Error::File { .. }) => return left_out(&damaged.to_string()),
        kept => kept?,
    };
    let Some(kept) = kept else {
        return left_out(&format!("log Z is not known (find and keep it with: {advice})"));
    };
    match kept.quotable(TOLERANCE) {
        Some(found) => {
            output::note(format!(
                "log Z {:.4} ± {:.4}, both sides agree (seed {}, {} chains, {} inverse temperatures)",
                found.value,
                found.error,
                kept.options.seed,
                kept.options.chains,
                kept.options.betas
            ));
            Ok(Some(found))
        }
        None => left_out(&format!(
            "what is kept of log Z is from one side, or its sides disagree (find it with: {advice})"
        )),
    }
}
