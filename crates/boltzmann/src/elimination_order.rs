//! In which order variables are taken out of a field, and what that costs: the cheapest of several orders, none of which is the best there is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use rbm_core::Result;

use crate::field::MarkovField;

/// log₂ of the largest table, and of the numbers of all tables together, of marginals: 128 MiB and 4 GiB.
pub(crate) const MOST_OF_SUMS: [f64; 2] = [24.0, 29.0];
/// The most variables of which the order of the fewest added edges is tried, and not that of the fewest neighbours.
const MOST_TRIED: usize = 4096;

/// In which order the variables of a field are taken out, given states of some, and what that costs. Finding it may take longer than taking them out.
#[derive(Debug, Clone)]
pub struct EliminationOrder {
    /// The state of each variable that is given.
    pub(crate) known: Vec<Option<usize>>,
    pub(crate) variables: Vec<usize>,
    /// log₂ of the largest table, and of the numbers of all tables together.
    pub(crate) cost: [f64; 2],
}

impl EliminationOrder {
    /// log₂ of the largest table on the way.
    pub fn width(&self) -> f64 {
        self.cost[0]
    }

    /// Whether marginals and log Z are counted so: tables are not too large, each and all together.
    pub fn is_countable(&self) -> bool {
        self.fits(MOST_OF_SUMS)
    }

    pub(crate) fn fits(&self, most: [f64; 2]) -> bool {
        self.cost.iter().zip(most).all(|(cost, most)| *cost <= most)
    }
}

impl MarkovField {
    /// The order in which exact inference takes variables out, given states of some.
    ///
    /// # Errors
    ///
    /// For evidence of states that there are not.
    pub fn elimination_order(&self, given: &[(usize, usize)]) -> Result<EliminationOrder> {
        let known = self.check_evidence(given)?;
        let (variables, widest, all) = self.order(&known);
        Ok(EliminationOrder { known, variables, cost: [widest, all.log2()] })
    }

    /// An order in which to take variables out, log₂ of its largest table, and the sum of its tables: the cheapest of the order of the variables, of
    /// that of a walk through the field in breadth, and of that which adds the fewest edges at each step.
    fn order(&self, known: &[Option<usize>]) -> (Vec<usize>, f64, f64) {
        let by_number = self.cost(known, |left, _| left.iter().next().copied());
        let by_fill = |left: &BTreeSet<usize>, neighbours: &[BTreeSet<usize>]| {
            let fill = |v: &usize| -> (usize, usize) {
                let around: Vec<usize> = neighbours[*v].iter().copied().collect();
                let pairs = around.iter().enumerate();
                let missing = pairs.map(|(i, a)| {
                    around[i + 1..].iter().filter(|b| !neighbours[*a].contains(b)).count()
                });
                (missing.sum(), around.len())
            };
            left.iter().min_by_key(|v| fill(v)).copied()
        };
        // That looks at all that are left at each step: of many variables those with the fewest neighbours go first.
        let by_fewest = match self.states.len() <= MOST_TRIED {
            true => self.cost(known, by_fill),
            false => self.cost(known, fewest_neighbours()),
        };
        let walk = self.walk(known);
        let at = Cell::new(0);
        let by_walk = self.cost(known, |_, _| walk.get(at.replace(at.get() + 1)).copied());
        let price = |(_, widest, all): &(Vec<usize>, f64, f64)| {
            (if *widest > MOST_OF_SUMS[0] { *widest } else { 0.0 }, *all)
        };
        let cheaper = |best, other| if price(&other) < price(&best) { other } else { best };
        [by_walk, by_fewest].into_iter().fold(by_number, cheaper)
    }

    /// The variables in the order of a walk in breadth from one at the rim (Cuthill and McKee 1969).
    fn walk(&self, known: &[Option<usize>]) -> Vec<usize> {
        let neighbours = self.neighbours(known);
        let mut is_seen: Vec<bool> = known.iter().map(Option::is_some).collect();
        let mut order = Vec::with_capacity(self.states.len());
        let breadth = |start: usize, is_seen: &mut [bool]| {
            let mut found = vec![start];
            is_seen[start] = true;
            let mut at = 0;
            while let Some(&variable) = found.get(at) {
                let mut next: Vec<usize> =
                    neighbours[variable].iter().copied().filter(|v| !is_seen[*v]).collect();
                next.sort_by_key(|v| neighbours[*v].len());
                next.iter().for_each(|v| is_seen[*v] = true);
                found.extend(next);
                at += 1;
            }
            found
        };
        for start in 0..self.states.len() {
            if is_seen[start] {
                continue;
            }
            // The last that a walk comes to is at the rim.
            let found = breadth(start, &mut is_seen);
            let rim = found.last().copied().unwrap_or(start);
            found.into_iter().for_each(|v| is_seen[v] = false);
            order.extend(breadth(rim, &mut is_seen));
        }
        order
    }

    /// The variables that are not known and share a clique with each of these.
    fn neighbours(&self, known: &[Option<usize>]) -> Vec<BTreeSet<usize>> {
        let mut neighbours = vec![BTreeSet::new(); self.states.len()];
        for clique in &self.cliques {
            let scope: Vec<usize> =
                clique.scope.iter().copied().filter(|v| known[*v].is_none()).collect();
            for &a in &scope {
                neighbours[a].extend(scope.iter().copied().filter(|b| *b != a));
            }
        }
        neighbours
    }

    /// The order that `next` chooses among the variables that are left and their neighbours.
    fn cost(
        &self,
        known: &[Option<usize>],
        next: impl Fn(&BTreeSet<usize>, &[BTreeSet<usize>]) -> Option<usize>,
    ) -> (Vec<usize>, f64, f64) {
        let mut neighbours = self.neighbours(known);
        let mut left: BTreeSet<usize> =
            (0..self.states.len()).filter(|v| known[*v].is_none()).collect();
        let (mut order, mut widest, mut all) = (Vec::new(), 0f64, 0f64);
        while let Some(variable) = next(&left, &neighbours) {
            left.remove(&variable);
            let around = std::mem::take(&mut neighbours[variable]);
            let size: f64 =
                around.iter().chain([&variable]).map(|v| (self.states[*v] as f64).log2()).sum();
            widest = widest.max(size);
            all += size.exp2();
            // Wider than can be: no need to know by how much.
            if widest > 2.0 * MOST_OF_SUMS[0] {
                return (order, widest, all);
            }
            for &a in &around {
                neighbours[a].remove(&variable);
                neighbours[a].extend(around.iter().copied().filter(|b| *b != a));
            }
            order.push(variable);
        }
        (order, widest, all)
    }
}

/// What has the fewest neighbours of those that are left.
fn fewest_neighbours() -> impl Fn(&BTreeSet<usize>, &[BTreeSet<usize>]) -> Option<usize> {
    let queue: RefCell<BTreeSet<(usize, usize)>> = RefCell::default();
    let is_filled = Cell::new(false);
    move |left, neighbours| {
        let mut queue = queue.borrow_mut();
        if !is_filled.replace(true) {
            queue.extend(left.iter().map(|v| (neighbours[*v].len(), *v)));
        }
        while let Some((count, variable)) = queue.pop_first() {
            let now = neighbours[variable].len();
            match left.contains(&variable) {
                true if now == count => {
                    // Each of them loses this one, and may get some of the others.
                    let next = neighbours[variable].iter();
                    queue.extend(next.map(|v| (neighbours[*v].len().saturating_sub(1), *v)));
                    return Some(variable);
                }
                true => drop(queue.insert((now, variable))),
                false => {}
            }
        }
        None
    }
}
