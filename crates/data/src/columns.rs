//! What the columns of a table hold: numbers, zeros and ones, or categories, each by its name.

use std::fmt;
use std::ops::Range;

use rbm_core::units::Variance;
use rbm_core::{Error, Result, Rows, Units, rows};
use serde::{Deserialize, Serialize};

use crate::matrix::place;

/// The most different whole numbers of a column that are taken for the codes of a category.
const MOST_CODES: usize = 10;
/// The most different numbers of a column that may be called a category.
const MOST_CATEGORIES: usize = 256;
/// A column of codes has at least so many cases for each of them.
const CASES_A_CODE: usize = 5;
/// The fewest values of a case that is taken for a picture.
const FEWEST_PIXELS: usize = 16;

/// The columns of a table in the order in which the network sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(pub Vec<Column>);

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What the header calls it, if there is a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it holds.
    pub holds: Content,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Numbers of any size: Gaussian units.
    Number,
    /// Zeros and ones, or values between them: Bernoulli units.
    Unit,
    /// Whole numbers that stand for categories, in rising order: a Potts unit with a state for each.
    Codes(Vec<f32>),
    /// Words, in alphabetical order: a Potts unit with a state for each.
    Category(Vec<String>),
}

impl Content {
    /// The values of a case that the column becomes.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Number | Self::Unit => 1,
            Self::Codes(codes) => codes.len(),
            Self::Category(words) => words.len(),
        }
    }

    /// The units that learn the column.
    fn units(&self) -> Units {
        match self {
            Self::Number => Units::Gaussian { size: 1, variance: Variance::Unit },
            Self::Unit => Units::bernoulli(1),
            Self::Codes(_) | Self::Category(_) => Units::Potts { sites: 1, states: self.width() },
        }
    }

    /// The state that the number `x` of the table stands for: a code's place, or the place itself of a word.
    fn state(&self, x: f32) -> Option<usize> {
        match self {
            Self::Number | Self::Unit => None,
            Self::Codes(codes) => codes.iter().position(|code| *code == x),
            Self::Category(words) => (x >= 0.0 && x < words.len() as f32).then_some(x as usize),
        }
    }

    /// What the states of a category are called.
    pub fn states(&self) -> Vec<String> {
        match self {
            Self::Number | Self::Unit => Vec::new(),
            Self::Codes(codes) => codes.iter().map(ToString::to_string).collect(),
            Self::Category(words) => words.clone(),
        }
    }
}

impl Columns {
    /// The values of a case as the network sees it.
    pub fn width(&self) -> usize {
        self.0.iter().map(|column| column.holds.width()).sum()
    }

    /// The units of the data layer: neighbours of one kind are one group.
    pub fn units(&self) -> Units {
        Self::side_by_side(self.0.iter().map(|column| column.holds.units()))
    }

    /// The same where numbers are brought between 0 and 1.
    pub fn min_max_units(&self) -> Units {
        Self::side_by_side(self.0.iter().map(|column| match &column.holds {
            Content::Number => Content::Unit.units(),
            other => other.units(),
        }))
    }

    fn side_by_side(columns: impl Iterator<Item = Units>) -> Units {
        let mut groups: Vec<Units> = Vec::new();
        for units in columns {
            match (groups.last_mut(), &units) {
                (Some(Units::Gaussian { size, .. }), Units::Gaussian { .. })
                | (Some(Units::Bernoulli { size }), Units::Bernoulli { .. }) => *size += 1,
                (Some(Units::Potts { sites, states }), Units::Potts { states: same, .. })
                    if states == same =>
                {
                    *sites += 1;
                }
                _ => groups.push(units),
            }
        }
        match groups.pop() {
            Some(only) if groups.is_empty() => only,
            last => Units::Concat { groups: groups.into_iter().chain(last).collect() },
        }
    }

    /// The values of a case that each column becomes.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let range = |column: &Column| {
            let range = start..start + column.holds.width();
            start = range.end;
            range
        };
        self.0.iter().map(range).collect()
    }

    /// The column of this name, or of this number from 1.
    pub fn find(&self, wanted: &str) -> Option<usize> {
        let is = |column: &Column| column.name.as_deref() == Some(wanted);
        self.0.iter().position(is).or_else(|| {
            wanted.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < self.0.len())
        })
    }

    /// Whether a case is as wide in the table as the network sees it.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|column| column.holds.width() == 1)
    }

    /// A name for each value of a case: the column's, and of a category the state's behind it.
    pub fn value_names(&self) -> Vec<String> {
        let named = self.0.iter().enumerate().flat_map(|(at, column)| {
            let name = column.name.clone().unwrap_or_else(|| (at + 1).to_string());
            match column.holds.width() {
                1 => vec![name],
                _ => column.holds.states().iter().map(|state| format!("{name}={state}")).collect(),
            }
        });
        named.collect()
    }

    /// Whether they say more than the units that learn them: names, or categories.
    pub fn tells_more(&self) -> bool {
        !self.is_plain() || self.0.iter().any(|column| column.name.is_some())
    }

    /// The names of the columns, where every column has one.
    pub(crate) fn names(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|column| column.name.as_deref()).collect()
    }

    /// The rows `values`, one number a column, as the network sees them: categories become zeros and a one. What is missing is
    /// missing in all values of its column.
    pub(crate) fn apply(&self, values: &[f32]) -> Vec<f32> {
        let columns = self.0.len().max(1);
        let mut encoded = Vec::with_capacity(values.len() / columns * self.width());
        for row in values.chunks(columns) {
            for (column, &x) in self.0.iter().zip(row) {
                let width = column.holds.width();
                match &column.holds {
                    Content::Number | Content::Unit => encoded.push(x),
                    _ if x.is_nan() => encoded.extend(std::iter::repeat_n(f32::NAN, width)),
                    holds => {
                        let state = holds.state(x);
                        encoded.extend((0..width).map(|k| match state {
                            Some(state) => f32::from(u8::from(k == state)),
                            None => f32::NAN,
                        }));
                    }
                }
            }
        }
        encoded
    }

    /// A case as the network sees it, `values`, as the table has it: numbers as they are, and of a category the state with the highest value.
    pub fn texts(&self, values: &[f32]) -> Vec<String> {
        let mut start = 0;
        let text = |column: &Column| {
            let part = &values[start..start + column.holds.width()];
            start += part.len();
            let states = column.holds.states();
            let highest = (0..part.len())
                .max_by(|&a, &b| part[a].total_cmp(&part[b]).then(b.cmp(&a)))
                .and_then(|state| states.get(state));
            highest
                .cloned()
                .unwrap_or_else(|| part.first().map_or_else(String::new, f32::to_string))
        };
        self.0.iter().map(text).collect()
    }

    /// Errors for the first of `cases`, of the source `name`, whose category is none of these.
    pub(crate) fn check(&self, name: &str, cases: &dyn Rows) -> Result<()> {
        if self.is_plain() {
            return Ok(());
        }
        let mut start = 0;
        for block in rows::blocks(cases) {
            let rows = block?.to_vec2::<f32>()?;
            for (case, row) in rows.iter().enumerate() {
                for (at, (column, &x)) in self.0.iter().zip(row).enumerate() {
                    if column.holds.width() > 1 && !x.is_nan() && column.holds.state(x).is_none() {
                        let expected = format!(
                            "one of {} in column {}",
                            listed(&column.holds.states()),
                            self.called(at)
                        );
                        let place = place(start + case, at);
                        return Err(Error::file(name, place, expected, x.to_string()));
                    }
                }
            }
            start += rows.len();
        }
        Ok(())
    }

    /// The name of the column with this number, from 0, or its number from 1.
    pub fn called(&self, at: usize) -> String {
        match self.0.get(at).and_then(|column| column.name.as_deref()) {
            Some(name) => format!("`{name}`"),
            None => (at + 1).to_string(),
        }
    }

    /// What every column was taken for, a line for each kind.
    pub fn description(&self) -> String {
        let of = |is: &dyn Fn(&Content) -> bool| -> Vec<usize> {
            (0..self.0.len()).filter(|&at| is(&self.0[at].holds)).collect()
        };
        let numbers = of(&|holds| *holds == Content::Number);
        let units = of(&|holds| *holds == Content::Unit);
        let categories = of(&|holds| holds.width() > 1);
        let mut parts = Vec::new();
        for (columns, kind) in
            [(numbers, "numbers"), (units, "between 0 and 1"), (categories, "categories")]
        {
            if !columns.is_empty() {
                let names: Vec<_> = columns
                    .iter()
                    .map(|&at| match self.0[at].holds.width() {
                        1 => self.called(at),
                        states => format!("{} of {states}", self.called(at)),
                    })
                    .collect();
                parts.push(format!("{kind} ({}): {}", columns.len(), listed(&names)));
            }
        }
        parts.join("; ")
    }
}

/// The first of some words, and how many more there are.
pub(crate) fn listed<T: fmt::Display>(words: &[T]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = words.iter().take(SHOWN).map(ToString::to_string).collect();
    match words.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What the numbers of a column have in common.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    low: f32,
    high: f32,
    is_whole: bool,
    /// The different values in rising order, while they are few.
    values: Option<Vec<f32>>,
    /// The number that is farthest from 0, and the next.
    farthest: [f32; 2],
    pub(crate) missing: usize,
}

impl Profile {
    fn new() -> Self {
        Self {
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            farthest: [0.0; 2],
            is_whole: true,
            values: Some(Vec::new()),
            missing: 0,
        }
    }

    fn push(&mut self, x: f32) {
        if x.is_nan() {
            self.missing += 1;
            return;
        }
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
        let [first, second] = self.farthest;
        if x.abs() > first.abs() {
            self.farthest = [x, first];
        } else if x.abs() > second.abs() {
            self.farthest = [first, x];
        }
        self.is_whole &= x.fract() == 0.0;
        if let Some(values) = &mut self.values
            && let Err(at) = values.binary_search_by(|value| value.total_cmp(&x))
        {
            match values.len() {
                0..=MOST_CATEGORIES => values.insert(at, x),
                _ => self.values = None,
            }
        }
    }

    /// Zeros and ones, and nothing else.
    fn is_binary(&self) -> bool {
        self.is_whole && self.low >= 0.0 && self.high <= 1.0
    }

    /// Whether there is one value, in every case.
    pub(crate) fn is_constant(&self) -> bool {
        self.low == self.high
    }

    /// A number beside which all others are the same: beyond a million times any of them.
    pub(crate) fn lone(&self) -> Option<f32> {
        const FAR: f32 = 1e6;
        let [first, second] = self.farthest;
        (second != 0.0 && first.abs() > FAR * second.abs()).then_some(first)
    }

    /// Codes of a category among `cases`: the whole numbers from 0 or 1 on, most of which there are.
    fn codes(&self, cases: usize) -> Option<Vec<f32>> {
        let values = self.values.as_ref().filter(|_| self.is_whole && !self.is_binary())?;
        let all = ((self.high - self.low) as usize).saturating_add(1);
        let is_code = (self.low == 0.0 || self.low == 1.0)
            && (2..=MOST_CODES).contains(&all)
            && 2 * values.len() > all
            && cases.saturating_sub(self.missing) >= CASES_A_CODE * values.len();
        is_code.then(|| (0..all).map(|code| self.low + code as f32).collect())
    }

    /// Whether its numbers are among these `codes`, in rising order, and zeros and ones can be nothing else.
    fn is_within(&self, codes: &[f32]) -> bool {
        let (Some(&first), Some(&last)) = (codes.first(), codes.last()) else { return false };
        let is_other = self.is_binary() && first == 0.0;
        self.is_whole && self.low >= first && self.high <= last && !is_other
    }

    /// Each column of `cases`, which are as their file has them.
    pub(crate) fn of(cases: &dyn Rows) -> Result<Vec<Self>> {
        let mut profiles = vec![Self::new(); cases.width()];
        for block in rows::blocks(cases) {
            let values = block?.flatten_all()?.to_vec1::<f32>()?;
            for row in values.chunks(profiles.len().max(1)) {
                profiles.iter_mut().zip(row).for_each(|(profile, &x)| profile.push(x));
            }
        }
        Ok(profiles)
    }
}

/// How the columns of a table are told apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    /// Columns that the user calls categories, by name or number.
    pub categories: &'a [String],
    /// Columns that the user calls numbers.
    pub numbers: &'a [String],
    /// Whether whole numbers may be codes.
    pub finds_codes: bool,
}

/// What the columns of `profiles` hold: `names` are theirs, `words` what the codes of the columns of words mean.
pub(crate) fn columns_of(
    profiles: &[Profile],
    cases: usize,
    names: Option<&[String]>,
    mut words: impl FnMut(usize) -> Option<Vec<String>>,
    wanted: &Wanted<'_>,
) -> Result<Columns> {
    let name = |at: usize| names.and_then(|names| names.get(at)).cloned();
    let is_named = |list: &[String], at: usize| {
        list.iter().any(|wanted| {
            name(at).as_ref() == Some(wanted) || wanted.parse::<usize>() == Ok(at + 1)
        })
    };
    for wanted in wanted.categories.iter().chain(wanted.numbers) {
        let list = std::slice::from_ref(wanted);
        if !(0..profiles.len()).any(|at| is_named(list, at)) {
            let expected = match names {
                Some(names) => format!("one of {}, or a number from 1", listed(names)),
                None => format!("a number from 1 to {}", profiles.len()),
            };
            return Err(Error::invalid("the name of a column", expected, format!("{wanted:?}")));
        }
    }
    if let Some(both) =
        wanted.categories.iter().find(|wanted_too| wanted.numbers.contains(wanted_too))
    {
        let expected = "other columns than --categories";
        return Err(Error::invalid("--numbers", expected, format!("{both:?} in both")));
    }
    // Ratings: columns without some of the codes that most others have hold the same codes.
    let common = wanted.finds_codes.then(|| common_codes(profiles, cases)).flatten();
    // A matrix that lies between 0 and 1 as a whole has been scaled already.
    let is_scaled = profiles.iter().all(|profile| profile.low >= 0.0 && profile.high <= 1.0)
        && (0..profiles.len()).all(|at| words(at).is_none());
    let column = |(at, profile): (usize, &Profile)| -> Result<Column> {
        let holds = if let Some(words) = words(at) {
            if is_named(wanted.numbers, at) {
                let what = format!(
                    "--numbers: column {}",
                    name(at).unwrap_or_else(|| (at + 1).to_string())
                );
                return Err(Error::invalid(what, "numbers", format!("words: {}", listed(&words))));
            }
            Content::Category(words)
        } else if is_named(wanted.numbers, at) {
            Content::Number
        } else if let Some(common) = common.as_ref().filter(|common| profile.is_within(common)) {
            Content::Codes(common.clone())
        } else if is_named(wanted.categories, at) {
            let values = profile.values.as_ref();
            let is_category = |values: &&Vec<f32>| (2..=MOST_CATEGORIES).contains(&values.len());
            Content::Codes(values.filter(is_category).cloned().ok_or_else(|| {
                let expected = format!("2 to {MOST_CATEGORIES} different numbers for a category");
                let what = format!(
                    "--categories: column {}",
                    name(at).unwrap_or_else(|| (at + 1).to_string())
                );
                let found = values.map_or("more of them".into(), |values| values.len().to_string());
                Error::invalid(what, expected, found)
            })?)
        } else if profile.is_binary() || is_scaled {
            Content::Unit
        } else if let Some(codes) = profile.codes(cases).filter(|_| wanted.finds_codes) {
            Content::Codes(codes)
        } else {
            Content::Number
        };
        Ok(Column { name: name(at), holds })
    };
    Ok(Columns(profiles.iter().enumerate().map(column).collect::<Result<_>>()?))
}

/// The codes that most columns hold, if they hold the same.
fn common_codes(profiles: &[Profile], cases: usize) -> Option<Vec<f32>> {
    let codes: Vec<_> = profiles.iter().filter_map(|profile| profile.codes(cases)).collect();
    let most = codes.iter().max_by_key(|one| codes.iter().filter(|other| other == one).count())?;
    let same = codes.iter().filter(|other| *other == most).count();
    (2 * same >= profiles.len()).then(|| most.clone())
}

/// The largest pixel, 255 or 16, where the columns are those of pictures: whole numbers from 0, many of them, of one range.
pub(crate) fn largest_pixel(profiles: &[Profile]) -> Option<f32> {
    let high = profiles.iter().fold(0.0f32, |high, profile| high.max(profile.high));
    let is_whole = profiles
        .iter()
        .all(|profile| profile.is_whole && profile.low >= 0.0 && profile.missing == 0);
    let largest = match high {
        16.0 => 16.0,
        high if high > 127.0 && high <= 255.0 => 255.0,
        _ => return None,
    };
    // Borders of pictures are empty; of the others most reach far up.
    let used: Vec<_> = profiles.iter().filter(|profile| profile.high > 0.0).collect();
    let far = used.iter().filter(|profile| profile.high >= largest / 2.0).count();
    let is_one_range =
        2 * far >= used.len() && profiles.iter().all(|profile| profile.low < largest / 2.0);
    (is_whole && profiles.len() >= FEWEST_PIXELS && is_one_range).then_some(largest)
}

/// Height and width of pictures of so many pixels, if they are square.
pub(crate) fn square(pixels: usize) -> Option<(usize, usize)> {
    let side = pixels.isqrt();
    (side * side == pixels && pixels >= FEWEST_PIXELS).then_some((side, side))
}

/// What reading found out about a table besides its numbers.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The names of the columns, if there is a header.
    pub names: Option<Vec<String>>,
    /// What the codes of the columns of words mean.
    pub words: std::collections::BTreeMap<usize, Vec<String>>,
    /// What the classes are called, where they are not just numbers from 0.
    pub class_names: Option<Vec<String>>,
    /// What the column of the labels is called, if there is one.
    pub label_name: Option<String>,
    /// What the column of the target is called, if there is one.
    pub target_name: Option<String>,
    /// What was guessed, left out or converted.
    pub notes: Vec<String>,
}
