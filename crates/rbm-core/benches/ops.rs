//! Every operation alone, at the shapes of a machine 784-500 and a mini-batch of 100; the names carry the shape.
//!
//! `cargo bench -p rbm-core --bench ops`, or one of them by a part of its name: `-- softplus`.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{BATCH, HIDDEN, VISIBLE, Warm};
use criterion::Criterion;
use rbm_core::model::{BinaryGraph, Boltzmann, Coupling, Machine};
use rbm_core::ops::{self, Ascent, Outer};
use rbm_core::sampling::GraphChains;
use rbm_core::{Result, Rng, Units};

/// Fractions of ones of the left operand of products.
const DENSITIES: [f64; 5] = [0.05, 0.13, 0.2, 0.3, 0.5];

/// Shares of all pairs of units that are coupled.
const GRAPHS: [f64; 5] = [0.1, 0.2, 0.28, 0.32, 1.0];

/// A product of `(batch, visible)` zeros and ones and `(visible, hidden)` weights.
type Product = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// The ways to multiply a matrix of zeros and ones: here is where another one goes.
const PRODUCTS: [(&str, Product); 2] =
    [("product-dense", |v, w| Ok(v.matmul(w)?)), ("product", ops::product)];

/// Benches `op` as `what/shape/f32`.
fn bench<T>(criterion: &mut Criterion, name: &str, mut op: impl FnMut() -> Result<T>) {
    criterion.bench_function(&format!("{name}/f32"), |b| b.iter(|| op().is_ok()));
}

/// Zeros and ones, of which a part `density` are ones.
fn bits(shape: (usize, usize), density: f64, rng: &mut Rng) -> Result<Tensor> {
    let uniform = ops::uniform(shape, DType::F32, &Device::Cpu, rng)?;
    Ok(uniform.lt(density)?.to_dtype(DType::F32)?)
}

/// What is done to a layer's inputs, `(batch, hidden)`.
fn units(criterion: &mut Criterion, warm: &Warm) -> Result<()> {
    let (mut rng, shape) = (warm.rng, format!("{BATCH}x{HIDDEN}"));
    let inputs = warm.rbm.hidden_inputs(&warm.batches[0])?.detach();
    let bias = warm.rbm.hidden().vars()[0].1.as_detached_tensor();
    let name = |what: &str| format!("{what}/{shape}");
    bench(criterion, &name("bernoulli-sample"), || ops::bernoulli_sample(&inputs, &bias, &mut rng));
    bench(criterion, &name("bernoulli-mean-and-sample"), || {
        ops::bernoulli_mean_and_sample(&inputs, &bias, &mut rng)
    });
    bench(criterion, &name("bernoulli-mean"), || ops::bernoulli_mean(&inputs, &bias));
    bench(criterion, &name("sigmoid"), || ops::sigmoid(&inputs));
    bench(criterion, &name("softplus"), || ops::softplus(&inputs));
    bench(criterion, &name("bernoulli-cgf"), || ops::bernoulli_cgf(&inputs, &bias));
    let dropout = ops::DropoutMask::draw(0.4, &mut rng)?;
    if let Some(dropout) = dropout {
        bench(criterion, &name("dropout"), || dropout.apply(&inputs));
    }
    bench(criterion, &name("add-bias"), || ops::add_bias(&inputs, &bias));
    bench(criterion, &name("sum-rows"), || ops::sum_rows(&inputs));
    bench(criterion, &name("sum-within-rows"), || ops::sum_within_rows(&inputs));
    let size = (BATCH, HIDDEN);
    bench(criterion, &name("uniform"), || ops::uniform(size, DType::F32, &Device::Cpu, &mut rng));
    bench(criterion, &name("normal"), || ops::normal(size, DType::F32, &Device::Cpu, &mut rng));
    Ok(())
}

/// What is done to the weights, `(visible, hidden)`.
fn weights(criterion: &mut Criterion, warm: &Warm) -> Result<()> {
    let name = |what: &str| format!("{what}/{VISIBLE}x{HIDDEN}");
    let (positive, negative) = (&warm.batches[0], &warm.batches[1]);
    let mean = warm.rbm.hidden_mean(positive)?.detach();
    let share = 1.0 / BATCH as f64;
    let terms = vec![Outer::new(positive, &mean, share)?, Outer::new(negative, &mean, -share)?];
    bench(criterion, &format!("{}/b{BATCH}", name("outer-sum")), || ops::outer_sum(&terms));
    let gradient = ops::outer_sum(&terms)?;
    let (outer, tensor) = (Ascent::from(terms), Ascent::from(gradient.clone()));
    let weights = warm.rbm.weights().as_detached_tensor().copy()?;
    let (first, second) = (weights.zeros_like()?, weights.zeros_like()?);
    // Rates at which the weights stay as they are, however often this is repeated.
    bench(criterion, &name("momentum-step"), || {
        ops::momentum_step(&weights, &first, &tensor, 1e-9, 0.5)
    });
    bench(criterion, &format!("{}/b{BATCH}", name("momentum-step-of-outer-sum")), || {
        ops::momentum_step(&weights, &first, &outer, 1e-9, 0.5)
    });
    bench(criterion, &name("add-scaled"), || ops::add_scaled(&weights, &gradient, 1e-9));
    bench(criterion, &name("add-sign-scaled"), || ops::add_sign_scaled(&weights, &gradient, 1e-9));
    bench(criterion, &name("average-in"), || ops::average_in(&first, &gradient, 0.9));
    bench(criterion, &name("average-square-in"), || {
        ops::average_square_in(&second, &gradient, 0.999)
    });
    bench(criterion, &name("adam-step"), || {
        ops::adam_step(&weights, &first, &second, 1e-9, 1.0, 1e-8)
    });
    Ok(())
}

/// vW and hWᵀ of the machine itself, and vW for several densities of v.
fn products(criterion: &mut Criterion, warm: &Warm) -> Result<()> {
    let weights = warm.rbm.weights().as_detached_tensor();
    let shape = format!("{BATCH}x{VISIBLE}x{HIDDEN}");
    for (what, product) in PRODUCTS {
        let name = format!("{what}/{shape}/data");
        bench(criterion, &name, || product(&warm.batches[0], &weights));
        for density in DENSITIES {
            let v = bits((BATCH, VISIBLE), density, &mut Rng::new(2))?;
            let name = format!("{what}/{shape}/{:.0}%", 100.0 * density);
            bench(criterion, &name, || product(&v, &weights));
        }
    }
    let shape = format!("{BATCH}x{HIDDEN}x{VISIBLE}");
    let transposed: [(&str, Product); 2] = [
        ("product-transposed-dense", |h, w| Ok(h.matmul(&w.t()?)?)),
        ("product-transposed", ops::product_transposed),
    ];
    for (what, product) in transposed {
        let name = format!("{what}/{shape}/hidden");
        bench(criterion, &name, || product(&warm.hidden, &weights));
        for density in DENSITIES {
            let h = bits((BATCH, HIDDEN), density, &mut Rng::new(2))?;
            let name = format!("{what}/{shape}/{:.0}%", 100.0 * density);
            bench(criterion, &name, || product(&h, &weights));
        }
    }
    Ok(())
}

/// Units that are all coupled with each other: a sweep of so many chains, beside the dense product that it cannot do without.
fn coupled(criterion: &mut Criterion) -> Result<()> {
    for (units, chains) in
        [(Units::Potts { sites: 136, states: 5 }, 2000), (Units::Spin { size: 1000 }, 64)]
    {
        let (width, mut rng) = (units.width(), Rng::new(3));
        let w = ops::normal((width, width), DType::F32, &Device::Cpu, &mut rng)?;
        let w = ((&w + w.t()?)? * (0.5 / (width as f64).sqrt()))?;
        let states = if let Units::Potts { states, .. } = units { states } else { 1 };
        let apart = (0..width * width).map(|at| (at / width / states != at % width / states) as u8);
        let apart = Tensor::from_iter(apart, &Device::Cpu)?.to_dtype(DType::F32)?;
        let weights = Var::from_tensor(&(w * apart.reshape((width, width))?)?)?;
        let layer = units.build(DType::F32, &Device::Cpu)?;
        let coupling = Coupling::Lateral { layer: 0, weights: weights.clone() };
        let machine = Machine::new(vec![layer], vec![coupling])?;
        let none = Tensor::zeros((chains, 0), DType::F32, &Device::Cpu)?;
        let inputs = Tensor::zeros((chains, width), DType::F32, &Device::Cpu)?;
        let mut x = machine.rest().sample(&inputs, &mut rng)?;
        let name = format!("{chains}x{width}");
        bench(criterion, &format!("coupled-product/{name}"), || Ok(x.matmul(&weights)?));
        bench(criterion, &format!("coupled-sweep/{name}"), || {
            x = machine.draw_rest(Some(&x), &none, None, &mut rng)?;
            Ok(())
        });
    }
    // Spins on graphs: of each share of their pairs.
    let units = 1000;
    for share in GRAPHS {
        let mut rng = Rng::new(4);
        let chance = ops::uniform((units, units), DType::F64, &Device::Cpu, &mut rng)?;
        let chance = chance.to_vec2::<f64>()?;
        let pairs = (0..units).flat_map(|i| (i + 1..units).map(move |j| [i, j]));
        let pairs: Vec<_> = pairs.filter(|[i, j]| chance[*i][*j] < share).collect();
        let weights: Vec<_> = pairs.iter().map(|[i, j]| chance[*j][*i] - 0.5).collect();
        let pairs: Vec<_> = pairs.iter().map(|pair| pair.map(|unit| unit as u32)).collect();
        let graph = BinaryGraph::new(&pairs, &weights, &vec![0.0; units], -1.0)?;
        let mut chains = GraphChains::evenly(&graph, 64, &mut rng)?;
        let name = format!("graph-sweeps/64x{units}/{:.0}%", 100.0 * share);
        bench(criterion, &name, || {
            chains.sweep(&[0.1; 10], &mut rng);
            Ok(())
        });
    }
    Ok(())
}

fn main() -> Result<()> {
    ops::device::settle()?;
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let warm = Warm::new()?;
    println!("{}", warm.describe()?);
    units(&mut criterion, &warm)?;
    weights(&mut criterion, &warm)?;
    products(&mut criterion, &warm)?;
    coupled(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
