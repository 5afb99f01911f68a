//! A client of the Hub that shows how far its transfers are.

use std::sync::Arc;

use anyhow::Result;
use dbn::hub::{Hub, Moved};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// As the environment says; a bar called `what` appears among `bars` when bytes move.
pub fn hub(bars: &MultiProgress, what: &'static str) -> Result<Hub> {
    let bar = bars.add(ProgressBar::no_length());
    let template = "{prefix} {bar:40} {bytes:>10}/{total_bytes} {bytes_per_sec}";
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    let watching = move |Moved { bytes, of }| {
        bar.set_length(of);
        bar.set_position(bytes);
        if bytes == of {
            bar.finish_and_clear();
        }
    };
    Ok(Hub::from_env()?.watched(Arc::new(watching)))
}
