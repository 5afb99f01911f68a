//! One-hot codes found in zeros and ones: which columns beside each other are the states of one site.

use std::ops::Range;

use rbm_core::{Error, Result, Units, rows};

use crate::examples::Examples;
use crate::matrix::place;

/// Potts units for columns beside each other of which exactly one is 1 in every case of `parts`, Bernoulli units for all others,
/// constant ones among them. `name` is the source.
///
/// # Errors
///
/// [`Error::File`] for the first value that is neither 0 nor 1.
pub fn one_hot_units(name: &str, parts: &[&Examples]) -> Result<Units> {
    let mut columns = Columns::new(parts.first().map_or(0, |part| part.width()));
    for part in parts {
        let before = columns.cases;
        for block in rows::blocks(&part.cases) {
            for row in block?.to_vec2::<f32>()? {
                if let Some(column) = row.iter().position(|x| *x != 0.0 && *x != 1.0) {
                    let place = place(columns.cases - before, column);
                    let expected = "0 or 1, to find one-hot codes";
                    return Err(Error::file(name, place, expected, row[column].to_string()));
                }
                columns.push(&row);
            }
        }
    }
    Ok(columns.units())
}

/// What the cases so far say of their columns.
struct Columns {
    cases: usize,
    /// In how many cases a column is 1.
    ones: Vec<usize>,
    /// For each column the next one that was 1 in a case in which it was: no site holds both.
    next: Vec<usize>,
}

impl Columns {
    fn new(width: usize) -> Self {
        Self { cases: 0, ones: vec![0; width], next: vec![width; width] }
    }

    fn push(&mut self, row: &[f32]) {
        self.cases += 1;
        let mut last: Option<usize> = None;
        for column in (0..row.len()).filter(|&column| row[column] == 1.0) {
            self.ones[column] += 1;
            if let Some(last) = last {
                self.next[last] = self.next[last].min(column);
            }
            last = Some(column);
        }
    }

    /// The shortest site that begins at each column not yet in one.
    fn units(mut self) -> Units {
        for column in (1..self.next.len()).rev() {
            self.next[column - 1] = self.next[column - 1].min(self.next[column]);
        }
        let (mut groups, mut start): (Vec<Units>, _) = (Vec::new(), 0);
        while start < self.ones.len() {
            let site = self.site(start);
            start = site.end;
            match (groups.last_mut(), site.len()) {
                (Some(Units::Bernoulli { size }), 1) => *size += 1,
                (Some(Units::Potts { sites, states }), n) if n == *states => *sites += 1,
                (_, 1) => groups.push(Units::bernoulli(1)),
                (_, states) => groups.push(Units::Potts { sites: 1, states }),
            }
        }
        match groups.pop() {
            Some(only) if groups.is_empty() => only,
            last => Units::Concat { groups: groups.into_iter().chain(last).collect() },
        }
    }

    /// The columns of the site that begins at `start`, or this column alone.
    fn site(&self, start: usize) -> Range<usize> {
        let alone = start..start + 1;
        if self.ones[start] == 0 {
            return alone;
        }
        let mut ones = 0;
        for end in start + 1..=self.next[start] {
            ones += self.ones[end - 1];
            if ones == self.cases {
                return start..end;
            }
        }
        alone
    }
}
