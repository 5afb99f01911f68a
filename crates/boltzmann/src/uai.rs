//! Markov random fields in UAI files, as the solvers of the UAI competitions have them; evidence, and marginals as results.
//!
//! `MARKOV`, how many variables, the states of each, how many cliques, the scope of each, then the table of each, the last variable fastest.

use std::fmt::Write;
use std::mem::replace;
use std::path::Path;
use std::str::FromStr;

use rbm_core::{Error, Result};

use crate::files::text_of;
use crate::{Beliefs, Clique, MarkovField};

/// The most variables.
const MAX_VARIABLES: usize = 1 << 22;
/// How far from 1 probabilities may sum that were written with a few digits.
const ROUNDED: f64 = 1e-3;

/// A variable that is among its own causes, of tables whose last variable is caused by those before it.
fn in_a_circle(scopes: &[Vec<usize>]) -> Option<usize> {
    let mut causes = vec![&[][..]; scopes.len()];
    let mut waits = vec![0; scopes.len()];
    let mut effects = vec![Vec::new(); scopes.len()];
    for (child, parents) in scopes.iter().filter_map(|scope| scope.split_last()) {
        (causes[*child], waits[*child]) = (parents, parents.len());
        parents.iter().for_each(|parent| effects[*parent].push(*child));
    }
    let mut free: Vec<usize> = (0..scopes.len()).filter(|&variable| waits[variable] == 0).collect();
    while let Some(variable) = free.pop() {
        for &effect in &effects[variable] {
            waits[effect] -= 1;
            if waits[effect] == 0 {
                free.push(effect);
            }
        }
    }
    // Whoever waits has a cause that waits: as many steps back as there are variables end in a circle.
    let mut at = (0..scopes.len()).find(|&variable| waits[variable] > 0)?;
    for _ in 0..scopes.len() {
        at = causes[at].iter().copied().find(|&cause| waits[cause] > 0)?;
    }
    Some(at)
}

/// The words of a file, with the line of each.
struct Words<'a> {
    path: &'a Path,
    words: Vec<(usize, &'a str)>,
    at: usize,
}

impl<'a> Words<'a> {
    fn of(path: &'a Path, text: &'a str) -> Self {
        let lines = text.lines().enumerate();
        let words =
            lines.flat_map(|(i, line)| line.split_whitespace().map(move |word| (i + 1, word)));
        Self { path, words: words.collect(), at: 0 }
    }

    /// Whether the first number of a file of evidence can only be that of its samples: no pairs of a variable and a state follow it.
    fn are_of_one_sample(&self) -> bool {
        match self.words[..] {
            [(first, _), (second, _)] => first != second,
            _ => self.words.len() > 3,
        }
    }

    fn wrong(&self, expected: impl Into<String>) -> Error {
        let (line, found) = match self.words.get(self.at) {
            Some((line, word)) => (*line, format!("{word:?}")),
            None => (self.words.last().map_or(1, |(line, _)| *line), "the end of the file".into()),
        };
        Error::file(self.path, format!("line {line}"), expected.into(), found)
    }

    fn next<T: FromStr>(&mut self, what: &str) -> Result<T> {
        let word = self.words.get(self.at).and_then(|(_, word)| word.parse().ok());
        let word = word.ok_or_else(|| self.wrong(what))?;
        self.at += 1;
        Ok(word)
    }

    /// A number below `most`, so that no length from a file is believed.
    fn count(&mut self, what: &str, most: usize) -> Result<usize> {
        let count = self.next(what)?;
        if count > most {
            self.at -= 1;
            return Err(self.wrong(format!("{what}, at most {most}")));
        }
        Ok(count)
    }
}

impl MarkovField {
    /// Whether the file begins as a UAI file does.
    pub fn is_in(path: impl AsRef<Path>) -> bool {
        use std::io::Read;
        let mut start = [0; 64];
        let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
        let start = read.map(|length| String::from_utf8_lossy(&start[..length]).into_owned());
        start.is_ok_and(|start| {
            let first = start.trim_start_matches('\u{feff}').split_whitespace().next();
            matches!(first, Some("MARKOV" | "BAYES"))
        })
    }

    /// Reads a UAI file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] with the line for too few numbers, a scope out of range, and a potential that is not
    /// above 0. Of kind BAYES, each variable must be the last one of one scope, and its probabilities must sum to 1.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = text_of(path)?;
        let mut words = Words::of(path, &text);
        let kind: String = words.next("MARKOV")?;
        if kind != "MARKOV" && kind != "BAYES" {
            words.at -= 1;
            return Err(words.wrong("MARKOV or BAYES"));
        }
        let is_directed = kind == "BAYES";
        let variables = words.count("how many variables there are", MAX_VARIABLES)?;
        if variables == 0 {
            words.at -= 1;
            return Err(words.wrong("at least one variable"));
        }
        let mut states = Vec::new();
        for _ in 0..variables {
            let of = words.next::<usize>("how many states a variable has")?;
            if of == 0 {
                words.at -= 1;
                return Err(words.wrong("at least one state"));
            }
            states.push(of);
        }
        let cliques = words.count("how many cliques there are", MAX_VARIABLES)?;
        if is_directed && cliques != variables {
            words.at -= 1;
            return Err(words.wrong(format!("{variables} tables, one of each variable")));
        }
        let (mut scopes, mut has_table) = (Vec::new(), vec![false; variables]);
        // Where each variable has its scope.
        let mut lines = vec![0; variables];
        for number in 0..cliques {
            let what = format!("how many variables clique {number} has");
            let size = words.count(&what, variables)?;
            let mut scope: Vec<usize> = Vec::new();
            for _ in 0..size {
                let variable: usize = words.next("a variable of a scope")?;
                if variable >= variables || scope.contains(&variable) {
                    words.at -= 1;
                    let expected = format!(
                        "a variable from 0 to {}, once a scope",
                        variables.saturating_sub(1)
                    );
                    return Err(words.wrong(expected));
                }
                scope.push(variable);
            }
            // The table of a variable given those that stand before it.
            let is_first = scope.last().is_some_and(|child| !replace(&mut has_table[*child], true));
            if is_directed && !is_first {
                words.at -= 1;
                return Err(words.wrong("as the last of a scope, a variable that has no table yet"));
            }
            if let Some(child) = scope.last() {
                lines[*child] = words.words[words.at - 1].0;
            }
            scopes.push(scope);
        }
        if is_directed && let Some(variable) = in_a_circle(&scopes) {
            let place = format!("line {}", lines[variable]);
            let found = format!("variable {variable} among its own causes");
            return Err(Error::file(path, place, "tables without a circle", found));
        }
        let mut all = Vec::new();
        for (number, scope) in scopes.into_iter().enumerate() {
            let size = scope.iter().try_fold(1usize, |size, &v| size.checked_mul(states[v]));
            let size = size.ok_or_else(|| words.wrong("a table that fits in memory"))?;
            let declared: usize =
                words.next(&format!("how many numbers the table of clique {number} has"))?;
            if declared != size {
                words.at -= 1;
                return Err(
                    words.wrong(format!("{size}, as many as its variables have combinations"))
                );
            }
            let mut log_potential = Vec::new();
            // How many numbers are the probabilities of one variable, and their sum so far.
            let in_all =
                if is_directed { scope.last().map_or(1, |child| states[*child]) } else { 1 };
            let mut sum = 0.0;
            for _ in 0..size {
                let potential: f64 = words.next("a potential")?;
                if !(potential > 0.0 && potential.is_finite()) {
                    words.at -= 1;
                    return Err(words.wrong(
                        "a finite potential above 0 (one of 0 would cut the states apart)",
                    ));
                }
                log_potential.push(potential.ln());
                sum += potential;
                if is_directed && log_potential.len().is_multiple_of(in_all) {
                    if (sum - 1.0).abs() > ROUNDED {
                        words.at -= 1;
                        let expected = format!(
                            "the last of {in_all} probabilities that sum to 1 (these sum to {sum})"
                        );
                        return Err(words.wrong(expected));
                    }
                    sum = 0.0;
                }
            }
            all.push(Clique { scope, log_potential });
        }
        if words.at < words.words.len() {
            return Err(words.wrong("the end of the file"));
        }
        Self::new(states, all)
    }

    /// The field as the text of a UAI file.
    pub fn to_uai(&self) -> String {
        let mut text = format!("MARKOV\n{}\n", self.states.len());
        let line =
            |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{}\n{}", line(&self.states), self.cliques.len());
        for clique in &self.cliques {
            let _ = writeln!(text, "{} {}", clique.scope.len(), line(&clique.scope));
        }
        for clique in &self.cliques {
            let numbers: Vec<String> =
                clique.log_potential.iter().map(|x| x.exp().to_string()).collect();
            let _ = writeln!(text, "\n{}\n{}", numbers.len(), numbers.join(" "));
        }
        text
    }
}

impl MarkovField {
    /// Reads a UAI evidence file: how many variables are known, then each of them and its state.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; [`Error::File`] with the line for a variable or a state that this field has not, and for two states of one
    /// variable.
    pub fn read_evidence(&self, path: impl AsRef<Path>) -> Result<Vec<(usize, usize)>> {
        let path = path.as_ref();
        let text = text_of(path)?;
        let mut words = Words::of(path, &text);
        let mut count = words.count("how many variables are known", MAX_VARIABLES)?;
        // Some files say before this, in a line of its own, that they hold one sample.
        if count == 1 && words.are_of_one_sample() {
            count = words.count("how many variables are known", MAX_VARIABLES)?;
        }
        let (mut given, mut known) = (Vec::new(), vec![None; self.states.len()]);
        for _ in 0..count {
            let variable = words.count("a variable", self.states.len().saturating_sub(1))?;
            let what = format!("a state of variable {variable}");
            let state = words.count(&what, self.states[variable].saturating_sub(1))?;
            if let Some(other) = known[variable].replace(state).filter(|other| *other != state) {
                words.at -= 1;
                return Err(words.wrong(format!("state {other} of variable {variable}, as before")));
            }
            given.push((variable, state));
        }
        if words.at < words.words.len() {
            return Err(words.wrong("the end of the file"));
        }
        Ok(given)
    }
}

/// States that are known as the text of a UAI evidence file: how many, then each variable and its state.
pub fn evidence_as_uai(given: &[(usize, usize)]) -> String {
    let mut known = given.to_vec();
    known.sort_unstable();
    known.dedup();
    let pairs = known.iter().map(|(variable, state)| format!(" {variable} {state}"));
    format!("{}{}\n", known.len(), pairs.collect::<String>())
}

impl Beliefs {
    /// The marginals as the text of a UAI result: `MAR`, how many variables, then of each how many states and their probabilities.
    pub fn to_uai(&self) -> String {
        let of = |marginal: &Vec<f64>| {
            let numbers: Vec<String> = marginal.iter().map(|p| format!("{p:.10}")).collect();
            format!(" {} {}", marginal.len(), numbers.join(" "))
        };
        format!(
            "MAR\n{}{}\n",
            self.marginals.len(),
            self.marginals.iter().map(of).collect::<String>()
        )
    }
}
