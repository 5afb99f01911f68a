//! Colours for the units of a graph: units that are joined have different ones, so that all of one colour can be drawn together.

use std::collections::BTreeSet;

use crate::{Error, Result, Units};

/// A colour for each unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colouring {
    /// The colour of each unit, from 0.
    pub colours: Vec<usize>,
    /// How many there are.
    pub count: usize,
}

impl Colouring {
    /// Colours for `units` units joined by `pairs`: those of the highest degree first, each with the lowest colour that none of
    /// its neighbours has (Welsh and Powell 1967). Never more than one above the highest degree.
    ///
    /// ```
    /// use rbm_core::model::Colouring;
    ///
    /// let ring = [[0, 1], [1, 2], [2, 3], [3, 0]];
    /// assert_eq!(Colouring::greedy(4, &ring)?.colours, [0, 1, 0, 1]);
    /// # Ok::<(), rbm_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// For a unit that there is not, a unit joined to itself, and a pair twice.
    pub fn greedy(units: usize, pairs: &[[u32; 2]]) -> Result<Self> {
        let neighbours = neighbours(units, pairs)?;
        let mut order: Vec<usize> = (0..units).collect();
        order.sort_by_key(|&unit| std::cmp::Reverse(neighbours[unit].len()));
        let mut colours = vec![usize::MAX; units];
        for unit in order {
            let taken: BTreeSet<usize> = neighbours[unit].iter().map(|&i| colours[i]).collect();
            colours[unit] = (0..).find(|colour| !taken.contains(colour)).unwrap_or_default();
        }
        let count = colours.iter().max().map_or(0, |most| most + 1);
        Ok(Self { colours, count })
    }

    /// [`Colouring::greedy`] of the columns of `units` joined by `pairs`: the columns of a unit of several states have one colour.
    pub(super) fn of_units(units: &Units, pairs: &[[u32; 2]]) -> Result<Self> {
        let states = match units {
            Units::Potts { states, .. } => (*states).max(1),
            _ => 1,
        };
        if states == 1 {
            return Self::greedy(units.width(), pairs);
        }
        let site = |column: u32| column / states as u32;
        let sites = pairs.iter().map(|[a, b]| [site(*a).min(site(*b)), site(*a).max(site(*b))]);
        let sites: Vec<_> = sites.collect::<BTreeSet<_>>().into_iter().collect();
        let Self { colours, count } = Self::greedy(units.width() / states, &sites)?;
        let colours = colours.iter().flat_map(|colour| std::iter::repeat_n(*colour, states));
        Ok(Self { colours: colours.collect(), count })
    }

    /// Errors unless the units joined by `pairs` have different colours, and every colour below `count` has a unit.
    pub(super) fn check(&self, pairs: &[[u32; 2]]) -> Result<()> {
        neighbours(self.colours.len(), pairs)?;
        let used: BTreeSet<usize> = self.colours.iter().copied().collect();
        if !used.iter().copied().eq(0..self.count) {
            let expected = format!("each of the colours 0 to {}", self.count.saturating_sub(1));
            return Err(Error::invalid("a colouring", expected, format!("{used:?}")));
        }
        let is_within = |[i, j]: &&[u32; 2]| self.colours[*i as usize] == self.colours[*j as usize];
        match pairs.iter().find(is_within) {
            None => Ok(()),
            Some(pair) => {
                let found = format!("{pair:?} of one colour");
                Err(Error::invalid("a colouring", "two colours at every edge", found))
            }
        }
    }
}

/// The units that each is joined to.
fn neighbours(units: usize, pairs: &[[u32; 2]]) -> Result<Vec<BTreeSet<usize>>> {
    let mut neighbours = vec![BTreeSet::new(); units];
    for (number, &[i, j]) in pairs.iter().enumerate() {
        let (i, j) = (i as usize, j as usize);
        let wrong = |expected: String| {
            Err(Error::invalid(format!("edge {number}"), expected, format!("{i}, {j}")))
        };
        if i >= units || j >= units {
            return wrong(format!("two of the units 0 to {}", units.saturating_sub(1)));
        }
        if i == j {
            return wrong("two different units".to_owned());
        }
        if !neighbours[i].insert(j) {
            return wrong("each edge once".to_owned());
        }
        neighbours[j].insert(i);
    }
    Ok(neighbours)
}
