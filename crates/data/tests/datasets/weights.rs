//! Sequence weights, against every pair looked at letter by letter.

use std::collections::BTreeSet;
use std::path::Path;

use candle_dbn_data::{ReadOptions, Weights};

use super::{Outcome, plain, read_file};

/// Sixty sequences of 300 columns in families: copies of eleven with some letters changed.
fn sequences() -> Vec<Vec<u8>> {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let letters = b"-ACDEFGHIKLMNPQRSTVWY";
    let mut letter = |_| letters[random(21) as usize];
    let founders: Vec<Vec<u8>> = (0..11).map(|_| (0..300).map(&mut letter).collect()).collect();
    let mut all = Vec::new();
    for (i, founder) in founders.iter().cycle().take(60).enumerate() {
        let mut sequence = founder.clone();
        // From none to a fifth and more of its letters: to both sides of the threshold.
        for place in 0..(i * 13) % 90 {
            let at = place * 7 % 300;
            sequence[at] = if sequence[at] == b'A' { b'C' } else { b'A' };
        }
        all.push(sequence);
    }
    all
}

#[test]
fn weights_are_one_over_the_number_of_similar_sequences() -> Outcome {
    let all = sequences();
    let text: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(i, letters)| format!(">s{i}\n{}\n", String::from_utf8_lossy(letters)))
        .collect();
    for share in [0.8, 0.75, 1.0, 0.3] {
        let options = ReadOptions { weights: Some(Weights::Identity(share)), ..plain() };
        let set = read_file("x.fasta", text.concat().as_bytes(), &options)?;
        let weights = set.train.weights.clone().ok_or("no weights")?;
        let mut effective = 0.0;
        for (i, a) in all.iter().enumerate() {
            let equal = |b: &&Vec<u8>| a.iter().zip(*b).filter(|(a, b)| a == b).count() as f64;
            let near = all.iter().filter(|b| equal(b) >= share * 300.0 - 1e-9).count();
            assert_eq!(weights[i], 1.0 / near as f32, "{share}: sequence {i}");
            effective += 1.0 / near as f64;
        }
        let note = format!("60 cases are worth {effective:.1} (M_eff)");
        assert!(set.notes.iter().any(|said| said.contains(&note)), "{note}: {:?}", set.notes);
        // They and the names go where their cases go.
        let some = set.train.select(&[5, 3])?;
        assert_eq!(some.weights.as_deref(), Some(&[weights[5], weights[3]][..]));
        assert_eq!(some.names.as_deref().map(|names| names.join(" ")), Some("s5 s3".into()));
    }
    assert!("identity:1.5".parse::<Weights>().is_err() && "identity".parse::<Weights>().is_err());
    Ok(())
}

/// The RNA family of adabmDCA: 3,827 sequences of 136 sites, of which 3,646 are distinct; what they are worth by an identity of 0.8, all of them and
/// each once, as another program has counted.
#[test]
fn an_rna_family_is_worth_what_is_known() -> Outcome {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/proteins/RF00379.fasta");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: RF00379.fasta is not in ../shared/data/proteins");
        return Ok(());
    };
    let worth = |text: &str| -> Result<(usize, f64), Box<dyn std::error::Error>> {
        let options = ReadOptions { weights: Some(Weights::Identity(0.8)), ..plain() };
        let set = read_file("x.fasta", text.as_bytes(), &options)?;
        let weights = set.train.weights.as_deref().ok_or("no weights")?;
        assert_eq!(set.train.width(), 136 * 5);
        Ok((set.train.len(), weights.iter().map(|weight| f64::from(*weight)).sum()))
    };
    let (count, all) = worth(&text)?;
    assert_eq!(count, 3827);
    assert!((all - 1446.3047).abs() < 1e-3, "{all}");
    let sequences = text.split('>').skip(1).filter_map(|entry| entry.split_once('\n'));
    let distinct: BTreeSet<String> =
        sequences.map(|(_, letters)| letters.split_whitespace().collect()).collect();
    let (count, once) =
        worth(&distinct.iter().map(|of| format!(">x\n{of}\n")).collect::<String>())?;
    assert_eq!(count, 3646);
    assert!((once - 1447.0374).abs() < 1e-3, "{once}");
    Ok(())
}
