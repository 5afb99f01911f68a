//! Python's `huggingface_hub` at the other end. Run by `just hub-python`, where DBN_PYTHON is an interpreter that has it.

use std::process::Command;

use loopback_hub::{Server, TOKEN, Transfer};

use crate::common::{Answer, Place, answer, data, npy};

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python/check.py");

const PUSH: &str = r#"
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[1], exist_ok=True)
api.upload_folder(folder_path=sys.argv[2], repo_id=sys.argv[1], allow_patterns=["*.json", "*.safetensors"])
"#;

const PULL: &str = r#"
import sys
from huggingface_hub import ModelCard, snapshot_download
folder = snapshot_download(sys.argv[1])
for name in ["config.json", "model.safetensors", "filters.png"]:
    assert open(f"{folder}/{name}", "rb").read() == open(f"{sys.argv[2]}/{name}", "rb").read(), name
card = ModelCard.load(f"{folder}/README.md")
assert card.data.library_name == "candle-dbn" and "rbm" in card.data.tags, card.data
results = card.data.eval_results
assert results and results[0].metric_value is not None and "±" in results[0].metric_name, results
print(folder, end="")
"#;

fn python(place: &Place, hub: &Server, script: &str, words: &str) -> Answer {
    run(place, hub, &["-c", script], words)
}

fn run(place: &Place, hub: &Server, program: &[&str], words: &str) -> Answer {
    let python = std::env::var("DBN_PYTHON").expect("DBN_PYTHON: a Python with huggingface_hub");
    let mut command = Command::new(python);
    command.args(program).args(words.split_whitespace()).current_dir(place.path(""));
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_TOKEN", TOKEN);
    command.env("HF_HOME", place.path("python")).env("HF_XET_CACHE", place.path("python-xet"));
    answer(&mut command)
}

fn dbn(place: &Place, hub: &Server, words: &str) -> Answer {
    let mut command = place.command(words);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", hub.endpoint()).env("HF_TOKEN", TOKEN);
    command.env("HF_XET_CACHE", place.path("xet"));
    command.env("HF_XET_DATA_LOCAL_CAS_SCHEME", "local://");
    answer(&mut command)
}

#[test]
#[ignore = "needs DBN_PYTHON"]
fn what_python_pushes_is_pulled_and_the_other_way_round() {
    for transfer in [Transfer::Regular, Transfer::Basic, Transfer::Xet] {
        let (place, hub) = (Place::new(), Server::start(transfer));
        place.dbn("train data.csv --recipe tiny.toml --out run").done();
        dbn(&place, &hub, "push run me/ours").done();
        let folder = python(&place, &hub, PULL, "me/ours run").done().out;
        // What it pulled has the features that ours has, in PyTorch.
        let rows: Vec<_> = data(2, 0.2).into_iter().map(|(values, _)| values).collect();
        place.write("cases.npy", npy(&rows));
        place.dbn("embed run cases.npy --layer all --out all.npy").done();
        let words = format!("{folder} cases.npy all.npy");
        let said = run(&place, &hub, &[CHECK], &words).done();
        assert!(said.out.contains("200 cases x 36 features"), "{said:?}");
        python(&place, &hub, PUSH, "me/theirs run").done();
        dbn(&place, &hub, "pull me/theirs --out theirs").done();
        assert!(place.model("theirs") == place.model("run"), "{transfer:?}");
        dbn(&place, &hub, "embed me/theirs data.csv --out features.npy").done();
    }
}
