//! What was perhaps meant by a word that nobody knows.

/// How alike two words must be: the share of their letters that need not be changed.
const ALIKE: f64 = 0.5;

/// Keys of earlier recipes, and how they are written now.
const RENAMED: [(&str, &str); 12] = [
    ("chains", "a setting of its method, `method.pcd.chains`, and so for fpcd, pt and ptt"),
    ("fast_rate", "`method.fpcd.rate`"),
    ("fast_decay", "`method.fpcd.decay`"),
    ("replicas", "`method.pt.replicas`"),
    ("damping", "`method.mean-field.damping`"),
    ("generative", "`method.hybrid.generative`"),
    ("visible_step", "`method.cd.visible_step`, or `method.hybrid.visible_step`"),
    ("sparsity_target", "`sparsity.target`"),
    ("sparsity_cost", "`sparsity.cost`; without a pull `sparsity = \"none\"`"),
    ("sparsity_decay", "`sparsity.decay`"),
    ("line_searches", "`optimizer.cg.line_searches`"),
    ("virtual_adversarial", "`adversarial.virtual`"),
];

/// The one of `known` that is most like `word`, if any is.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Letters that have changed places count once.
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(&word, other);
    let scored = known.into_iter().map(|other| (likeness(other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, other)| other)
}

/// `found` in quotes, and what was perhaps meant: `"digts" (did you mean digits?)`.
pub fn quoted<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(found, known) {
        Some(meant) => format!("{found:?} (did you mean {meant}?)"),
        None => format!("{found:?}"),
    }
}

/// What serde says of a word that it does not know, ``unknown field `a`, expected one of `b`, `c` ``, with the one of those
/// that was perhaps meant at its end. Other texts stay as they are.
pub(super) fn with_advice(text: &str) -> String {
    let Some((_, unknown)) = text.split_once("unknown ") else { return text.to_owned() };
    let words: Vec<_> = unknown.split('`').skip(1).step_by(2).collect();
    if let Some((old, new)) =
        words.first().and_then(|word| RENAMED.iter().find(|(old, _)| old == word))
    {
        return format!("unknown field `{old}`, which is now {new}");
    }
    match words.split_first().and_then(|(found, known)| nearest(found, known.iter().copied())) {
        Some(meant) => format!("{text} (did you mean {meant}?)"),
        None => text.to_owned(),
    }
}
