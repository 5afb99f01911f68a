//! Potts machines as the `_params.dat` of adabmDCA: written, and with which letters they were.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use rbm_core::state::write_whole;
use rbm_core::{Error, Result, Units};

use crate::Graph;
use crate::files::{in_order, text_of};

impl Graph {
    /// Writes a machine of Potts units as a `_params.dat` of adabmDCA, which [`Graph::read`] reads with the same energies: a line
    /// `J i j a b value` for each coupling, then `h i a value` for each field, sites from 0, and states by their `letters`.
    ///
    /// # Errors
    ///
    /// For other units, letters of another number than the states or twice the same, and when the file cannot be written.
    pub fn write_params(&self, path: impl AsRef<Path>, letters: &[String]) -> Result<()> {
        let Units::Potts { sites: _, states } = self.units else {
            let found = self.units.to_string();
            return Err(Error::invalid("parameters of adabmDCA", "Potts units", found));
        };
        let is_word = |letter: &String| !letter.is_empty() && !letter.contains(char::is_whitespace);
        let distinct: BTreeSet<&String> = letters.iter().filter(|letter| is_word(letter)).collect();
        if letters.len() != states || distinct.len() != states {
            let expected = format!("{states} letters, each once");
            return Err(Error::invalid("the letters of states", expected, format!("{letters:?}")));
        }
        let place = |column: usize| (column / states, &letters[column % states]);
        let mut text = String::new();
        let mut line = |arguments: std::fmt::Arguments| {
            // Text takes everything.
            let _ = text.write_fmt(arguments);
        };
        for (&[a, b], coupling) in self.edges.iter().zip(&self.couplings) {
            let ((i, a), (j, b)) = (place(a.min(b) as usize), place(a.max(b) as usize));
            line(format_args!("J {i} {j} {a} {b} {coupling}\n"));
        }
        for (column, field) in self.fields.iter().enumerate() {
            let (i, a) = place(column);
            line(format_args!("h {i} {a} {field}\n"));
        }
        write_whole(path.as_ref(), text.as_bytes())
    }
}

/// The letters of the states of a `_params.dat`, in the order in which [`Graph::read`] has the states.
///
/// # Errors
///
/// When the file cannot be read.
pub fn letters_of_params(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let text = text_of(path.as_ref())?;
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let letters: BTreeSet<&str> = fields
        .flat_map(|fields| match fields[..] {
            ["J", _, _, a, b, _] => vec![a, b],
            ["h", _, a, _] => vec![a],
            _ => Vec::new(),
        })
        .collect();
    Ok(in_order(letters.into_iter()).into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States written as numbers are those numbers: state 10 comes after state 9.
    #[test]
    fn states_that_are_numbers_keep_them() -> Result<()> {
        let fields: Vec<f64> = (0..22).map(f64::from).collect();
        let graph = Graph {
            units: Units::Potts { sites: 2, states: 11 },
            edges: vec![[10, 12]],
            couplings: vec![1.0],
            fields: fields.clone(),
            shape: None,
            names: Vec::new(),
            offset: 0.0,
        };
        let folder = tempfile::tempdir().map_err(|e| Error::io(".", e))?;
        let path = folder.path().join("x_params.dat");
        let letters: Vec<String> = (0..11).map(|state| state.to_string()).collect();
        graph.write_params(&path, &letters)?;
        let read = Graph::read(&path)?;
        assert_eq!((read.fields, read.edges), (fields, vec![[10, 12]]));
        assert_eq!(letters_of_params(&path)?, letters);
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_with_the_same_energies() -> Result<()> {
        let graph = Graph {
            units: Units::Potts { sites: 3, states: 2 },
            edges: vec![[0, 2], [5, 1], [3, 4]],
            couplings: vec![0.1f32.into(), -1.5, f64::from(1e-8f32)],
            fields: vec![0.5, -0.25, 0.0, 1.0, 3.0, -7.5],
            shape: None,
            names: Vec::new(),
            offset: 0.0,
        };
        let folder = tempfile::tempdir().map_err(|e| Error::io("a folder", e))?;
        let path = folder.path().join("some_params.dat");
        // The order of the letters in the file is that of bytes: here the other way round.
        graph.write_params(&path, &["C".to_owned(), "-".to_owned()])?;
        let read = Graph::read(&path)?;
        assert_eq!(letters_of_params(&path)?, ["-", "C"]);
        for number in 0..8usize {
            let states: Vec<usize> = (0..3).map(|site| number >> site & 1).collect();
            let of = |flip: usize| -> Vec<f64> {
                let site =
                    |state: usize| (0..2).map(move |a| f64::from(u8::from(a == state ^ flip)));
                states.iter().flat_map(|&state| site(state)).collect()
            };
            assert_eq!(graph.energy(&of(0))?, read.energy(&of(1))?);
        }
        assert!(graph.write_params(&path, &["C".to_owned(), "C".to_owned()]).is_err());
        Ok(())
    }
}
