//! Whether values can be what units of a kind are, and which zeros and ones beside each other are one-hot codes.

use std::ops::Range;

use candle_core::Tensor;
use rbm_core::{Error, Result, Units, rows};

use crate::dataset::{Examples, check_range};
use crate::matrix::place;

/// How far the sum over a site or over counts may be off, as a share of what it must be: for means and probabilities.
const SLACK: f32 = 1e-3;

/// What is wrong with a value: its column, what should stand there, what does.
type Misfit = (usize, String, String);

/// Checks that cases of so many values are as wide as these units: of Potts units, as long as their sites.
///
/// # Errors
///
/// [`Error::Invalid`] for cases of another width.
pub fn check_width(found: usize, units: &Units) -> Result<()> {
    if found == units.width() {
        return Ok(());
    }
    let (expected, found) = match units {
        Units::Potts { sites, states } if found.is_multiple_of((*states).max(1)) => {
            (format!("{sites} sites of {states} states"), format!("{} sites", found / states))
        }
        _ => (format!("{} values a case for {units}", units.width()), found.to_string()),
    };
    Err(Error::invalid("the data", expected, found))
}

/// Checks that the cases of `part` are configurations of `units`, or means of some: zeros to ones for Bernoulli units, −1 or
/// 1 for spins, at most the number of trials for binomial ones, sites that sum to one for Potts units, counts that sum to the
/// number of draws for multinomial ones, nothing below zero for rectified ones. `path_or_name` is the source.
///
/// # Errors
///
/// [`Error::File`] for the first value that cannot be, naming its case and its place in it, both from 1; [`Error::Invalid`]
/// for cases of another width.
pub fn check_units(path_or_name: &str, part: &Examples, units: &Units) -> Result<()> {
    check_width(part.width(), units)?;
    let is_range =
        matches!(units, Units::Bernoulli { .. } | Units::Binomial { .. } | Units::Gaussian { .. });
    if is_range {
        let (low, high) = units.range();
        return check_range(path_or_name, part, low, high, &units.kind());
    }
    let may_miss = part.cases.may_miss();
    let mut start = 0;
    for block in rows::blocks(&part.cases) {
        for row in block?.to_vec2::<f32>()? {
            let groups = units.groups().into_iter();
            let misfit = groups.filter_map(|(columns, units)| {
                let values = row.get(columns.clone())?;
                let known: Vec<f32>;
                let values = if may_miss && values.iter().any(|x| x.is_nan()) {
                    // Of a site all values are missing, or none.
                    known = values
                        .iter()
                        .map(|x| if x.is_nan() { neutral(units) } else { *x })
                        .collect();
                    &known[..]
                } else {
                    values
                };
                let (column, expected, found) = misfit(values, units)?;
                Some((columns.start + column, expected, found))
            });
            if let Some((column, expected, found)) = misfit.into_iter().next() {
                return Err(Error::file(path_or_name, place(start, column), expected, found));
            }
            start += 1;
        }
    }
    Ok(())
}

/// The same for cases in memory `(batch, width)`; `hint` says what to do where they do not fit, or nothing.
///
/// # Errors
///
/// [`Error::Invalid`] for the first value that cannot be, naming its place, and for another width.
pub fn check_values(x: &Tensor, units: &Units, hint: &str) -> Result<()> {
    let part = Examples::new(x.clone(), None)?;
    check_units("the data", &part, units).map_err(|error| match error {
        Error::File { place, expected, found, .. } => {
            Error::invalid(format!("the data: {place}"), format!("{expected}{hint}"), found)
        }
        other => other,
    })
}

/// A value that fits in place of one that is missing.
fn neutral(units: &Units) -> f32 {
    match units {
        Units::Spin { .. } => 1.0,
        Units::Potts { states, .. } => 1.0 / *states as f32,
        Units::Multinomial { size, draws } => *draws as f32 / *size as f32,
        _ => 0.0,
    }
}

/// What the first value of a case is that units of one kind cannot have.
fn misfit(values: &[f32], units: &Units) -> Option<Misfit> {
    let (low, high) = units.range();
    let first = |is_wrong: &dyn Fn(f32) -> bool, expected: String| {
        let column = values.iter().position(|&x| is_wrong(x))?;
        Some((column, expected, values[column].to_string()))
    };
    match units {
        Units::Spin { .. } => first(
            &|x| x != -1.0 && x != 1.0,
            "-1 or 1 for spin units (zeros and ones are for bernoulli units)".into(),
        ),
        _ => first(
            &|x| !(low..=high).contains(&x),
            match high.is_finite() {
                true => format!("a value in [{low}, {high}] for {} units", units.kind()),
                false => format!("a value of at least {low} for {} units", units.kind()),
            },
        ),
    }
    .or_else(|| match units {
        Units::Potts { states, .. } => {
            let sites = values.chunks(*states).enumerate();
            let sums = sites.map(|(site, values)| (site * states, values.iter().sum::<f32>()));
            let (column, sum) = sums.into_iter().find(|(_, sum)| (sum - 1.0).abs() > SLACK)?;
            let expected = format!("a site of {states} columns with a one in one of them");
            Some((column, expected, format!("columns that sum to {sum}")))
        }
        Units::Multinomial { draws: 0, .. } => {
            let sum = values.iter().sum::<f32>();
            let is_off = sum < 1.0 || (sum - sum.round()).abs() > SLACK * sum;
            let expected = "counts that sum to a whole number, at least 1".into();
            is_off.then(|| (0, expected, format!("counts that sum to {sum}")))
        }
        Units::Multinomial { draws, .. } => {
            let (sum, expected) = (values.iter().sum::<f32>(), *draws as f32);
            let is_off = (sum - expected).abs() > SLACK * expected.max(1.0);
            let found = format!("counts that sum to {sum}");
            is_off.then(|| (0, format!("counts that sum to {draws}, one a draw"), found))
        }
        _ => None,
    })
}

/// Potts units for columns beside each other of which exactly one is 1 in every case of `parts`, Bernoulli units for all others,
/// constant ones among them. `name` is the source.
///
/// # Errors
///
/// [`Error::File`] for the first value that is neither 0 nor 1.
pub fn one_hot_units(name: &str, parts: &[&Examples]) -> Result<Units> {
    let mut columns = OneHotColumns::new(parts.first().map_or(0, |part| part.width()));
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
struct OneHotColumns {
    cases: usize,
    /// In how many cases a column is 1.
    ones: Vec<usize>,
    /// For each column the next one that was 1 in a case in which it was: no site holds both.
    next: Vec<usize>,
}

impl OneHotColumns {
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
