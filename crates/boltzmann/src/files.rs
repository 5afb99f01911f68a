//! Machines in files, told from their contents: rudy's lists of edges, Matrix Market, problems of yes and no in JSON, and parameters of
//! adabmDCA.
//!
//! Each of these has signs of its own. Here E = −Σ J·x·x' − Σ h·x, and what is looked for is low.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Formatter;
use std::path::Path;
use std::str::FromStr;

use rbm_core::{Error, Result, Units};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Graph;

/// The largest file, in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// The most that all numbers of a file may be together: double precision holds the squares of their sums.
const STRONGEST: f64 = 1e100;
/// The most units.
const MAX_UNITS: usize = 1 << 22;

impl Graph {
    /// Reads a machine from a file: a graph for max-cut as rudy and the Gset have it (`units edges`, then `i j weight` with units from 1),
    /// the same as Matrix Market (symmetric, coordinates), a problem in JSON (`{"linear": {"a": 1}, "quadratic": {"a,b": -2}}`, with
    /// `"vartype": "SPIN"` for ±1 in place of 0 and 1), or the `_params.dat` of adabmDCA.
    ///
    /// Of a graph with weights w, the couplings are J = −w: E = Σ w·s·s' is lowest where the cut, (Σw − E)/2, is largest. Of a problem,
    /// E = Σ linear·x + Σ quadratic·x·x' is that of the file, without its offset, which [`Graph::offset`] has.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read, [`Error::File`] with the line, what was expected and what was found.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = text_of(path)?;
        let file = Text { path, text: &text };
        let graph = match text.split_whitespace().next() {
            Some("%%MatrixMarket") => file.matrix_market(),
            Some("J" | "h") => file.potts(),
            Some(first) if first.starts_with('{') => file.problem(),
            Some(first) if first.parse::<f64>().is_ok() => file.rudy(),
            other => Err(file.wrong(1, FORMATS, other.unwrap_or("nothing"))),
        }?;
        let strength = graph.strength();
        if strength > STRONGEST {
            let expected = format!("couplings and fields of at most {STRONGEST:e} together");
            return Err(Error::file(path, "numbers", expected, format!("{strength:e}")));
        }
        Ok(graph)
    }
}

/// The whole of a file that is text, and not too long to be one.
pub(crate) fn text_of(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > MAX_BYTES {
        let expected = format!("at most {MAX_BYTES} bytes");
        return Err(Error::file(path, "length", expected, format!("{length} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    if bytes.starts_with(&GZIP) {
        let expected = "text (unpack it first: gunzip)";
        return Err(Error::file(path, "byte 0", expected, "a gzipped file"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::file(path, "byte 0", "text", "bytes that are no text"))?;
    // Editors of some systems put a mark before the text.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Sorted: by number where all are numbers, so that 10 comes after 9, else as texts.
pub(crate) fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut order: Vec<&str> = names.collect();
    order.sort_unstable();
    if order.iter().all(|name| name.parse::<u64>().is_ok()) {
        order.sort_by_key(|name| name.parse::<u64>().unwrap_or(0));
    }
    order
}

/// How a gzipped file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const FORMATS: &str = "rudy's 'units edges', %%MatrixMarket, a JSON object with \"quadratic\", J and h of adabmDCA, or UAI's MARKOV or BAYES";

struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Fields of a line, by its number from 1.
type Line<'a> = (usize, Vec<&'a str>);

impl<'a> Text<'a> {
    fn wrong(&self, line: usize, expected: impl Into<String>, found: &str) -> Error {
        Error::file(self.path, format!("line {line}"), expected.into(), format!("{found:?}"))
    }

    /// The most units that a file of this length may claim: no more memory than an honest one would take.
    fn most(&self) -> usize {
        MAX_UNITS.min((16 * self.text.len()).max(1 << 16))
    }

    /// Lines that are neither empty nor begin with `comment`.
    fn lines(&self, comment: char) -> impl Iterator<Item = Line<'a>> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        lines
            .filter(move |(_, line)| !line.is_empty() && !line.starts_with(comment))
            .map(|(number, line)| (number, line.split_whitespace().collect()))
    }

    fn number<T: FromStr>(&self, line: usize, what: &str, text: &str) -> Result<T> {
        text.parse().map_err(|_| self.wrong(line, what, text))
    }

    fn finite(&self, line: usize, what: &str, text: &str) -> Result<f64> {
        let number: f64 = self.number(line, what, text)?;
        if number.is_finite() { Ok(number) } else { Err(self.wrong(line, what, text)) }
    }

    fn rudy(&self) -> Result<Graph> {
        let mut lines = self.lines('#');
        let Some((first, fields)) = lines.next() else {
            return Err(self.wrong(1, "'units edges'", ""));
        };
        let [units, edges] = fields[..] else {
            return Err(self.wrong(first, "'units edges'", &fields.join(" ")));
        };
        let units: usize = self.number(first, "how many units", units)?;
        let edges: usize = self.number(first, "how many edges", edges)?;
        self.weighted(units, edges, lines.collect())
    }

    fn matrix_market(&self) -> Result<Graph> {
        let header = self.text.lines().next().unwrap_or_default().to_lowercase();
        let words: Vec<&str> = header.split_whitespace().collect();
        if !matches!(
            words[..],
            [_, "matrix", "coordinate", "real" | "integer" | "pattern", "symmetric"]
        ) {
            let expected = "%%MatrixMarket matrix coordinate real|integer|pattern symmetric";
            return Err(self.wrong(1, expected, &header));
        }
        let mut lines = self.lines('%');
        let Some((line, fields)) = lines.next() else {
            return Err(self.wrong(2, "'rows columns entries'", ""));
        };
        let expected = "'rows columns entries' of a square matrix";
        let [rows, columns, entries] = fields[..] else {
            return Err(self.wrong(line, expected, &fields.join(" ")));
        };
        if rows != columns {
            return Err(self.wrong(line, expected, &fields.join(" ")));
        }
        let units = self.number(line, "how many rows", rows)?;
        self.weighted(units, self.number(line, "how many entries", entries)?, lines.collect())
    }

    /// Lines `i j weight`, or `i j` for a weight of 1.
    fn weighted(&self, units: usize, edges: usize, lines: Vec<Line>) -> Result<Graph> {
        let most = self.most();
        if units == 0 || units > most {
            let expected = format!("1 to {most} units in a file of this length");
            return Err(self.wrong(1, expected, &units.to_string()));
        }
        if lines.len() != edges {
            let last = lines.last().map_or(1, |(line, _)| *line);
            return Err(self.wrong(
                last,
                format!("{edges} edges in all"),
                &lines.len().to_string(),
            ));
        }
        let mut all = Edges::default();
        let named = |unit: u32| format!("unit {}", unit + 1);
        let columns = lines.first().map_or(3, |(_, fields)| fields.len());
        for (line, fields) in lines {
            if fields.len() != columns && [2, 3].contains(&columns) {
                let expected = format!("{columns} numbers, as in the first of these lines");
                return Err(self.wrong(line, expected, &fields.join(" ")));
            }
            let (a, b, weight) = match fields[..] {
                [a, b] => (a, b, 1.0),
                [a, b, weight] => (a, b, self.finite(line, "a finite weight", weight)?),
                _ => return Err(self.wrong(line, "'i j weight'", &fields.join(" "))),
            };
            let expected = format!("a unit from 1 to {units}");
            let unit = |text: &str| -> Result<u32> {
                let unit: usize = self.number(line, &expected, text)?;
                if (1..=units).contains(&unit) {
                    Ok(unit as u32 - 1)
                } else {
                    Err(self.wrong(line, expected.clone(), text))
                }
            };
            all.add(self, || format!("line {line}"), [unit(a)?, unit(b)?], -weight, named)?;
        }
        Ok(all.graph(Units::Spin { size: units }, vec![0.0; units]))
    }

    /// Where the object `section` of a problem has this key: the line, unless the key is written in another way than usual.
    fn place_of(&self, section: &str, key: &str) -> String {
        let text = |of: &str| serde_json::Value::from(of).to_string();
        let start = self.text.find(&text(section)).unwrap_or(0);
        let named = format!("{section} {key:?}");
        match self.text[start..].find(&text(key)) {
            Some(at) => {
                let line = self.text[..start + at].matches('\n').count() + 1;
                format!("line {line}, {named}")
            }
            None => named,
        }
    }

    fn problem(&self) -> Result<Graph> {
        let problem: Problem = serde_json::from_str(self.text).map_err(|e| {
            self.wrong(e.line().max(1), "\"linear\" and \"quadratic\" of a problem", &e.to_string())
        })?;
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        let mut ends = Vec::new();
        for (key, coefficient) in &problem.quadratic {
            let pair: Vec<&str> = key.split(',').map(str::trim).collect();
            let [a, b] = pair[..] else {
                return Err(Error::file(
                    self.path,
                    self.place_of("quadratic", key),
                    "'a,b', two variables without commas in their names",
                    format!("{} names", pair.len()),
                ));
            };
            ends.push((key, [a, b], *coefficient));
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name.trim() == name
                && !name.contains([',', '='])
                && !name.contains(char::is_control)
        };
        for name in problem
            .linear
            .keys()
            .map(String::as_str)
            .chain(ends.iter().flat_map(|(_, pair, _)| *pair))
        {
            if !is_name(name) {
                let expected =
                    "names in one line, without commas and =, and without spaces around them";
                return Err(Error::file(self.path, "variables", expected, format!("{name:?}")));
            }
            names.entry(name).or_default();
        }
        let order = in_order(names.keys().copied());
        for (number, name) in order.iter().enumerate() {
            names.insert(*name, number as u32);
        }
        let called: Vec<String> = order.iter().map(|name| (*name).to_owned()).collect();
        let (size, mut all) = (names.len(), Edges::default());
        if size == 0 || size > MAX_UNITS {
            return Err(Error::file(
                self.path,
                "variables",
                format!("1 to {MAX_UNITS}"),
                size.to_string(),
            ));
        }
        let finite = |section: &str, key: &str, number: f64| match number.is_finite() {
            true => Ok(number),
            false => {
                let place = self.place_of(section, key);
                Err(Error::file(self.path, place, "a finite number", number.to_string()))
            }
        };
        let mut fields = vec![0.0; size];
        for (name, coefficient) in &problem.linear {
            fields[names[name.as_str()] as usize] -= finite("linear", name, *coefficient)?;
        }
        let units = match problem.vartype.as_deref() {
            None | Some("BINARY") => Units::Bernoulli { size },
            Some("SPIN") => Units::Spin { size },
            Some(other) => {
                return Err(Error::file(
                    self.path,
                    self.place_of("vartype", other),
                    "BINARY or SPIN",
                    format!("{other:?}"),
                ));
            }
        };
        for (key, pair, coefficient) in ends {
            let [a, b] = pair.map(|name| names[name]);
            let coefficient = finite("quadratic", key, coefficient)?;
            // x·x = x where x is 0 or 1.
            if a == b && matches!(units, Units::Bernoulli { .. }) {
                fields[a as usize] -= coefficient;
                continue;
            }
            let place = || self.place_of("quadratic", key);
            all.add(self, place, [a, b], -coefficient, |unit| {
                format!("{:?}", order[unit as usize])
            })?;
        }
        let offset = finite("offset", "", problem.offset)?;
        Ok(Graph { names: called, offset, ..all.graph(units, fields) })
    }

    /// `J i j a b value` and `h i a value`, sites from 0, states as letters or numbers. Where there are fields, every state of every site has one:
    /// so a letter that is mistyped is no state of its own.
    fn potts(&self) -> Result<Graph> {
        // Where each letter stands first, and its number.
        let mut letters: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
        let mut sites = 0usize;
        let expected = "'J i j a b value' or 'h i a value'";
        let (mut pairs, mut biases) = (Vec::new(), Vec::new());
        for (line, fields) in self.lines('#') {
            let site = |text: &str| -> Result<usize> {
                let site: usize = self.number(line, "a site from 0", text)?;
                if site < MAX_UNITS {
                    Ok(site)
                } else {
                    Err(self.wrong(line, format!("a site below {MAX_UNITS}"), text))
                }
            };
            match fields[..] {
                ["J", i, j, a, b, value] => {
                    let value = self.finite(line, "a finite coupling", value)?;
                    let (i, j) = (site(i)?, site(j)?);
                    sites = sites.max(i + 1).max(j + 1);
                    for letter in [a, b] {
                        letters.entry(letter).or_insert((line, 0));
                    }
                    pairs.push((line, [(i, a), (j, b)], value));
                }
                ["h", i, a, value] => {
                    let (i, value) = (site(i)?, self.finite(line, "a finite field", value)?);
                    sites = sites.max(i + 1);
                    letters.entry(a).or_insert((line, 0));
                    biases.push((line, (i, a), value));
                }
                _ => return Err(self.wrong(line, expected, &fields.join(" "))),
            }
        }
        let order = in_order(letters.keys().copied());
        for (number, letter) in order.iter().enumerate() {
            letters.entry(letter).and_modify(|place| place.1 = number as u32);
        }
        let states = letters.len();
        if states < 2 || sites.saturating_mul(states) > self.most() {
            let expected = format!("at least 2 states, and at most {} columns", self.most());
            return Err(self.wrong(1, expected, &format!("{sites} sites of {states}")));
        }
        let column = |(site, letter): (usize, &str)| (site * states) as u32 + letters[letter].1;
        let mut given = vec![None; sites * states];
        for &(line, place, value) in &biases {
            if given[column(place) as usize].replace(value).is_some() {
                let found = format!("h {} {} again", place.0, place.1);
                return Err(self.wrong(line, "each field once", &found));
            }
        }
        let has_field = |letter: &str| biases.iter().any(|(_, (_, of), _)| *of == letter);
        // Fields come last: without any of them the file was cut.
        if biases.is_empty() {
            let last = self.text.lines().count();
            return Err(self.wrong(
                last,
                "fields 'h i a value' after the couplings",
                "the end of the file",
            ));
        }
        let unknown = letters.iter().find(|(letter, _)| !has_field(letter));
        if let Some((letter, (line, _))) = unknown {
            let known: Vec<&str> =
                letters.keys().copied().filter(|letter| has_field(letter)).collect();
            let expected = format!("one of the states that have fields: {}", known.join(" "));
            return Err(self.wrong(*line, expected, letter));
        }
        for (site, of_site) in given.chunks(states).enumerate() {
            let missing =
                letters.iter().find(|(_, (_, number))| of_site[*number as usize].is_none());
            if let Some((letter, (line, _))) = missing {
                let all = letters.keys().copied().collect::<Vec<_>>().join(" ");
                let expected = format!("a field h of each of the states {all} of each site");
                return Err(self.wrong(*line, expected, &format!("no h {site} {letter}")));
            }
        }
        let fields = given.into_iter().map(|field| field.unwrap_or(0.0)).collect();
        let mut all = Edges::default();
        for (line, ends, value) in pairs {
            if ends[0].0 == ends[1].0 {
                return Err(self.wrong(line, "two sites", &format!("site {} twice", ends[0].0)));
            }
            let named = |at: u32| {
                let (site, state) = (at as usize / states, at as usize % states);
                format!("site {site}, state {}", order[state])
            };
            all.add(self, || format!("line {line}"), ends.map(column), value, named)?;
        }
        Ok(all.graph(Units::Potts { sites, states }, fields))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    #[serde(default, deserialize_with = "each_once")]
    linear: BTreeMap<String, f64>,
    #[serde(default, deserialize_with = "each_once")]
    quadratic: BTreeMap<String, f64>,
    vartype: Option<String>,
    /// Added to every energy.
    #[serde(default)]
    offset: f64,
}

/// An object of numbers, whose keys stand in it once: of two numbers of one key, neither is the right one.
fn each_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, f64>, D::Error> {
    struct Numbers;

    impl<'de> Visitor<'de> for Numbers {
        type Value = BTreeMap<String, f64>;

        fn expecting(&self, to: &mut Formatter) -> std::fmt::Result {
            to.write_str("an object of numbers")
        }

        fn visit_map<A: MapAccess<'de>>(
            self,
            mut entries: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut numbers = BTreeMap::new();
            while let Some((key, number)) = entries.next_entry::<String, f64>()? {
                if numbers.contains_key(&key) {
                    return Err(A::Error::custom(format!("{key:?} twice, expected each key once")));
                }
                numbers.insert(key, number);
            }
            Ok(numbers)
        }
    }

    deserializer.deserialize_map(Numbers)
}

/// Edges as they are read, each once.
#[derive(Default)]
struct Edges {
    edges: Vec<[u32; 2]>,
    couplings: Vec<f64>,
    seen: BTreeSet<[u32; 2]>,
}

impl Edges {
    /// One more, from this place of the file; `named` says what its ends are called there.
    fn add(
        &mut self,
        file: &Text,
        place: impl Fn() -> String,
        edge: [u32; 2],
        coupling: f64,
        named: impl Fn(u32) -> String,
    ) -> Result<()> {
        let [a, b] = edge;
        let refused =
            |expected: &str, found: String| Err(Error::file(file.path, place(), expected, found));
        if a == b {
            return refused("an edge between two units", format!("{} with itself", named(a)));
        }
        if !self.seen.insert([a.min(b), a.max(b)]) {
            return refused("each edge once", format!("{} and {} again", named(a), named(b)));
        }
        self.edges.push(edge);
        self.couplings.push(coupling);
        Ok(())
    }

    fn graph(self, units: Units, fields: Vec<f64>) -> Graph {
        Graph {
            units,
            edges: self.edges,
            couplings: self.couplings,
            fields,
            shape: None,
            names: Vec::new(),
            offset: 0.0,
        }
    }
}
