//! What may be chosen, and in which steps.

/// What may be chosen: a key of the recipe, or [`KIND`], and its values in order. The middle ones come first.
pub const AXES: [(&str, &[&str], usize); 6] = [
    (HIDDEN, &["16", "25", "50", "100", "200", "400"], 3),
    ("l2", &["1e-5", "1e-4", "3e-4", "1e-3", "2e-3", "5e-3", "1e-2"], 3),
    ("learning_rate", &["{from=0.01,to=0.0}", "{from=0.03,to=0.0}", "{from=0.1,to=0.0}"], 2),
    (KIND, &["bernoulli", "spin"], 0),
    (EPOCHS, &["100", "300", "1000", "3000"], 1),
    (STEPS, &["1", "5", "20"], 1),
];
/// The number of hidden units, and what they are: one key of the recipe, `KIND:NUMBER`.
const HIDDEN: &str = "hidden";
const KIND: &str = "kind";
const EPOCHS: &str = "epochs";
const STEPS: &str = "steps";

/// Positions on the axes.
pub type Place = [usize; AXES.len()];

/// Where a search begins.
pub fn middle() -> Place {
    AXES.map(|(_, _, start)| start)
}

/// The place a step up or down an axis, if there is one.
pub fn step(mut place: Place, axis: usize, up: bool) -> Option<Place> {
    let next = place[axis].checked_add_signed(if up { 1 } else { -1 })?;
    place[axis] = next;
    (next < AXES[axis].1.len()).then_some(place)
}

/// What has to be multiplied in a training at a place, up to a factor.
pub fn work(place: Place) -> f64 {
    let number = |key| value(key, place).parse().unwrap_or(1.0);
    number(HIDDEN) * number(EPOCHS) * (2.0 + number(STEPS))
}

/// The recipe's keys at a place.
pub fn settings(place: Place) -> Vec<String> {
    let keys = AXES.iter().map(|(key, ..)| *key).filter(|key| *key != KIND);
    keys.map(|key| {
        let kind = if key == HIDDEN { format!("{}:", value(KIND, place)) } else { String::new() };
        format!("layers.0.{key}={kind}{}", value(key, place))
    })
    .collect()
}

/// What `key` is at a place.
fn value(key: &str, place: Place) -> &'static str {
    let mut axes = AXES.iter().zip(place);
    axes.find(|((name, ..), _)| *name == key).map_or("", |((_, values, _), i)| values[i])
}
