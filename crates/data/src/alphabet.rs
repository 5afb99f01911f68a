//! The letters of an alignment: which states a site has.

use std::fmt;
use std::str::FromStr;

use rbm_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The gap is the first state.
const PROTEIN: &str = "-ACDEFGHIKLMNPQRSTVWY";
const RNA: &str = "-ACGU";
const DNA: &str = "-ACGT";
/// The sign of a gap.
pub const GAP: u8 = b'-';
/// Letters of nucleotides that are not known exactly (IUPAC), but for N.
const AMBIGUOUS: &[u8] = b"RYSWKMBDHV";
/// Letters that stand for amino acids alone.
const OF_PROTEINS: &[u8] = b"EFILPQZJO";
/// How much of a text must be A, C, G, T, U or N to be one of nucleotides.
const SHARE: f64 = 0.95;
/// The most letters.
const MAX_LETTERS: usize = 94;

/// The states of a site, a letter each. As text `protein`, `rna`, `dna`, or the letters themselves; where these hold no gap, it
/// comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alphabet {
    letters: String,
}

impl Alphabet {
    /// A gap and the twenty amino acids.
    pub fn protein() -> Self {
        Self { letters: PROTEIN.into() }
    }

    /// A gap and four nucleotides, with U.
    pub fn rna() -> Self {
        Self { letters: RNA.into() }
    }

    /// A gap and four nucleotides, with T.
    pub fn dna() -> Self {
        Self { letters: DNA.into() }
    }

    /// What a text with so many of each capital letter is most probably written in: nucleotides where hardly any other letters
    /// occur, RNA where there are more U than T; else amino acids.
    pub(crate) fn of_counts(counts: &[u64; 256]) -> Self {
        let sum = |letters: &[u8]| letters.iter().map(|&c| counts[usize::from(c)]).sum::<u64>();
        let (core, others) = (sum(b"ACGTUN"), sum(AMBIGUOUS));
        let is_clear = core as f64 >= SHARE * (core + others) as f64;
        if core == 0 || !is_clear || sum(OF_PROTEINS) > 0 {
            return Self::protein();
        }
        if sum(b"U") > sum(b"T") { Self::rna() } else { Self::dna() }
    }

    /// How many states a site has.
    pub fn states(&self) -> usize {
        self.letters.len()
    }

    /// The letters of the states in their order.
    pub fn letters(&self) -> &str {
        &self.letters
    }

    /// The number of a letter's state.
    pub fn code(&self, letter: u8) -> Option<u8> {
        self.letters.bytes().position(|known| known == letter).map(|code| code as u8)
    }

    /// The letter that stands for `letter` in the other alphabet of nucleotides: T and U are the same one.
    pub(crate) fn counterpart(&self, letter: u8) -> Option<u8> {
        let other = match letter {
            b'T' => b'U',
            b'U' => b'T',
            _ => return None,
        };
        let is_of_nucleotides = [RNA, DNA].contains(&self.letters.as_str());
        self.code(other).filter(|_| is_of_nucleotides)
    }

    /// The state of a gap, and of what is no letter of the alphabet.
    pub fn gap(&self) -> u8 {
        self.code(GAP).unwrap_or(0)
    }
}

impl fmt::Display for Alphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.letters.as_str() {
            PROTEIN => "protein",
            RNA => "rna",
            DNA => "dna",
            other => other,
        })
    }
}

impl TryFrom<String> for Alphabet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Alphabet> for String {
    fn from(alphabet: Alphabet) -> Self {
        alphabet.to_string()
    }
}

impl FromStr for Alphabet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "protein" => return Ok(Self::protein()),
            "rna" => return Ok(Self::rna()),
            "dna" => return Ok(Self::dna()),
            _ => {}
        }
        let is_letter = |c: char| c.is_ascii_graphic() && !c.is_ascii_lowercase() && c != '.';
        let is_once = |c: char| text.matches(c).count() == 1;
        let is_right = text.chars().all(|c| is_letter(c) && is_once(c));
        if !is_right || !(2..=MAX_LETTERS).contains(&text.len()) {
            let expected = "protein, rna, dna, or the letters of the states, each once: capitals, digits, signs, and - for a gap";
            return Err(Error::invalid("the alphabet", expected, format!("{text:?}")));
        }
        let gap = if text.contains('-') { "" } else { "-" };
        Ok(Self { letters: format!("{gap}{text}") })
    }
}
