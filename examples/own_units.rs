//! A unit type of one's own: votes, no, abstention or yes, as units that are -1, 0 or 1.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor, Var};
use rbm_core::estimate::log_likelihood;
use rbm_core::model::init::Init;
use rbm_core::units::Support;
use rbm_core::{
    Batches, ContrastiveDivergence, Discrete, Layer, Rbm, Result, Rng, Sgd, Trainer, Units, ops,
};

/// x ∈ {-1, 0, 1}, E(x) = -bias·x. With a = input + bias: p(x) = exp(a·x) / (1 + 2 cosh a).
#[derive(Debug)]
struct Votes {
    /// θ, `(width,)`.
    bias: Var,
}

impl Votes {
    fn new(size: usize) -> Result<Self> {
        Ok(Self { bias: Var::zeros(size, DType::F32, &Device::Cpu)? })
    }

    /// The input of a unit with its bias, a; and exp(-|a|), with which nothing overflows.
    fn field(&self, inputs: &Tensor) -> Result<(Tensor, Tensor)> {
        let a = inputs.broadcast_add(&self.bias)?;
        let small = a.abs()?.neg()?.exp()?;
        Ok((a, small))
    }

    /// (1 + 2 cosh a) · exp(-|a|).
    fn sum(small: &Tensor) -> Result<Tensor> {
        Ok(((small + 1.0)? + small.sqr()?)?)
    }
}

impl Layer for Votes {
    fn try_clone(&self) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Self { bias: Var::from_tensor(&self.bias.as_detached_tensor().copy()?)? }))
    }

    fn vars(&self) -> Vec<(String, &Var)> {
        vec![("bias".into(), &self.bias)]
    }

    fn statistics(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![x.clone()])
    }

    /// E[x] = 2 sinh a / (1 + 2 cosh a).
    fn expected_statistics(&self, inputs: &Tensor) -> Result<Vec<Tensor>> {
        let (a, small) = self.field(inputs)?;
        let size = (small.sqr()?.affine(-1.0, 1.0)? / Self::sum(&small)?)?;
        Ok(vec![(size * a.sign()?)?])
    }

    /// Σ log(1 + 2 cosh a).
    fn cgf(&self, inputs: &Tensor) -> Result<Tensor> {
        let (a, small) = self.field(inputs)?;
        Ok((a.abs()? + Self::sum(&small)?.log()?)?.sum(D::Minus1)?)
    }

    fn sample(&self, inputs: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let (a, small) = self.field(&inputs.detach())?;
        let sum = Self::sum(&small)?.detach();
        // The state of a's sign has 1 of the sum, 0 has exp(-|a|), the other one the rest.
        let u = (ops::uniform(a.shape(), a.dtype(), a.device(), rng)? * sum)?;
        let (first, second) = (u.lt(&u.ones_like()?)?, u.lt(&(small.detach() + 1.0)?)?);
        let states = (first.to_dtype(a.dtype())? + second.to_dtype(a.dtype())?)?; // 2, 1 or 0
        Ok(((states - 1.0)? * signs(&a.detach())?)?)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }

    fn support(&self) -> Vec<Support> {
        vec![Support::of_values(self.bias.elem_count(), [(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)])]
    }

    /// The a at which E[x] is m: exp(a) = (m + √(4 - 3m²)) / (2(1 - m)).
    fn bias_for_mean(&self, mean: &Tensor) -> Result<Tensor> {
        let m = mean.clamp(-0.99, 0.99)?;
        let root = m.sqr()?.affine(-3.0, 4.0)?.sqrt()?;
        Ok(((&m + root)? / m.affine(-2.0, 2.0)?)?.log()?)
    }
}

impl Discrete for Votes {
    fn configurations(&self) -> Option<u64> {
        3u64.checked_pow(self.bias.elem_count() as u32)
    }

    /// The number in the system of three, the first unit its lowest digit.
    fn configuration(&self, numbers: Range<u64>) -> Result<Tensor> {
        let width = self.bias.elem_count();
        let rows = (numbers.end - numbers.start) as usize;
        let digits = numbers.flat_map(|number| {
            (0..width as u32).map(move |unit| (number / 3u64.pow(unit) % 3) as f32 - 1.0)
        });
        let values: Vec<f32> = digits.collect();
        Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
    }

    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clamp(-1.0, 1.0)?.round()?)
    }
}

/// 1 where a is at least 0, else -1.
fn signs(a: &Tensor) -> Result<Tensor> {
    Ok(a.ge(0.0)?.to_dtype(a.dtype())?.affine(2.0, -1.0)?)
}

/// 400 cases of eight votes: the first four go together, and so do the others.
fn votes(rng: &mut Rng) -> Result<Tensor> {
    let parties = ops::uniform((400, 2), DType::F32, &Device::Cpu, rng)?.to_vec2::<f32>()?;
    let draws = ops::uniform((400, 8), DType::F32, &Device::Cpu, rng)?.to_vec2::<f32>()?;
    let vote = |u: f32, party: f32| match u {
        u if u < 0.2 => 0.0,
        u if u < 0.9 => (party - 0.5).signum(),
        _ => -(party - 0.5).signum(),
    };
    let rows = draws.iter().zip(&parties);
    let values = rows.flat_map(|(draws, parties)| {
        draws.iter().enumerate().map(|(i, &u)| vote(u, parties[i / 4])).collect::<Vec<f32>>()
    });
    Ok(Tensor::from_vec(values.collect::<Vec<_>>(), (400, 8), &Device::Cpu)?)
}

fn main() -> Result<()> {
    let mut rng = Rng::new(4);
    let data = votes(&mut rng)?;

    let weights = Var::zeros((8, 6), DType::F32, &Device::Cpu)?;
    let hidden = Units::bernoulli(6).build(DType::F32, &Device::Cpu)?;
    let rbm = Rbm::from_parts(Box::new(Votes::new(8)?), hidden, weights)?;
    Init::default().apply(&rbm, &data, &mut rng)?;
    println!("{}: log-likelihood {:.3}", rbm.visible().units(), log_likelihood(&rbm, &data)?);

    // The learning rules, the likelihoods and the kernels know nothing of what the units are.
    let mut trainer = Trainer::new(ContrastiveDivergence::new(1), Sgd::new(0.05));
    for _ in 0..60 {
        for batch in Batches::new(400, 20).shuffled(&mut rng).of(&data) {
            trainer.step(&rbm, &batch?, &mut rng)?;
        }
    }
    println!("after learning: log-likelihood {:.3}", log_likelihood(&rbm, &data)?);

    // A clone is of the same type. A file is not: it could not say how the units are built.
    let clone = rbm.try_clone()?;
    println!("a clone has {} too", clone.visible().type_name());
    let model = candle_dbn::Model::from(candle_dbn::Dbn::new(vec![rbm])?);
    println!("{}", model.save("votes").expect_err("no file holds units of one's own"));
    Ok(())
}
