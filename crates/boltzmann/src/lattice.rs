//! Lattices and complete graphs of spins: the Ising model, the ±J glass, the model of Sherrington and Kirkpatrick. And machines by their
//! names: `ising:64x64`, `pmj:16x16:seed=1`.

use std::str::FromStr;

use rbm_core::{Error, Result, Units};

use crate::Graph;

/// The most units of a lattice.
const MAX_UNITS: usize = 1 << 22;

/// Which sides of a rectangle are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// None.
    Open,
    /// Left and right.
    Cylinder,
    /// Left and right, top and bottom.
    Torus,
}

/// The edges of a rectangle, and the number of each: 2(row·columns + column) to the right, one more downwards.
fn edges([rows, columns]: [usize; 2], boundary: Boundary) -> Result<Vec<(u64, [u32; 2])>> {
    let wrong =
        |expected: &str| Err(Error::invalid("a lattice", expected, format!("{rows}x{columns}")));
    if rows == 0 || columns == 0 || rows.saturating_mul(columns) > MAX_UNITS {
        return wrong("1 to 4194304 units");
    }
    let (is_round, is_closed) = (boundary != Boundary::Open, boundary == Boundary::Torus);
    // Of two rows that are joined around, each pair of neighbours would be joined twice.
    if (is_round && columns < 3) || (is_closed && rows < 3) {
        return wrong("at least 3 units along a side that is joined to the other");
    }
    let mut edges = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let unit = row * columns + column;
            let number = 2 * unit as u64;
            if column + 1 < columns || is_round {
                let right = row * columns + (column + 1) % columns;
                edges.push((number, [unit as u32, right as u32]));
            }
            if row + 1 < rows || is_closed {
                let below = (row + 1) % rows * columns + column;
                edges.push((number + 1, [unit as u32, below as u32]));
            }
        }
    }
    Ok(edges)
}

/// The Ising model: spins on a torus of `rows` and `columns`, all neighbours coupled by J = 1, without a field. In two
/// dimensions it orders below the temperature 2/ln(1 + √2) = 2.269 (Onsager 1944).
///
/// # Errors
///
/// For sides below 3, which would be joined twice, and for more than 4,194,304 spins.
pub fn ising(rows: usize, columns: usize) -> Result<Graph> {
    let edges: Vec<_> = edges([rows, columns], Boundary::Torus)?;
    Ok(spins([rows, columns], edges, |_| 1.0))
}

/// The ±J spin glass (Edwards and Anderson 1975): couplings of +1 and −1 with equal chances. Edge number k, as
/// 2(row·columns + column) to the right and one more downwards, is +1 where the highest bit of word k of splitmix64 is set.
///
/// # Errors
///
/// As [`ising`]; an open lattice may have any sides.
pub fn plus_minus(rows: usize, columns: usize, boundary: Boundary, seed: u64) -> Result<Graph> {
    let edges = edges([rows, columns], boundary)?;
    let sign = |number: u64| if word(seed, number) >> 63 == 1 { 1.0 } else { -1.0 };
    Ok(spins([rows, columns], edges, sign))
}

/// The model of Potts (1952): a unit of `states` states at each place of a torus, −1 for each pair of neighbours in the same state. In two
/// dimensions it orders below the temperature 1/ln(1 + √states).
///
/// # Errors
///
/// As [`ising`], and for fewer than 2 or more than 64 states.
pub fn potts(rows: usize, columns: usize, states: usize) -> Result<Graph> {
    let bonds: Vec<_> = edges([rows, columns], Boundary::Torus)?;
    if !(2..=64).contains(&states) {
        return Err(Error::invalid("a Potts model", "2 to 64 states", states.to_string()));
    }
    let alike = |[a, b]: [u32; 2]| {
        (0..states as u32).map(move |state| [a, b].map(|site| site * states as u32 + state))
    };
    let edges: Vec<[u32; 2]> = bonds.into_iter().flat_map(|(_, bond)| alike(bond)).collect();
    let sites = rows * columns;
    Ok(Graph {
        units: Units::Potts { sites, states },
        couplings: vec![1.0; edges.len()],
        edges,
        fields: vec![0.0; sites * states],
        shape: Some([rows, columns]),
        names: Vec::new(),
        offset: 0.0,
    })
}

/// The model of Sherrington and Kirkpatrick (1975): every pair of `spins` spins coupled by a number from N(0, 1/spins). It orders, as a
/// glass, below the temperature 1. Pair number k, row by row, takes the words 2k and 2k + 1 of splitmix64 (Box and Muller).
///
/// # Errors
///
/// For fewer than 2 and more than 10,000 spins.
pub fn sherrington_kirkpatrick(spins: usize, seed: u64) -> Result<Graph> {
    if !(2..=10_000).contains(&spins) {
        return Err(Error::invalid("a glass", "2 to 10000 spins", spins.to_string()));
    }
    let size = spins as u32;
    let edges: Vec<[u32; 2]> = (0..size).flat_map(|i| (i + 1..size).map(move |j| [i, j])).collect();
    let uniform = |k: u64| ((word(seed, k) >> 11) as f64 + 0.5) * (-53f64).exp2();
    let normal = |k: u64| {
        let radius = (-2.0 * libm::log(uniform(2 * k))).sqrt();
        radius * libm::cos(std::f64::consts::TAU * uniform(2 * k + 1))
    };
    let scale = 1.0 / (spins as f64).sqrt();
    Ok(Graph {
        units: Units::Spin { size: spins },
        couplings: (0..edges.len() as u64).map(|k| scale * normal(k)).collect(),
        edges,
        fields: vec![0.0; spins],
        shape: None,
        names: Vec::new(),
        offset: 0.0,
    })
}

fn spins(shape: [usize; 2], edges: Vec<(u64, [u32; 2])>, coupling: impl Fn(u64) -> f64) -> Graph {
    let size = shape[0] * shape[1];
    Graph {
        units: Units::Spin { size },
        couplings: edges.iter().map(|(number, _)| coupling(*number)).collect(),
        edges: edges.into_iter().map(|(_, edge)| edge).collect(),
        fields: vec![0.0; size],
        shape: Some(shape),
        names: Vec::new(),
        offset: 0.0,
    }
}

/// Word k of splitmix64 (Steele, Lea, Flood 2014).
pub(crate) fn word(seed: u64, k: u64) -> u64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What names there are.
const NAMES: &str = "ising:ROWSxCOLUMNS, pmj:ROWSxCOLUMNS:seed=N with :cylinder or :torus, potts:STATES:ROWSxCOLUMNS, sk:SPINS:seed=N or hopfield:FILE";
const KINDS: [&str; 5] = ["ising", "pmj", "potts", "sk", "hopfield"];

impl Graph {
    /// Whether `text` is meant as a name, right or wrong, and not as a file: it begins with a kind and a colon.
    pub fn is_name(text: &str) -> bool {
        text.split_once(':').is_some_and(|(kind, _)| KINDS.contains(&kind))
    }
}

impl FromStr for Graph {
    type Err = Error;

    /// `ising:ROWSxCOLUMNS` is [`ising`]; `pmj:ROWSxCOLUMNS`, with `:seed=N` and `:open`, `:cylinder` or `:torus` behind
    /// it, is [`plus_minus`], by itself an open lattice of seed 0; `potts:STATES:ROWSxCOLUMNS` is [`potts`];
    /// `sk:SPINS`, with `:seed=N`, is [`sherrington_kirkpatrick`].
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("the name of a machine or a file that is there", NAMES, text);
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let sides = |text: &str| -> Result<[usize; 2]> {
            let (rows, columns) = text.split_once('x').ok_or_else(wrong)?;
            Ok([number(rows)?, number(columns)?])
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (kind, size, rest) = match &parts[..] {
            ["potts", states, size] => {
                let [rows, columns] = sides(size)?;
                return potts(rows, columns, number(states)?);
            }
            [kind, size, rest @ ..] => (*kind, *size, rest),
            _ => return Err(wrong()),
        };
        let (mut boundary, mut seed) = (None, None);
        for part in rest {
            let is_twice = match *part {
                "open" => boundary.replace(Boundary::Open).is_some(),
                "cylinder" => boundary.replace(Boundary::Cylinder).is_some(),
                "torus" => boundary.replace(Boundary::Torus).is_some(),
                _ => {
                    let number = part.strip_prefix("seed=").ok_or_else(wrong)?;
                    seed.replace(number.parse().map_err(|_| wrong())?).is_some()
                }
            };
            if is_twice {
                return Err(wrong());
            }
        }
        match (kind, boundary, seed) {
            ("ising", None | Some(Boundary::Torus), None) => {
                let [rows, columns] = sides(size)?;
                ising(rows, columns)
            }
            ("pmj", boundary, seed) => {
                let [rows, columns] = sides(size)?;
                plus_minus(rows, columns, boundary.unwrap_or(Boundary::Open), seed.unwrap_or(0))
            }
            ("sk", None, seed) => sherrington_kirkpatrick(number(size)?, seed.unwrap_or(0)),
            _ => Err(wrong()),
        }
    }
}
