//! `dbn push`

use anyhow::Result;
use candle_dbn::hub::{ModelBundle, Push as Options, Pushed, Reference};
use indicatif::{DecimalBytes, MultiProgress};

use crate::args::Push;
use crate::{output, progress};

/// Pushes a run, or lists what would go.
pub fn run(args: &Push, bars: &MultiProgress) -> Result<()> {
    let reference = Reference::at(&args.to, args.revision.as_deref())?;
    let parcel = match &args.layers {
        Some(layers) => ModelBundle::of_first_layers(&args.run, &reference, layers.end)?,
        None => ModelBundle::of(&args.run, &reference)?,
    };
    if args.dry_run {
        return list(&parcel, &reference);
    }
    let options =
        Options { private: args.private, message: args.message.clone(), create_pr: args.create_pr };
    let Pushed { commit, url, inline } =
        progress::hub(bars, "push")?.push(&reference, &parcel, &options)?;
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

fn list(parcel: &ModelBundle, reference: &Reference) -> Result<()> {
    let card = parcel.card.over(None)?.len() as u64;
    let mut rows = vec![vec![candle_dbn::hub::CARD.to_owned(), DecimalBytes(card).to_string()]];
    for (name, content) in &parcel.files {
        rows.push(vec![name.clone(), DecimalBytes(content.size()?).to_string()]);
    }
    output::line(output::table(&["file", "size"], rows))?;
    output::line(format!(
        "would go to {} on {}; nothing was sent",
        reference.repository(),
        reference.revision()
    ))
}
