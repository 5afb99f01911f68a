//! Which rows to measure: the usual ones, or the one that the user described.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

/// Where the negative phase comes from
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchMethod {
    /// Contrastive divergence
    Cd,
    /// Persistent contrastive divergence
    Pcd,
}

impl BenchMethod {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cd => "cd",
            Self::Pcd => "pcd",
        }
    }
}

/// Which rows to measure.
#[derive(Debug, clap::Args)]
pub struct RowOptions {
    /// Measure one row of your own: visible and hidden units [default with --batch, --method or --steps: 784x500]
    #[arg(long, value_name = "VISIBLExHIDDEN", allow_hyphen_values = true)]
    pub shape: Option<String>,
    /// Cases in a mini-batch of your own row [default: 100]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Method of your own row [default: cd]
    #[arg(long, value_enum)]
    pub method: Option<BenchMethod>,
    /// k of CD-k or PCD-k in your own row [default: 1]
    #[arg(long, value_name = "K")]
    pub steps: Option<usize>,
    /// Measure PCD-100 with 2,000 chains and annealing through 10,000 inverse temperatures too
    #[arg(long)]
    pub full: bool,
}

/// Cases that are gone through again and again, and that are made where there are none.
pub const CASES: usize = 6000;
/// The most values of a matrix that is measured: a gigabyte of them.
const MOST_VALUES: usize = 1 << 28;
/// The most Gibbs steps of an update.
const MOST_STEPS: usize = 10_000;
/// The letters of proteins, and the gap.
pub const STATES: usize = 21;
/// The network of Hinton and Salakhutdinov 2006, without its classes.
pub const STACK: [usize; 4] = [784, 500, 500, 2000];

/// What the units of the visible layer look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchData {
    /// Zeros and ones: the data, thresholded.
    Binary,
    /// Values between zero and one: the data as they are.
    Grey,
    /// Half of the units on, at random.
    Dense,
    /// Sites of [`STATES`] states, of which one is on: sequences of a protein.
    Sites,
    /// Samples of the hidden units of the stack's machine below, which has this place.
    Above(usize),
}

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Updates of a machine.
    Learn { method: BenchMethod, steps: usize, look: BenchData },
    /// Backpropagation through the stack and a softmax over ten classes.
    FineTune(FineTuneKind),
    /// The up-pass through the stack.
    Embed,
    /// Annealed importance sampling through so many inverse temperatures, with a chain for each case.
    Anneal { betas: usize },
    /// A step of parallel tempering, with a replica for each case.
    Temper { levels: usize },
    /// So many iterations of the mean field of a deep Boltzmann machine.
    MeanField { steps: usize },
}

/// What a step of backpropagation learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FineTuneKind {
    /// The cases.
    Plain,
    /// The cases, with units left out.
    Dropout,
    /// Adversarial examples beside the cases.
    Adversarial,
    /// Virtual adversarial examples beside the cases.
    Virtual,
}

impl FineTuneKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Dropout, Self::Adversarial, Self::Virtual];
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct BenchRow {
    pub task: Task,
    /// The widths of the layers from the data up.
    pub widths: Vec<usize>,
    /// Cases in a mini-batch, and as many chains.
    pub batch: usize,
}

impl BenchRow {
    fn learn(
        method: BenchMethod,
        steps: usize,
        look: BenchData,
        shape: (usize, usize),
        batch: usize,
    ) -> Self {
        let task = Task::Learn { method, steps, look };
        Self { task, widths: vec![shape.0, shape.1], batch }
    }

    /// What the row is called, in the table and in JSON: method, shape, batch.
    pub fn name(&self) -> String {
        let widths: Vec<_> = self.widths.iter().map(usize::to_string).collect();
        let mut widths = widths.join("x");
        let (what, look) = match self.task {
            Task::Learn { method, steps, look } => {
                let look = match look {
                    BenchData::Grey => " grey",
                    BenchData::Dense => " dense",
                    BenchData::Sites => {
                        let [visible, hidden] = [self.widths[0], self.widths[1]];
                        widths = format!("potts {}x{STATES}-{hidden}", visible / STATES);
                        ""
                    }
                    BenchData::Binary | BenchData::Above(_) => "",
                };
                (format!("{}-{steps}", method.name()), look)
            }
            Task::FineTune(kind) => (
                "fine-tune".into(),
                match kind {
                    FineTuneKind::Plain => "",
                    FineTuneKind::Dropout => " dropout",
                    FineTuneKind::Adversarial => " adversarial",
                    FineTuneKind::Virtual => " virtual",
                },
            ),
            Task::Embed => ("embed".into(), ""),
            Task::Anneal { betas } => (format!("ais-{betas}"), ""),
            Task::Temper { levels } => (format!("tempering-{levels}"), ""),
            Task::MeanField { steps } => (format!("mean-field-{steps}"), ""),
        };
        format!("{what} {widths} b{}{look}", self.batch)
    }
}

/// The rows that the user asked for.
pub fn rows(args: &RowOptions) -> Result<Vec<BenchRow>> {
    let own =
        [args.shape.is_some(), args.batch.is_some(), args.method.is_some(), args.steps.is_some()];
    if !own.contains(&true) {
        return Ok(usual(args.full));
    }
    ensure!(
        !args.full,
        "--full: expected without --shape, --batch, --method and --steps, which describe a row of their own"
    );
    let shape = args.shape.as_deref().map_or(Ok((784, 500)), shape)?;
    let steps = args.steps.unwrap_or(1);
    ensure!(
        (1..=MOST_STEPS).contains(&steps),
        "--steps: expected 1 to {MOST_STEPS}, found {steps}"
    );
    let widest = MOST_VALUES / CASES;
    ensure!(
        shape.0.max(shape.1) <= widest,
        "--shape: expected at most {widest} units a layer, found {}x{}",
        shape.0,
        shape.1
    );
    let batch = batch(args, shape)?.unwrap_or(100);
    let method = args.method.unwrap_or(BenchMethod::Cd);
    Ok(vec![BenchRow::learn(method, steps, BenchData::Binary, shape, batch)])
}

/// The cases in a mini-batch that the user asked for, of a machine of so many visible and hidden units.
pub fn batch(args: &RowOptions, shape: (usize, usize)) -> Result<Option<usize>> {
    let most = MOST_VALUES / shape.0.max(shape.1);
    if let Some(batch) = args.batch {
        ensure!(
            (1..=most).contains(&batch),
            "--batch: expected 1 to {most} for this shape, found {batch}"
        );
    }
    Ok(args.batch)
}

fn usual(full: bool) -> Vec<BenchRow> {
    use BenchData::{Above, Binary, Dense, Grey, Sites};
    use BenchMethod::{Cd, Pcd};
    let mnist = (784, 500);
    let mut rows = vec![
        BenchRow::learn(Cd, 1, Binary, mnist, 100),
        BenchRow::learn(Pcd, 1, Binary, mnist, 100),
        BenchRow::learn(Pcd, 10, Binary, mnist, 100),
        BenchRow::learn(Cd, 1, Grey, mnist, 100),
        BenchRow::learn(Cd, 1, Dense, mnist, 100),
        BenchRow::learn(Cd, 1, Above(0), (500, 500), 100),
        BenchRow::learn(Cd, 1, Above(1), (500, 2000), 100),
        BenchRow::learn(Pcd, 1, Binary, (64, 100), 10),
        BenchRow::learn(Pcd, 1, Binary, (784, 16), 10),
        BenchRow::learn(Pcd, 1, Sites, (53 * STATES, 100), 100),
    ];
    if full {
        rows.push(BenchRow::learn(Pcd, 100, Binary, (784, 200), 2000));
    }
    let with_classes = [&STACK[..], &[10]].concat();
    let mut of = |task, widths: &[usize], batch| {
        rows.push(BenchRow { task, widths: widths.to_vec(), batch });
    };
    for kind in FineTuneKind::ALL {
        of(Task::FineTune(kind), &with_classes, 100);
    }
    of(Task::Embed, &STACK, 1000);
    of(Task::Anneal { betas: 50 }, &STACK[..2], 100);
    if full {
        of(Task::Anneal { betas: 10_000 }, &STACK[..2], 100);
    }
    of(Task::Temper { levels: 10 }, &STACK[..2], 100);
    of(Task::MeanField { steps: 10 }, &STACK[..3], 100);
    rows
}

/// `784x500`: visible units, hidden units.
fn shape(text: &str) -> Result<(usize, usize)> {
    let wanted = || format!("--shape: expected VISIBLExHIDDEN such as 784x500, found {text:?}");
    let (visible, hidden) = text.split_once('x').with_context(wanted)?;
    let (Ok(visible), Ok(hidden)) = (visible.parse::<usize>(), hidden.parse::<usize>()) else {
        bail!(wanted());
    };
    ensure!(visible > 0 && hidden > 0, wanted());
    let weights = visible.checked_mul(hidden).filter(|&weights| weights <= MOST_VALUES);
    ensure!(weights.is_some(), "--shape: expected at most {MOST_VALUES} weights, found {text}");
    Ok((visible, hidden))
}
