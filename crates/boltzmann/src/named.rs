//! Machines by name: `ising:64x64`, `pmj:16x16:seed=1`.

use std::str::FromStr;

use rbm_core::{Error, Result};

use crate::Graph;
use crate::lattice::{self, Boundary};

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

    /// `ising:ROWSxCOLUMNS` is [`lattice::ising`]; `pmj:ROWSxCOLUMNS`, with `:seed=N` and `:open`, `:cylinder` or `:torus` behind
    /// it, is [`lattice::plus_minus`], by itself an open lattice of seed 0; `potts:STATES:ROWSxCOLUMNS` is [`lattice::potts`];
    /// `sk:SPINS`, with `:seed=N`, is [`lattice::sherrington_kirkpatrick`].
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
                return lattice::potts(rows, columns, number(states)?);
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
                lattice::ising(rows, columns)
            }
            ("pmj", boundary, seed) => {
                let [rows, columns] = sides(size)?;
                lattice::plus_minus(
                    rows,
                    columns,
                    boundary.unwrap_or(Boundary::Open),
                    seed.unwrap_or(0),
                )
            }
            ("sk", None, seed) => {
                lattice::sherrington_kirkpatrick(number(size)?, seed.unwrap_or(0))
            }
            _ => Err(wrong()),
        }
    }
}
