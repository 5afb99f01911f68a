//! From what the user called it to the device.

use std::fmt::Display;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use rbm_core::ops;

/// The device called `name`; `auto` is a GPU if this program was built for one and one answers, else the CPU.
pub fn find(name: &str) -> Result<Device> {
    let what = || format!("device {name:?}");
    let unknown = || format!("{}: expected auto, cpu, cuda, cuda:N or metal", what());
    match name.split_once(':').map_or((name, None), |(kind, number)| (kind, Some(number))) {
        ("auto", None) => {
            let gpu = ops::device::cuda(0).ok().or_else(|| Device::new_metal(0).ok());
            Ok(gpu.unwrap_or(Device::Cpu))
        }
        ("cpu", None) => Ok(Device::Cpu),
        ("cuda", number) => {
            let Ok(number) = number.map_or(Ok(0), str::parse) else { bail!(unknown()) };
            ops::device::cuda(number).map_err(|e| reason(&e)).with_context(what)
        }
        ("metal", None) => Device::new_metal(0).map_err(|e| reason(&e)).with_context(what),
        _ => bail!(unknown()),
    }
}

/// The first line of what is wrong: candle's errors may end in a backtrace.
fn reason(error: &impl Display) -> anyhow::Error {
    anyhow::anyhow!("{}", error.to_string().lines().next().unwrap_or_default())
}
