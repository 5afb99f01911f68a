//! Machines by name: `ising:64x64`, `pmj:16x16:seed=1`.

use std::str::FromStr;

use rbm_core::{Error, Result};

use crate::Graph;
use crate::lattice::{self, Boundary};

/// What names there are.
const NAMES: &str = "ising:ROWSxCOLUMNS or pmj:ROWSxCOLUMNS:seed=N, with :cylinder or :torus";

impl FromStr for Graph {
    type Err = Error;

    /// `ising:ROWSxCOLUMNS` is [`lattice::ising`]; `pmj:ROWSxCOLUMNS`, with `:seed=N` and `:open`, `:cylinder` or `:torus` behind
    /// it, is [`lattice::plus_minus`], by itself an open lattice of seed 0.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("the name of a machine", NAMES, text);
        let mut parts = text.split(':');
        let kind = parts.next().ok_or_else(wrong)?;
        let (rows, columns) =
            parts.next().and_then(|size| size.split_once('x')).ok_or_else(wrong)?;
        let side = |side: &str| side.parse::<usize>().map_err(|_| wrong());
        let (rows, columns) = (side(rows)?, side(columns)?);
        let (mut boundary, mut seed) = (None, None);
        for part in parts {
            let is_twice = match part {
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
            ("ising", None | Some(Boundary::Torus), None) => lattice::ising(rows, columns),
            ("pmj", boundary, seed) => {
                let boundary = boundary.unwrap_or(Boundary::Open);
                lattice::plus_minus(rows, columns, boundary, seed.unwrap_or(0))
            }
            _ => Err(wrong()),
        }
    }
}
