//! The words of `dbn train --help`: its examples, and the keys that people change most.

use candle_dbn::recipe::summaries;

use crate::progress::WORDS;

/// The help of `--recipe`.
pub fn recipes() -> String {
    format!(
        "A built-in recipe or a TOML file: dbn recipe lists the {} built-in ones",
        summaries().count()
    )
}

/// The examples of `dbn train`, and the keys of its recipes.
pub const TRAIN: &str = "Examples:
  dbn train                                       the embedded 8x8 digits
  dbn train --dry-run                             what it would do and take; nothing is written
  dbn train mnist/ --seed 3 --out runs/mnist      a folder of IDX files
  dbn train X.npy --labels y.npy --layers 500,200 --set 'layers.*.epochs=20'
  dbn train table.csv                             numbers and words; the column `label` or `class` is learned
  dbn train table.csv --label-column species --drop id --missing gibbs
  dbn train sites.npy --visible 'potts(21)' --hidden 100 --unsupervised
  dbn train mnist/ --recipe autoencoder           codes of 30 numbers, and the way back
  dbn train bars-and-stripes:4 --model bm --hidden 8    a Boltzmann machine with lateral couplings
  dbn train --recipe digits-dbm                   a deep Boltzmann machine, pre-trained, with a classifier
  dbn train --recipe bm.toml                      one by its recipe, which says model = \"bm\" (dbn train leaves one in each run)
  dbn train digits --model belief --hidden 60,30  a sigmoid belief net, by reweighted wake-sleep
  dbn train digits --model hopfield --limit 10    a Hopfield network that holds ten digits
  dbn train --resume runs/mnist                   go on where it was stopped
The keys that people change most (dbn recipe NAME explains all of them; layers.0 is the lowest layer, layers.* are all):
  --set 'layers.*.epochs=20'               times through the data
  --set 'layers.*.learning_rate=0.05'      or '{ from = 0.1, to = 0.001 }' for one that falls
  --set 'layers.*.batch_size=20'           cases in a mini-batch
  --set 'layers.*.method=pcd'              cd, pcd, fpcd, pt, ptt, mean-field, exact
  --set 'layers.*.steps=10'                k, the Gibbs steps between updates
  --set 'layers.*.l2=0.001'                weight decay
  --set 'layers.*.centre=true'             the centred gradient
  --set 'classifier.epochs=10'             the most epochs of backpropagation
  --set 'classifier.dropout_hidden=0.3'    the fraction of hidden units left out
  --set 'data.pass=sample'                 draw zeros and ones from grey values at every turn";

/// The examples, and what the words on the screen mean.
pub fn long_help_of_train() -> String {
    let words = WORDS.iter().map(|(word, meaning)| format!("\n  {word}: {meaning}"));
    format!(
        "{TRAIN}\nWhat stands beside the bars, and in metrics.jsonl:{}",
        words.collect::<String>()
    )
}
