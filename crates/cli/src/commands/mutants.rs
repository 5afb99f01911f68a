//! Sequences with one letter changed: what is named, or every change.

use anyhow::{Context, Result, ensure};
use candle_core::{D, Device, Tensor};
use candle_dbn::data::Alphabet;

/// The changes of the sequence `codes`, a state a site: those that `named` names, or where it names none all.
pub fn changes(named: &[String], codes: &[usize], letters: &Alphabet) -> Result<Vec<Change>> {
    match named.is_empty() {
        true => Ok(all_changes(codes, letters)),
        false => named_changes(named, codes, letters),
    }
}

/// The state of each site of a case `(1, sites * states)`.
pub fn codes(case: &Tensor, letters: &Alphabet) -> Result<Vec<usize>> {
    let sites = case.reshape((case.elem_count() / letters.states(), letters.states()))?;
    let codes = sites.argmax(D::Minus1)?.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    Ok(codes.into_iter().map(|code| code as usize).collect())
}

/// One letter in another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The column, from 0.
    site: usize,
    /// What stands there, and what is put in its place.
    from: u8,
    to: u8,
}

impl Change {
    /// From text as `A12G`: the letter there, the column from 1, the other letter.
    fn parse(text: &str) -> Result<Self> {
        let change = || {
            let (&from, rest) = text.as_bytes().split_first()?;
            let (&to, number) = rest.split_last()?;
            let site: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
            Some(Self { site: site.checked_sub(1)?, from, to })
        };
        change().with_context(|| {
            format!(
                "--mutants: expected a letter, a column from 1 and another letter as in A12G, found {text:?}"
            )
        })
    }

    /// `A12G`
    pub fn name(&self) -> String {
        format!("{}{}{}", char::from(self.from), self.site + 1, char::from(self.to))
    }
}

/// Errors for a text that is no change, and for a change that is named twice.
pub fn check_changes(texts: &[String]) -> Result<()> {
    let mut seen = Vec::new();
    for text in texts {
        let text = text.to_ascii_uppercase();
        let change = Change::parse(&text)?;
        ensure!(
            !seen.contains(&change),
            "--mutants: expected every change once, found {text} twice"
        );
        seen.push(change);
    }
    Ok(())
}

/// The changes of the sequence `codes`, a state a site, that these texts name.
fn named_changes(texts: &[String], codes: &[usize], letters: &Alphabet) -> Result<Vec<Change>> {
    let change = |text: &String| {
        let Change { site, from, to } = Change::parse(text)?;
        ensure!(
            site < codes.len(),
            "--mutants: expected columns up to {}, found {text}",
            codes.len()
        );
        let there = letters.letters().as_bytes()[codes[site]];
        ensure!(
            from.eq_ignore_ascii_case(&there),
            "--mutants: {text}: expected the letter that stands in column {}: {}",
            site + 1,
            char::from(there)
        );
        let known = letters.code(to.to_ascii_uppercase());
        ensure!(
            known.is_some(),
            "--mutants: {text}: expected one of the letters {}",
            letters.letters()
        );
        Ok(Change { site, from: there, to: to.to_ascii_uppercase() })
    };
    texts.iter().map(change).collect()
}

/// Every change of one letter of the sequence `codes` into another; gaps stay, and none is put in.
fn all_changes(codes: &[usize], letters: &Alphabet) -> Vec<Change> {
    let gap = usize::from(letters.gap());
    let of = letters.letters().as_bytes();
    let sites = codes.iter().enumerate().filter(|(_, code)| **code != gap);
    let changes = sites.flat_map(|(site, &code)| {
        let others = (0..of.len()).filter(move |&other| other != code && other != gap);
        others.map(move |other| Change { site, from: of[code], to: of[other] })
    });
    changes.collect()
}

/// The sequence `codes` as the network sees it, a row for each of `changes` `(changes, sites * states)`.
pub fn rows_of(codes: &[usize], changes: &[Change], letters: &Alphabet) -> Result<Tensor> {
    let states = letters.states();
    let mut values = vec![0f32; changes.len() * codes.len() * states];
    for (row, change) in values.chunks_mut(codes.len() * states).zip(changes) {
        for (site, &code) in codes.iter().enumerate() {
            let code = match (site == change.site, letters.code(change.to)) {
                (true, Some(code)) => usize::from(code),
                _ => code,
            };
            row[site * states + code] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (changes.len(), codes.len() * states), &Device::Cpu)?)
}
