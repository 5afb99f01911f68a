//! The published experiments, with their numbers.

use std::path::Path;

use candle_dbn::store::results::Unit;

/// What [`Experiment`]s have in common.
const POPULATION: Experiment = Experiment {
    name: "",
    what: "",
    recipe: "",
    settings: &[],
    data: None,
    theirs: "",
    measure: Measure::LogLikelihood,
    goal: None,
    is_population: true,
    is_chosen: false,
    evaluation: &[],
    takes: "seconds",
};

/// What those on the test cases of MNIST have in common.
const MNIST: Experiment = Experiment {
    what: "errors on the test cases of MNIST",
    measure: Measure::Error,
    is_population: false,
    ..POPULATION
};

/// All of them.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "bars-and-stripes",
        what: "exact log p(v), 4x4, 30 distinct rows",
        recipe: "bars-and-stripes",
        data: Some("bars-and-stripes:4"),
        theirs: "-3.4012 (the maximum, log 1/30)",
        goal: Some(-3.4012 - 0.02),
        ..POPULATION
    },
    Experiment {
        name: "bars-and-stripes-pcd",
        what: "exact log p(v), 4x4, 30 distinct rows, learned by PCD",
        recipe: "bars-and-stripes-pcd",
        data: Some("bars-and-stripes:4"),
        theirs: "-3.4012 (the maximum, log 1/30)",
        goal: Some(-3.4012 - 0.15),
        ..POPULATION
    },
    Experiment {
        name: "bars-and-stripes-3x3",
        what: "exact log p(v), 3x3, 14 distinct rows",
        recipe: "bars-and-stripes",
        data: Some("bars-and-stripes:3"),
        theirs: "-2.6391 (the maximum, log 1/14)",
        goal: Some(-2.6391 - 0.02),
        ..POPULATION
    },
    Experiment {
        name: "shifting-bar",
        what: "exact log p(v), 9 units, a bar of 1",
        recipe: "shifting-bar",
        data: Some("shifting-bar:9"),
        theirs: "-2.1972 (the maximum, log 1/9)",
        goal: Some(-2.1972 - 0.02),
        ..POPULATION
    },
    Experiment {
        name: "shifting-bar-pcd",
        what: "exact log p(v), 9 units, a bar of 1, learned by PCD",
        recipe: "shifting-bar-pcd",
        data: Some("shifting-bar:9"),
        theirs: "-2.1972 (the maximum, log 1/9)",
        goal: Some(-2.1972 - 0.15),
        ..POPULATION
    },
    Experiment {
        name: "labelled-shifter",
        what: "exact log p(v), 19 units, 768 rows",
        recipe: "labelled-shifter",
        data: Some("labelled-shifter:8"),
        theirs: "-6.6438 (the maximum, log 1/768)",
        goal: Some(-6.6438 - 0.02),
        takes: "two minutes",
        ..POPULATION
    },
    Experiment {
        name: "labelled-shifter-pcd",
        what: "exact log p(v), 19 units, 768 rows, learned by PCD",
        recipe: "labelled-shifter-pcd",
        data: Some("labelled-shifter:8"),
        theirs: "-6.6438 (the maximum, log 1/768)",
        goal: Some(-6.6438 - 0.3),
        takes: "a minute",
        ..POPULATION
    },
    Experiment {
        name: "mnist-16",
        what: "exact log p(v) of the test cases, MNIST > 0.5, 784-16",
        recipe: "mnist-16",
        theirs: "-142.56 (PyDeep, centred PCD)",
        goal: Some(-142.56),
        is_population: false,
        takes: "a quarter of a minute",
        ..POPULATION
    },
    Experiment {
        name: "mnist-500",
        what: "log p(v) of the test cases from both sides, MNIST, test cases stochastically binarised once, 784-500",
        recipe: "mnist-500",
        theirs: "-86.34 (CD-25, Salakhutdinov and Murray 2008, another draw of the bits, forward alone)",
        goal: Some(-86.34),
        is_population: false,
        evaluation: &["--binarise", "sample:0", "--betas", "20000", "--chains", "200"],
        takes: "an hour",
        ..POPULATION
    },
    Experiment {
        name: "bound",
        what: "a lower bound on log p(v) of the test cases, log Z from both sides, MNIST, test cases stochastically binarised once, 784-500-2000",
        recipe: "bound",
        theirs: "-85.97 (Salakhutdinov and Murray 2008, another draw of the bits, log Z forward alone)",
        goal: Some(-85.97),
        is_population: false,
        evaluation: &["--binarise", "sample:0", "--betas", "20000", "--chains", "100"],
        takes: "half an hour",
        ..POPULATION
    },
    Experiment {
        name: "classrbm",
        recipe: "classrbm",
        theirs: "1.81 % (Larochelle and Bengio 2008, DRBM)",
        goal: Some(1.81),
        takes: "five minutes",
        ..MNIST
    },
    Experiment {
        name: "hybrid",
        recipe: "hybrid",
        theirs: "1.28 % (Larochelle and Bengio 2008, HDRBM)",
        goal: Some(1.28),
        takes: "a quarter of an hour",
        ..MNIST
    },
    Experiment {
        name: "joint",
        recipe: "joint",
        theirs: "2.49 % (Hinton, Osindero, Teh 2006, after greedy learning)",
        goal: Some(2.49),
        takes: "five minutes",
        ..MNIST
    },
    Experiment {
        name: "up-down",
        recipe: "up-down",
        theirs: "1.25 % (Hinton, Osindero, Teh 2006, after up-down)",
        goal: Some(1.30),
        takes: "an hour and a half",
        ..MNIST
    },
    Experiment {
        name: "few-labels-100",
        what: "errors on the test cases of MNIST, 100 labels",
        recipe: "few-labels",
        settings: &["classifier.train_on=100", "classifier.batch_size=10"],
        theirs: "18.30 % (Yell, features of one machine, fine-tuned)",
        goal: Some(18.3),
        takes: "three minutes",
        ..MNIST
    },
    Experiment {
        name: "few-labels-10000",
        what: "errors on the test cases of MNIST, 10,000 labels",
        recipe: "few-labels",
        settings: &[
            "classifier.train_on=10000",
            "classifier.batch_size=100",
            "classifier.epochs=40",
        ],
        theirs: "2.73 % (Yell, features of one machine, fine-tuned)",
        goal: Some(2.7),
        takes: "three minutes",
        ..MNIST
    },
    Experiment {
        name: "few-labels",
        what: "errors on the test cases of MNIST, 1,000 labels",
        recipe: "few-labels",
        theirs: "6.35 % (Yell, features of one machine, fine-tuned)",
        goal: Some(6.3),
        takes: "three minutes",
        ..MNIST
    },
    Experiment {
        name: "backpropagation",
        what: "errors on the test cases of MNIST, 784-500-500-2000-10, no dropout",
        recipe: "backpropagation",
        theirs: "1.14 % (Melis), 1.2 % (Hinton and Salakhutdinov 2006), without dropout",
        goal: Some(1.14),
        takes: "seven minutes",
        ..MNIST
    },
    Experiment {
        name: "mnist",
        what: "errors on the test cases of MNIST, 784-500-500-2000-10, dropout",
        recipe: "mnist",
        theirs: "1.04 % (Melis, with dropout)",
        goal: Some(1.04),
        takes: "ten minutes",
        ..MNIST
    },
    Experiment {
        name: "dropout",
        what: "errors on the test cases of MNIST, 784-1000-1000-2000-10, dropout and virtual adversarial training",
        recipe: "dropout",
        theirs: "0.92 % (Srivastava et al. 2014, 500-500-2000, dropout)",
        goal: Some(0.95),
        takes: "an hour",
        ..MNIST
    },
    Experiment {
        name: "autoencoder",
        what: "squared error of a test picture of MNIST, 784-1000-500-250-30 and back",
        recipe: "autoencoder",
        theirs: "3.00 (Hinton and Salakhutdinov 2006)",
        measure: Measure::SquaredError,
        goal: Some(3.00),
        takes: "a quarter of an hour",
        ..MNIST
    },
    Experiment {
        name: "debd",
        what: "log p(v) of the test cases, any of the twenty data sets of density estimation; learned from train and valid",
        recipe: "debd",
        theirs: "by data set, where there is one: DNA -96.74, Mushrooms -15.15",
        is_population: false,
        is_chosen: true,
        takes: "its --budget, and a minute",
        ..POPULATION
    },
];

/// Mean log p(v) of the test cases, exact, of restricted Boltzmann machines with 23 hidden units, by the names that the files of
/// these data have (Larochelle and Murray 2011).
const RBM_23: [(&str, &str); 7] = [
    ("adult", "-16.26"),
    ("connect4", "-22.66"),
    ("dna", "-96.74"),
    ("mushrooms", "-15.15"),
    ("nips", "-277.37"),
    ("ocr_letters", "-43.05"),
    ("rcv1", "-48.88"),
];

impl Experiment {
    /// The published number for `data`; nothing where there is none.
    pub fn theirs_on(&self, data: &str) -> String {
        if !self.is_chosen {
            return self.theirs.into();
        }
        let name = Path::new(data).file_name().map(|name| name.to_string_lossy().to_lowercase());
        let found = RBM_23.iter().find(|(of, _)| name.as_deref() == Some(of));
        found.map_or_else(String::new, |(_, number)| {
            format!("{number} (RBM with 23 hidden units, Larochelle and Murray 2011)")
        })
    }
}

/// An experiment that can be reproduced.
#[derive(Debug, Clone, Copy)]
pub struct Experiment {
    /// What the user types.
    pub name: &'static str,
    /// What is measured, and on which data.
    pub what: &'static str,
    /// The recipe's name.
    pub recipe: &'static str,
    /// What is changed in it, as for `--set`.
    pub settings: &'static [&'static str],
    /// The data; `None` where the user must name a folder.
    pub data: Option<&'static str>,
    /// The published number and where it stands.
    pub theirs: &'static str,
    /// What ours is a number of.
    pub measure: Measure,
    /// What ours must reach at the least; `None` where that depends on the data.
    pub goal: Option<f64>,
    /// Whether the data are a whole population, of which nothing is held out.
    pub is_population: bool,
    /// Whether sizes and rates are chosen on the validation part first.
    pub is_chosen: bool,
    /// What `dbn evaluate` is told besides where log p(v) is measured: which bits, how much effort.
    pub evaluation: &'static [&'static str],
    /// How long it takes on two cores.
    pub takes: &'static str,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean log p(v), or a bound on it, in nats a case: the higher the better.
    LogLikelihood,
    /// Cases put into the wrong class, percent: the lower the better.
    Error,
    /// What an autoencoder makes of a case, summed over its values: the lower the better.
    SquaredError,
}

impl Measure {
    /// What the numbers are in.
    pub fn unit(self) -> Unit {
        match self {
            Self::LogLikelihood => Unit::Nats,
            Self::Error => Unit::Percent,
            Self::SquaredError => Unit::SquaredErrorPerCase,
        }
    }

    /// On which side of a goal the numbers are to be.
    pub fn sign(self) -> &'static str {
        if self == Self::LogLikelihood { "≥" } else { "≤" }
    }

    /// Whether `ours` is as good as `goal`.
    pub fn reaches(self, ours: f64, goal: f64) -> bool {
        match self {
            Self::LogLikelihood => ours >= goal,
            Self::Error | Self::SquaredError => ours <= goal,
        }
    }
}
