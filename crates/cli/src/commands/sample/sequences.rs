//! Samples of alignments as sequences.

use anyhow::Result;
use candle_core::Tensor;
use candle_dbn::data::Alphabet;

/// Samples `(n, sites * states)` as sequences: at each site the letter of the state that is on.
pub fn fasta(samples: &Tensor, letters: &Alphabet) -> Result<String> {
    let mut text = String::new();
    let of = letters.letters().as_bytes();
    for (number, sample) in samples.to_vec2::<f32>()?.iter().enumerate() {
        text.push_str(&format!(">sample{number}\n"));
        for site in sample.chunks(of.len()) {
            let on = (0..site.len()).max_by(|&a, &b| site[a].total_cmp(&site[b]).then(b.cmp(&a)));
            text.push(char::from(of[on.unwrap_or(0)]));
        }
        text.push('\n');
    }
    Ok(text)
}
