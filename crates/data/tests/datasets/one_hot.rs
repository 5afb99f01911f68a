//! Codes of categories: one-hot when rows are formed; alignments of proteins.

use candle_dbn_data::View;
use rbm_core::Rows;

use super::*;

fn one_hot(states: usize) -> ReadOptions {
    ReadOptions { one_hot: Some(states), ..plain() }
}

#[test]
fn each_code_becomes_a_site_of_which_one_state_is_on() -> Outcome {
    let expected = [
        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ];
    let bytes = npy("|u1", "(3, 2)", &[0, 2, 1, 0, 2, 1]);
    for (name, bytes) in [("x.csv", &b"a,b\n0,2\n1,0\n2,1\n"[..]), ("x.npy", &bytes)] {
        let set = read_file(name, bytes, &one_hot(3))?;
        assert_eq!(set.train.width(), 6);
        assert_eq!(rows(&set.train)?, expected);
        let chosen = set.train.select(&[2, 0])?.cases;
        assert_eq!(chosen.rows(&[1, 0])?.to_vec2::<f32>()?, [expected[0], expected[2]]);
        check_range("x", &set.train, 0.0, 1.0, "Potts")?;
        let both = View::joined(&set.train.cases, &chosen)?;
        assert_eq!(
            (both.width(), both.block(2..4)?.to_vec2::<f32>()?),
            (6, vec![expected[2].to_vec(); 2])
        );
    }
    Ok(())
}

refused! {
    too_large_a_code: "x.csv", b"0,2\n1,3\n", one_hot(3) => ["case 2, value 2", "a whole number from 0 to 2", "3"];
    a_negative_code: "x.csv", b"0,-1\n1,0\n", one_hot(3) => ["case 1, value 2", "a whole number from 0 to 2", "-1"];
    half_a_code: "x.csv", b"0,1\n1,0.5\n", one_hot(3) => ["case 2, value 2", "a whole number from 0 to 2", "0.5"];
}

#[test]
fn options_that_make_no_codes_are_refused() -> Outcome {
    let binarised = ReadOptions { binarise: Some("sample:1".parse()?), ..one_hot(3) };
    for (options, expected) in [
        (one_hot(1), "one_hot: expected from 2 to 65536 states, found 1"),
        (
            binarised,
            "binarise: expected none for codes, each of which becomes 3 zeros and ones, found sample:1",
        ),
    ] {
        let error = load("digits", &options).err().ok_or("accepted")?;
        assert_eq!(error.to_string(), expected);
    }
    Ok(())
}

/// The codes of the only sequence of an alignment.
fn codes(sequence: &str) -> Outcome<Vec<usize>> {
    let set = read_file("x.fa", format!(">s\n{sequence}\n").as_bytes(), &plain())?;
    let row = rows(&set.train)?.concat();
    assert_eq!(row.len() % 21, 0);
    let states = row.chunks(21).map(|site| site.iter().position(|&x| x == 1.0).ok_or("none on"));
    assert_eq!(row.iter().sum::<f32>(), row.len() as f32 / 21.0);
    Ok(states.collect::<Result<_, _>>()?)
}

#[test]
fn aligned_columns_are_read_and_insertions_are_not() -> Outcome {
    assert_eq!(codes("-ACDEFGHIKLMNPQRSTVWY")?, (0..21).collect::<Vec<_>>());
    assert_eq!(codes("XBZJUOY")?, [0, 0, 0, 0, 0, 0, 20]);
    assert_eq!(codes("A.c-..dY")?, [1, 0, 20]);
    let text = b">one\nAC\nDE\n\n>two of them\nACDeF\r\n";
    let zipped = gzip(text)?;
    for (name, bytes) in [("x.a2m", &text[..]), ("x.fasta.gz", &zipped)] {
        let set = read_file(name, bytes, &plain())?;
        assert_eq!((set.train.len(), set.train.width(), set.name.as_str()), (2, 84, "x"));
        let [one, two] = &rows(&set.train)?[..] else { panic!("two rows") };
        assert_eq!((one[..63].to_vec(), one[63 + 4], two[63 + 5]), (two[..63].to_vec(), 1.0, 1.0));
    }
    Ok(())
}

refused! {
    an_empty_alignment: "x.fasta", b"", plain() => ["byte 0", "an alignment", "an empty file"];
    only_blank_lines: "x.fasta", b"\n\n", plain() => ["line 1", "an alignment", "no sequence"];
    a_sequence_without_a_header: "x.fasta", b"ACD\n>a\nACD\n", plain() => ["line 1", "begin with >", "`ACD`"];
    another_length: "x.fasta", b">a\nACD\n>b\nAC\n>c\nACD\n", plain()
        => ["the sequence b, before line 5", "3 columns", "2"];
    another_length_at_the_end: "x.fasta", b">a\nACD\n>b\nACDE\n", plain()
        => ["the sequence b, before line 5", "3 columns", "4"];
    no_columns: "x.fasta", b">a\n>b\nACD\n", plain() => ["the sequence a, before line 2", "at least one column", "0"];
    no_amino_acid: "x.fasta", b">a\nAC*D\n", plain() => ["line 2, column 3", "an amino acid", "`*`"];
    too_few_states: "x.fasta", b">a\nACY\n", one_hot(20) => ["case 1, value 3", "from 0 to 19", "20"];
}
