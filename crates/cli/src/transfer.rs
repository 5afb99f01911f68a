//! A client of the Hub that shows how far its transfers are.

use std::sync::Arc;

use anyhow::Result;
use candle_dbn::hub::{Hub, TransferProgress};
use indicatif::{MultiProgress, ProgressBar};

use crate::progress;

/// As the environment says; a bar called `what` appears among `bars` when bytes move.
pub fn hub(bars: &MultiProgress, what: &'static str) -> Result<Hub> {
    let bar = bars.add(ProgressBar::no_length());
    bar.set_style(progress::style("{prefix} {BAR} {bytes}/{total_bytes} {left}"));
    bar.set_prefix(what);
    let watching = move |TransferProgress { bytes, of }| {
        bar.set_length(of);
        bar.set_position(bytes);
        if bytes == of {
            bar.finish_and_clear();
        }
    };
    Ok(Hub::from_env()?.watched(Arc::new(watching)))
}
