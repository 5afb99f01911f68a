//! Sparse rows as text.

use rbm_core::Rows;

use super::*;

fn unlabelled() -> ReadOptions {
    column("none")
}

#[test]
fn pairs_become_dense_rows_as_wide_as_the_largest_index() -> Outcome {
    let text = b"1 1:2 3:1.5 # a comment 9:9\n\n0 qid:7 2:4\r\n2\n";
    let folder = folder(&[("a.svm", text), ("b.libsvm.gz", &gzip(text)?)])?;
    let expected = [[2.0, 0.0, 1.5], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]];
    for name in ["a.svm", "b.libsvm.gz"] {
        let set = read(&folder.path().join(name), &plain())?;
        assert_eq!(rows(&set.train)?, expected);
        assert_eq!((set.train.labels.clone(), set.classes), (Some(vec![1, 0, 2]), Some(3)));
        assert_eq!(set.name, name[..1]);
        let few = set.train.cases.rows(&[1, 0, 1])?.to_vec2::<f32>()?;
        assert_eq!(few, [expected[1], expected[0], expected[1]]);
        assert_eq!(set.train.cases.block(1..3)?.to_vec2::<f32>()?, expected[1..]);
    }
    let wide = ReadOptions { width: Some(5), scale: Some(2.0), ..plain() };
    let wide = rows(&read(&folder.path().join("a.svm"), &wide)?.train)?;
    assert_eq!(wide[0], [1.0, 0.0, 0.75, 0.0, 0.0]);
    Ok(())
}

#[test]
fn an_index_0_means_that_indices_count_from_0() -> Outcome {
    let set = read_file("x.svm", b"0 0:1 2:3\n1 1:2\n", &plain())?;
    assert_eq!(rows(&set.train)?, [[1.0, 0.0, 3.0], [0.0, 2.0, 0.0]]);
    Ok(())
}

#[test]
fn labels_are_classes_signs_or_nothing() -> Outcome {
    let of = |text: &str, options: &ReadOptions| -> Outcome<_> {
        Ok(read_file("x.svm", text.as_bytes(), options)?.train.labels)
    };
    assert_eq!(of("-1 1:1\n+1 1:1\n", &plain())?, Some(vec![0, 1]));
    assert_eq!(of("3 1:1\n3 1:1\n", &plain())?, None, "they say nothing");
    assert_eq!(of("0.5 1:1\n7 1:1\n", &unlabelled())?, None);
    let folder = folder(&[("x.svm", b"0.5 1:1\n7 1:1\n"), ("y.txt", b"4\n5\n")])?;
    let labels = ReadOptions { labels: Some(folder.path().join("y.txt")), ..plain() };
    let set = read(&folder.path().join("x.svm"), &labels)?;
    assert_eq!(set.train.labels, Some(vec![0, 1]));
    assert_eq!(set.class_names, Some(vec!["4".into(), "5".into()]));
    Ok(())
}

/// Catches values that are checked or encoded without the zeros that are not written down.
#[test]
fn zeros_count_though_they_are_not_written() -> Outcome {
    let set = read_file("x.svm", b"0 1:1\n0 2:1\n", &plain())?;
    check_range("x", &set.train, 0.0, 1.0, "Bernoulli")?;
    assert!(check_range("x", &set.train, 0.5, 1.0, "some").is_err());
    let options = ReadOptions { binarise: Some("threshold:-1".parse()?), ..plain() };
    let ones = rows(&read_file("x.svm", b"0 1:1\n0 2:1\n", &options)?.train)?;
    assert_eq!(ones, [[1.0, 1.0], [1.0, 1.0]]);
    Ok(())
}

refused! {
    empty: "x.svm", b"", plain() => ["byte 0", "index:value", "an empty file"];
    only_comments: "x.svm", b"# nothing\n\n", plain() => ["line 1", "index:value", "an empty file"];
    a_word_for_a_label: "x.svm", b"1 1:1\nspam 1:1\n", plain() => ["line 2", "a label: a number", "`spam`"];
    labels_of_another_kind: "x.svm", b"1 1:1\n\n2.5 1:1\n", plain() => ["line 3", "a label: a whole number", "2.5"];
    no_colon: "x.svm", b"1 1:1\n1 2\n", plain() => ["line 2", "index:value", "`2`"];
    no_number: "x.svm", b"1 1:one\n", plain() => ["line 1", "a finite number", "`1:one`"];
    not_finite: "x.svm", b"1 1:inf\n", plain() => ["line 1", "a finite number", "`1:inf`"];
    a_negative_index: "x.svm", b"1 -1:1\n", plain() => ["line 1", "index:value", "`-1:1`"];
    out_of_order: "x.svm", b"1 2:1 1:1\n", plain() => ["line 1", "an index from 3", "`1:1`"];
    twice: "x.svm", b"1 2:1 2:1\n", plain() => ["line 1", "an index from 3", "`2:1`"];
    an_index_of_no_machine: "x.svm", b"1 1048577:1\n", plain() => ["line 1", "to 1048576", "`1048577:1`"];
    a_width_of_no_machine: "x.svm", b"1 1:1\n", ReadOptions { width: Some(1_000_000_000_000), ..plain() } => ["width", "at most 1048576", "1000000000000"];
    an_absurd_index: "x.svm", b"1 4000000000:1\n", plain() => ["line 1", "to 1048576", "`4000000000:1`"];
    wider_than_the_width: "x.svm", b"1 1:1\n1 3:1\n", ReadOptions { width: Some(2), ..plain() }
        => ["line 2", "at most 2 values", "index 3"];
    no_pair_at_all: "x.svm", b"1\n2\n", plain() => ["cases", "at least one value", "none"];
    not_text: "x.svm", b"1 1:1\n\xff 1:1\n", plain() => ["line 2", "index:value", "invalid utf-8"];
}

#[test]
fn a_width_is_for_sparse_rows_alone() -> Outcome {
    let options = ReadOptions { width: Some(5), ..plain() };
    let error = load("digits", &options).err().ok_or("accepted")?.to_string();
    assert_eq!(
        error,
        "width: expected none for `digits`: only sparse rows do not say theirs, found 5"
    );
    Ok(())
}
