//! Changes of a parameter in place.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp1, Layout, MetalStorage, Result, Storage};

use super::{Numbers, count, launch};
use crate::ops::cpu::same_count;
use crate::ops::outer::{MomentumStep, Representation};
use crate::ops::reference::outer_sum;

/// target ← keep·target + scale·term(source), with the term in the kernel's name (`"combine"`, `"combine_sign"`,
/// `"combine_square"`).
pub(in crate::ops) fn combine(
    name: &str,
    numbers: [f64; 2],
    (target, target_layout): (&mut MetalStorage, &Layout),
    (source, source_layout): (&MetalStorage, &Layout),
) -> Result<()> {
    let n = same_count([target_layout, source_layout])?;
    let [keep, scale] = numbers.map(|x| x as f32);
    let (t, s) = (Numbers::of(target, target_layout)?, Numbers::of(source, source_layout)?);
    launch(target.device(), name, n, |encoder| {
        encoder.set_bytes(0, &count(n)?);
        t.written_as(encoder, 1);
        s.read_as(encoder, 2);
        encoder.set_bytes(3, &keep);
        encoder.set_bytes(4, &scale);
        Ok(())
    })
}

/// parameter ← parameter + rate·first/(√(scale·second) + ε), with `[rate, scale, ε]`.
pub(in crate::ops) fn adam_step(
    numbers: [f64; 3],
    (parameter, parameter_layout): (&mut MetalStorage, &Layout),
    [(first, first_layout), (second, second_layout)]: [(&MetalStorage, &Layout); 2],
) -> Result<()> {
    let n = same_count([parameter_layout, first_layout, second_layout])?;
    let [rate, scale, epsilon] = numbers.map(|x| x as f32);
    let p = Numbers::of(parameter, parameter_layout)?;
    let (first, second) = (Numbers::of(first, first_layout)?, Numbers::of(second, second_layout)?);
    launch(parameter.device(), "adam_step", n, |encoder| {
        encoder.set_bytes(0, &count(n)?);
        p.written_as(encoder, 1);
        first.read_as(encoder, 2);
        second.read_as(encoder, 3);
        encoder.set_bytes(4, &rate);
        encoder.set_bytes(5, &scale);
        encoder.set_bytes(6, &epsilon);
        Ok(())
    })
}

/// The step of gradient ascent with momentum. Outer products are multiplied out by candle first; then one kernel changes
/// velocity and parameter.
pub(in crate::ops) fn momentum_step(
    step: &MomentumStep,
    parameter: &mut MetalStorage,
    layout: &Layout,
) -> Result<()> {
    // candle lends one tensor's memory at a time: the velocity's is borrowed while the parameter's is held.
    step.velocity.inplace_op1(&MetalWithParameter { step, parameter, layout })
}

struct MetalWithParameter<'a> {
    step: &'a MomentumStep<'a>,
    /// Metal's kernels write through shared references; that it is held to be written is what matters.
    parameter: &'a MetalStorage,
    layout: &'a Layout,
}

impl InplaceOp1 for MetalWithParameter<'_> {
    fn name(&self) -> &'static str {
        "momentum-step"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        candle_core::bail!(
            "momentum-step: expected the velocity on the parameter's device, found the CPU"
        )
    }

    fn metal_fwd(&self, velocity: &mut MetalStorage, layout: &Layout) -> Result<()> {
        let (step, penalty) = (self.step, self.step.ascent.penalty);
        let gradient = match &step.ascent.direction {
            Representation::Tensor(gradient) => gradient.clone(),
            Representation::Outer(terms) => outer_sum(terms).map_err(candle_core::Error::wrap)?,
        };
        let (storage, gradient_layout) = gradient.storage_and_layout();
        let Storage::Metal(gradient) = &*storage else {
            candle_core::bail!("momentum-step: expected the gradient on the parameter's device")
        };
        let n = same_count([self.layout, layout, gradient_layout])?;
        let numbers = [step.momentum, step.rate, -step.rate * penalty.l1, -step.rate * penalty.l2];
        let w = Numbers::of(self.parameter, self.layout)?;
        let v = Numbers::of(velocity, layout)?;
        let g = Numbers::of(gradient, gradient_layout)?;
        launch(velocity.device(), "momentum_step", n, |encoder| {
            encoder.set_bytes(0, &count(n)?);
            w.written_as(encoder, 1);
            v.written_as(encoder, 2);
            g.read_as(encoder, 3);
            for (i, number) in numbers.into_iter().enumerate() {
                encoder.set_bytes(4 + i, &(number as f32));
            }
            Ok(())
        })
    }
}
