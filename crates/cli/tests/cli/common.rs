//! A folder to run the program in, and eyes for what it leaves there. Files are read here without the help of the
//! program's own code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// Columns of [`data`], without the label.
pub const WIDTH: usize = 16;
/// Cases of [`data`].
pub const CASES: usize = 200;
/// The epochs of the stages of `tiny.toml`.
pub const EPOCHS: [(&str, usize); 3] = [("layer 1", 2), ("layer 2", 2), ("classifier", 3)];

/// The pixels of each picture of bars-and-stripes:3: as many as there are, each once.
pub fn bars_and_stripes() -> impl Iterator<Item = Vec<u32>> {
    (0..8u32).flat_map(|bits| {
        let on = move |i: u32| bits >> i & 1;
        let rows: Vec<u32> = (0..9).map(|cell| on(cell / 3)).collect();
        let columns: Vec<u32> = (0..9).map(|cell| on(cell % 3)).collect();
        if rows == columns { vec![rows] } else { vec![rows, columns] }
    })
}

/// Persistent chains, momentum, sparsity, centring, dropout and early stopping, each as small as can be.
const TINY: &str = r#"
name = "tiny"
seed = 7
[[layers]]
hidden = 24
epochs = 2
batch_size = 20
learning_rate = 0.1
momentum = [[0, 0.5], [5, 0.9]]
method = { pcd = { chains = 15 } }
[[layers]]
hidden = 12
epochs = 2
batch_size = 20
learning_rate = 0.1
momentum = [[0, 0.5], [5, 0.9]]
sparsity = { cost = 0.01 }
centre = true
[classifier]
epochs = 3
batch_size = 20
dropout_visible = 0.1
dropout_hidden = 0.3
"#;

/// [`TINY`] with codes of two numbers on top, and an autoencoder in the classifier's place.
const CODER: &str = r#"
[[layers]]
hidden = "gaussian:2"
epochs = 2
batch_size = 20
learning_rate = 0.001
[autoencoder]
epochs = 3
batch_size = 20
"#;

/// A folder of its own, with a recipe `tiny.toml` and a data set `data.csv` in it. Commands run inside it.
pub struct Place(TempDir);

/// The values of a case, and its class.
pub type Case = (Vec<f32>, usize);

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("tiny.toml", TINY);
        place.write("data.csv", csv(&data(2, 0.1)));
        place
    }

    /// The same with an autoencoder in `tiny.toml`.
    pub fn of_autoencoder() -> Self {
        let place = Self::new();
        let (layers, _) = TINY.split_once("[classifier]").unwrap();
        place.write("tiny.toml", format!("{layers}{CODER}"));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// Every file of the folder `name` by its name, sorted; folders in it and what is locked are left aside.
    pub fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(name)).unwrap().map(Result::unwrap);
        entries
            .filter(|entry| entry.path().is_file() && entry.file_name() != ".lock")
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    /// `dbn words…`, the words being separated by spaces.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbn"));
        command.args(words.split_whitespace());
        self.prepare(command)
    }

    /// A shell in this place, for which `$DBN` is the program.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("DBN", env!("CARGO_BIN_EXE_dbn"));
        self.prepare(command)
    }

    fn prepare(&self, mut command: Command) -> Command {
        for name in ["RUST_LOG", "RUST_BACKTRACE", "RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            command.env_remove(name);
        }
        // No test asks a Hub that it did not start itself.
        for name in
            ["HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]
        {
            command.env_remove(name);
        }
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("hf"));
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        quiet.current_dir(self.0.path());
        command
    }

    pub fn dbn(&self, words: &str) -> Answer {
        answer(&mut self.command(words))
    }

    /// Trains `data.csv` by `tiny.toml` without pictures, and with `words` besides, into the folder `run`.
    pub fn train(&self, words: &str) -> Answer {
        self.train_into("run", words)
    }

    pub fn train_into(&self, run: &str, words: &str) -> Answer {
        self.dbn(&format!("train data.csv --recipe tiny.toml --no-pictures --out {run} {words}"))
            .done()
    }

    /// The bytes of the model in the folder `run`.
    pub fn model(&self, run: &str) -> Vec<u8> {
        self.read(&format!("{run}/model.safetensors"))
    }
}

pub fn answer(command: &mut Command) -> Answer {
    Answer::of(command.output().unwrap())
}

impl Answer {
    pub fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// The command has done its work.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The command has ended with this code.
    #[track_caller]
    pub fn code_is(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:?}");
    }

    /// The command has failed, and said so in one line that holds all of `words`, behind what reading the data had to say.
    #[track_caller]
    pub fn failed(&self, words: &[&str]) {
        let errors = self.err.lines().filter(|line| line.starts_with("dbn: "));
        assert_eq!(errors.count(), 1, "one line: {self:?}");
        self.failed_in_the_end(words);
    }

    /// Like [`Answer::failed_in_the_end`], and it was the fault of whoever typed.
    #[track_caller]
    pub fn misused(&self, words: &[&str]) {
        self.ended_in_words(2, words);
    }

    /// Like [`Answer::failed`], after other things were said.
    #[track_caller]
    pub fn failed_in_the_end(&self, words: &[&str]) {
        self.ended_in_words(1, words);
    }

    #[track_caller]
    fn ended_in_words(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{words:?}: {self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        let last = self.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("dbn: "), "{self:?}");
        for word in words {
            assert!(last.contains(word), "{word:?} is missing in {last:?}");
        }
        let mut parts: Vec<_> = last.split(": ").collect();
        parts.dedup();
        assert_eq!(parts.join(": "), last, "the same thing is said twice");
    }
}

/// Random words that are the same in every run of a test (Steele, Lea, Flood 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// [`CASES`] binary cases of `classes` random prototypes with a part `noise` of the bits turned, and their class. Both are
/// drawn anew for each case with the same chance, so at `noise` 0.5 nothing can be learned.
pub fn data(classes: usize, noise: f64) -> Vec<Case> {
    let mut random = SplitMix(classes as u64);
    let prototypes: Vec<u64> = (0..classes).map(|_| random.word()).collect();
    let case = |i: usize| {
        let class = i % classes;
        let bit = |j| (prototypes[class] >> j & 1 == 1) != (random.uniform() < noise);
        ((0..WIDTH).map(bit).map(f32::from).collect(), class)
    };
    (0..CASES).map(case).collect()
}

/// Cases as comma-separated text with a header; the labels are in its last column.
pub fn csv(cases: &[Case]) -> String {
    let header = (0..cases[0].0.len()).map(|j| format!("p{j},")).chain(["label\n".to_owned()]);
    let lines = cases.iter().map(|(values, label)| {
        let values = values.iter().map(|value| format!("{value},"));
        values.chain([format!("{label}\n")]).collect::<String>()
    });
    header.chain(lines).collect()
}

/// A matrix as a `.npy` file of little-endian `f32`.
pub fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let shape = format!("({}, {})", rows.len(), rows[0].len());
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut bytes = [b"\x93NUMPY\x01\x00".as_slice(), &118u16.to_le_bytes()].concat();
    bytes.extend(header.bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Shape and numbers of a `.npy` file.
pub fn read_npy(bytes: &[u8]) -> (Vec<u64>, Vec<f32>) {
    let file = npyz::NpyFile::new(bytes).unwrap();
    (file.shape().to_vec(), file.into_vec::<f32>().unwrap())
}

/// Unsigned bytes as an IDX file.
pub fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    file.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}

/// A tensor: shape and numbers.
pub type Numbers = (Vec<usize>, Vec<f32>);

/// The tensors of a `.safetensors` file of `f32`. Panics unless it is whole.
pub fn tensors(bytes: &[u8]) -> BTreeMap<String, Numbers> {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors().into_iter();
    let numbers = |bytes: &[u8]| {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    tensors
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            (name, (view.shape().to_vec(), numbers(view.data())))
        })
        .collect()
}

/// The header of a `.safetensors` file's metadata.
pub fn metadata(bytes: &[u8]) -> Value {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header["__metadata__"].clone()
}

/// Where the training of a checkpoint stands.
pub fn record(checkpoint: &[u8]) -> Value {
    SafeTensors::deserialize(checkpoint).unwrap();
    let metadata = metadata(checkpoint);
    // Behind its checksum.
    let (_, record) = metadata["record"].as_str().unwrap().split_once(' ').unwrap();
    serde_json::from_str(record).unwrap()
}

/// The lines of `metrics.jsonl` without what a clock says.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for clock in ["seconds", "cases_per_second"] {
            assert!(line.as_object_mut().unwrap().remove(clock).unwrap().as_f64().unwrap() > 0.0);
        }
        line
    });
    lines.collect()
}
