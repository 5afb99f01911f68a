//! A Hub that lies, or somebody on the way who does: nothing gets out of the cache, the token goes nowhere, nothing hangs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use loopback_hub::{Lie, TOKEN, Transfer};
use serde_json::json;

use crate::common::answer;
use crate::hub::{Beside, MODEL};

/// More than a test needs, and much less than a body without end takes.
const SOON: Duration = Duration::from_secs(20);

/// A Hub with the model `me/digits`, and a file outside the cache that somebody would like to write over.
fn with_victim() -> (Beside, PathBuf) {
    let beside = Beside::empty(Transfer::Regular);
    let place = &beside.place;
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --no-evaluation --out run").done();
    beside.dbn("push run me/digits").done();
    place.write("home/.bashrc", "precious");
    place.write("home/config.json", "{}");
    let home = place.path("home");
    (beside, home)
}

/// Every file and link of a folder, with what is in it; what is in the cache `hf` stands aside.
fn outside(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![root.to_path_buf()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() && !path.ends_with("hf") && !path.ends_with("xet") {
                folders.push(path);
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).unwrap();
                files.insert(path, to.into_os_string().into_encoded_bytes());
            } else if kind.is_file() {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Bytes in the folder, links not followed.
fn size(root: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    let sizes = entries.map(|entry| {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        if found.is_dir() { size(&path) } else { found.len() }
    });
    sizes.sum()
}

#[test]
fn no_header_of_a_hub_is_a_path() {
    let (beside, home) = with_victim();
    let root = beside.place.path("");
    let before = outside(&root);
    let victim = home.join(".bashrc").display().to_string();
    let up = "../../../../home/.bashrc".to_owned();
    let folder = home.display().to_string();
    let lies = [
        Lie::Etag(victim.clone()),
        Lie::Etag(format!("\"{victim}\"")),
        Lie::Etag(up.clone()),
        Lie::Etag(home.join("new").display().to_string()),
        Lie::EtagWhenAskedAgain(victim.clone()),
        Lie::EtagWhenAskedAgain(up.clone()),
        Lie::CommitHeader(folder.clone()),
        Lie::CommitHeader("../../../home".into()),
        Lie::CommitOfNoFile(folder.clone()),
        Lie::Commit(folder.clone()),
        Lie::Commit("../../../home".into()),
        Lie::Commit(format!("{}\u{7}", &"0".repeat(39))),
        Lie::ListedHash(victim.clone()),
        Lie::ListedHash(up.clone()),
        Lie::ListedHash("../".repeat(13) + "x"),
        Lie::ListedHash(format!("{:/<40}", "/tmp/")),
    ];
    for (i, lie) in lies.into_iter().enumerate() {
        beside.hub.lie(lie.clone());
        let answer = beside.dbn_from("hf", &format!("pull me/digits --out out{i}"));
        let out = beside.place.path(&format!("out{i}"));
        if answer.code == Some(0) {
            // What is listed is what came: headers that nobody reads do no harm.
            let (there, here) = (fs::read(out.join(MODEL[1])).unwrap(), beside.place.model("run"));
            assert!(there == here, "{lie:?}");
            fs::remove_dir_all(&out).unwrap();
        } else {
            answer.failed_in_the_end(&[]);
            assert!(!out.exists(), "{lie:?}");
        }
        fs::remove_dir_all(beside.place.path("hf")).ok();
        assert!(outside(&root) == before, "{lie:?} wrote outside the cache");
    }
}

/// The same lies about a data set.
#[test]
fn no_header_of_a_data_set_is_a_path() {
    let beside = Beside::empty(Transfer::Regular);
    beside.place.write("home/.bashrc", "precious");
    for (part, bytes) in [
        ("train", include_bytes!("mnist/train.parquet").as_slice()),
        ("test", include_bytes!("mnist/test.parquet")),
    ] {
        let path = format!("mnist/{part}/0000.parquet");
        beside.hub.put_at("datasets/ylecun/mnist", "refs/convert/parquet", &path, bytes);
    }
    let root = beside.place.path("");
    let before = outside(&root);
    let victim = root.join("home/.bashrc").display().to_string();
    for lie in [
        Lie::Etag(victim.clone()),
        Lie::Etag(root.join("home/new").display().to_string()),
        Lie::EtagWhenAskedAgain(victim.clone()),
        Lie::CommitOfNoFile(victim.clone()),
        Lie::Commit(victim.clone()),
        Lie::ListedHash(victim.clone()),
        Lie::ListedSize(json!(1_u64 << 40)),
        Lie::EndlessFiles,
    ] {
        beside.hub.lie(lie.clone());
        let answer = beside.dbn("data mnist");
        fs::remove_dir_all(root.join("hf")).ok();
        assert!(outside(&root) == before, "{lie:?} wrote outside the cache: {answer:?}");
    }
    beside.hub.lie(Lie::None);
    beside.dbn("data mnist").done();
}

/// The token is the endpoint's, however often and wherever a redirect leads.
#[test]
fn the_token_goes_to_no_other_host() {
    let (beside, _) = with_victim();
    let mirror = beside.hub.mirror();
    let home = mirror.endpoint();
    for from_file in [false, true] {
        beside.place.write("hf/token", TOKEN);
        let dbn = |words: &str| {
            let mut command = beside.command("hf", words);
            if from_file {
                command.env_remove("HF_TOKEN");
            }
            answer(&mut command)
        };
        for count in [1, 2, 3] {
            for words in ["pull me/digits", "inspect me/digits", "push run me/digits", "data mnist"]
            {
                for cached in ["snapshots", "refs", "blobs"] {
                    fs::remove_dir_all(beside.place.path("hf/hub/models--me--digits").join(cached))
                        .ok();
                }
                let before = mirror.log().len();
                let authorised = beside.hub.authorised().len();
                beside.hub.lie(Lie::Redirects { to: home.clone(), count });
                dbn(words);
                assert!(mirror.log().len() > before, "{words}: nobody went there");
                assert!(beside.hub.authorised().len() > authorised, "the Hub itself knows us");
                // Files alone: the Hub tells the truth, and a file lies elsewhere.
                let path = "/me/digits/resolve/main/config.json";
                beside.hub.lie(Lie::FilesAt(format!("{home}/hop/{}{path}", count - 1)));
                dbn(words);
            }
        }
        let log = mirror.log();
        assert!(log.iter().any(|line| line.contains("config.json")), "{log:?}");
        assert_eq!(mirror.authorised(), Vec::<String>::new(), "the token went to another host");
    }
    // Whoever was elsewhere comes back without it.
    let file = "me/digits/resolve/main/config.json";
    mirror.lie(Lie::FilesAt(format!("{}/{file}", beside.hub.endpoint())));
    beside.hub.lie(Lie::FilesAt(format!("{home}/{file}")));
    let files = |paths: Vec<String>| paths.iter().filter(|path| path.contains("resolve")).count();
    let before = files(beside.hub.authorised());
    beside.dbn_from("new", "pull me/digits").failed(&["more than 5 redirects"]);
    assert_eq!(files(beside.hub.authorised()) - before, 1, "it came back with the token");
}

/// Redirects without end, to files of this machine and to nowhere.
#[test]
fn a_redirect_leads_to_no_file_and_comes_to_an_end() {
    let (beside, _) = with_victim();
    let mirror = beside.hub.mirror();
    beside.hub.lie(Lie::Redirects { to: mirror.endpoint(), count: 1000 });
    beside.dbn_from("a", "pull me/digits").failed(&["me/digits", "more than 5 redirects"]);
    for (to, word) in [
        (format!("file://{}", beside.place.path("run/config.json").display()), "a redirect from"),
        ("ftp://127.0.0.1/x".into(), "a redirect from"),
        ("http://".into(), "nowhere"),
        (format!("http://127.0.0.1:9/{}", "x".repeat(4000)), "me/digits"),
    ] {
        beside.hub.lie(Lie::FilesAt(to));
        beside.dbn_from("b", "pull me/digits --out out").failed(&["me/digits", word]);
        assert!(!beside.place.path("out").exists());
    }
}

#[test]
fn a_body_is_held_to_what_was_listed() {
    let (beside, _) = with_victim();
    let largest = size(&beside.place.path("run")) + 100_000;
    for (lie, word) in [
        (Lie::EndlessFiles, "announced"),
        (Lie::EndlessAnswers, "announced"),
        (Lie::LongerFiles, "announced"),
        (Lie::ListedSize(json!(10)), "announced"),
        (Lie::ListedSize(json!(-1)), "listed with"),
        (Lie::ListedSize(json!(1.5e300)), "listed with"),
        (Lie::ListedSize(json!(u64::MAX)), "at most"),
        (Lie::ListedSize(json!("375")), "listed with"),
        (Lie::ListedHash("0".repeat(64)), "nothing was kept"),
        (Lie::ListedHash("f".repeat(41)), "listed with"),
    ] {
        beside.hub.lie(lie.clone());
        let begun = Instant::now();
        let answer = beside.dbn_from("new", "pull me/digits --out out");
        assert!(begun.elapsed() < SOON, "{lie:?}");
        answer.failed(&["me/digits"]);
        answer.failed(&[]);
        assert!(answer.err.contains(word), "{lie:?}: {answer:?}");
        assert!(answer.err.len() < 2000, "{lie:?}: {answer:?}");
        assert!(size(&beside.place.path("new")) < largest, "{lie:?}");
        assert!(!beside.place.path("out").exists());
        let left = size(&beside.place.path("new/hub/models--me--digits/snapshots"));
        assert_eq!(left, 0, "{lie:?} has got a name");
    }
    // Its own words are not believed either.
    beside.hub.lie(Lie::GzipFiles);
    beside.dbn_from("new", "pull me/digits").done();
}

#[test]
fn answers_that_make_no_sense_are_refused_in_a_line() {
    let (beside, _) = with_victim();
    for text in [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        "<html>Sign in</html>".into(),
        "[".repeat(1 << 19),
        "{\"sha\":".repeat(1 << 16),
        format!("{{\"sha\": \"{}\"}}", "\\u001b[2J".repeat(50_000)),
        format!("{{\"sha\": \"{}\"}}", "é".repeat(20)),
        "{\"sha\": 1e999}".into(),
        "\u{feff}{\"sha\": null}".into(),
    ] {
        beside.hub.lie(Lie::Answers(text.clone()));
        for words in ["pull me/digits", "inspect me/digits", "push run me/digits"] {
            let answer = beside.dbn_from("new", words);
            answer.failed_in_the_end(&["me/digits", "makes sense"]);
            assert!(!answer.err.contains('\u{1b}') && answer.err.len() < 2500, "{answer:?}");
        }
    }
}

/// What a Hub says of its refusal is shown in a line, cut, and without the token that it was told.
#[test]
fn a_refusal_is_shown_without_harm() {
    let (beside, _) = with_victim();
    let words = format!("\u{1b}[2J{TOKEN}\r\n{TOKEN}{}", "x".repeat(60_000));
    beside.hub.lie(Lie::Refusal(words));
    for words in ["pull me/digits", "push run me/digits", "data mnist"] {
        // `dbn` looks for the token, too.
        let answer = beside.dbn(words);
        answer.failed(&["status 418", "(the token)", "more bytes"]);
        assert!(!answer.err.contains('\u{1b}') && answer.err.len() < 1500, "{answer:?}");
    }
}

/// A command that waits for half a second at most for whatever the Hub has to say.
fn impatient(beside: &Beside, cache: &str, words: &str) -> Command {
    let mut command = beside.command(cache, words);
    command.env("HF_HUB_ETAG_TIMEOUT", "0.5").env("HF_HUB_DOWNLOAD_TIMEOUT", "0.5");
    command
}

#[test]
fn silence_means_that_there_is_no_hub() {
    let (beside, _) = with_victim();
    beside.dbn("pull me/digits").done();
    for lie in [Lie::Silence, Lie::SilentFiles, Lie::StuckFiles] {
        beside.hub.lie(lie.clone());
        let begun = Instant::now();
        let found = answer(&mut impatient(&beside, "hf", "inspect me/digits")).done();
        let said = found.err.matches("does not answer").count();
        assert_eq!(said, usize::from(lie == Lie::Silence), "{found:?}");
        for words in ["inspect me/digits", "pull me/digits --out out"] {
            let found = answer(&mut impatient(&beside, "new", words));
            found.failed_in_the_end(&["me/digits", "nothing for 0.5 s", "HF_HUB_OFFLINE=1"]);
        }
        if lie == Lie::Silence {
            answer(&mut impatient(&beside, "hf", "push run me/digits"))
                .failed_in_the_end(&["me/digits", "nothing for 0.5 s"]);
            answer(&mut impatient(&beside, "hf", "data mnist"))
                .failed(&["nothing for 0.5 s", "folder of your own"]);
        }
        assert!(begun.elapsed() < SOON, "{lie:?}");
        assert!(!beside.place.path("out").exists());
    }
    for wrong in ["soon", "-1", "0", "nan", "1e9"] {
        let mut command = beside.command("hf", "pull me/digits");
        answer(command.env("HF_HUB_ETAG_TIMEOUT", wrong))
            .failed(&["HF_HUB_ETAG_TIMEOUT", "seconds"]);
    }
}

/// A store of large files is an address: a folder of this machine is none that a server may choose.
#[test]
fn a_server_does_not_choose_where_large_files_are_written() {
    let beside = Beside::empty(Transfer::Xet);
    let place = &beside.place;
    place.dbn("train data.csv --recipe tiny.toml --no-pictures --no-evaluation --out run").done();
    let chosen = place.path("chosen");
    for store in [format!("local://{}", chosen.display()), "file:///tmp".into(), "x".into()] {
        beside.hub.lie(Lie::Store(store));
        let mut command = beside.command("hf", "push run me/digits");
        command.env_remove("HF_XET_DATA_LOCAL_CAS_SCHEME");
        answer(&mut command).failed_in_the_end(&["me/digits", "store of large files"]);
        assert!(!chosen.exists());
        assert!(beside.hub.file("models/me/digits", MODEL[0]).is_none());
    }
}

/// What lies in the cache may have been put there by an older client, which believed everything.
#[cfg(unix)]
#[test]
fn a_link_out_of_the_cache_is_not_followed() {
    use std::os::unix::fs::symlink;
    let (beside, home) = with_victim();
    let config = beside.pulled("me/digits").join(MODEL[0]);
    let secret = beside.place.read("run/config.json");
    fs::write(home.join("config.json"), &secret).unwrap();
    fs::remove_file(&config).unwrap();
    symlink(home.join("config.json"), &config).unwrap();
    let mut offline = beside.command("hf", "pull me/digits --out out");
    answer(offline.env("HF_HUB_OFFLINE", "1")).failed(&["config.json", "mends it"]);
    // Online it is replaced, and not what it leads to.
    fs::write(home.join("config.json"), "other").unwrap();
    beside.dbn("pull me/digits").done();
    assert_eq!(fs::read_to_string(home.join("config.json")).unwrap(), "other");
    assert!(fs::read(&config).unwrap() == secret);
    // Python's client keeps large files once for all repositories: a blob is then a link itself.
    let blob = config.parent().unwrap().join(fs::read_link(&config).unwrap());
    let shared = beside.place.path("hf/hub/blobs/4e/4ed4");
    fs::create_dir_all(shared.parent().unwrap()).unwrap();
    fs::rename(&blob, &shared).unwrap();
    symlink("../../blobs/4e/4ed4", &blob).unwrap();
    let pulled = |offline: &str| {
        let mut command = beside.command("hf", "pull me/digits");
        answer(command.env("HF_HUB_OFFLINE", offline))
    };
    pulled("1").done();
    pulled("0").done();
    fs::write(&shared, "other").unwrap();
    pulled("1").failed(&["config.json", "mends it"]);
    pulled("0").done();
    pulled("1").done();
    let refs = beside.place.path("hf/hub/models--me--digits/refs/main");
    fs::write(&refs, home.display().to_string()).unwrap();
    let mut offline = beside.command("hf", "pull me/digits");
    answer(offline.env("HF_HUB_OFFLINE", "1")).failed(&["me/digits", "HF_HUB_OFFLINE"]);
}
