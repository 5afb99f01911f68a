//! From what the user called it to the device.

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// The device called `name`; `auto` is a GPU if this program was built for one and one answers, else the CPU.
pub fn find(name: &str) -> Result<Device> {
    let what = || format!("device {name:?}");
    let reason = |e: candle_core::Error| anyhow::anyhow!("{}", first_line(&e));
    let unknown = || format!("{}: expected auto, cpu, cuda, cuda:N or metal", what());
    match name.split_once(':').map_or((name, None), |(kind, number)| (kind, Some(number))) {
        ("auto", None) => {
            Ok(Device::new_cuda(0).or_else(|_| Device::new_metal(0)).unwrap_or(Device::Cpu))
        }
        ("cpu", None) => Ok(Device::Cpu),
        ("cuda", number) => {
            let Ok(number) = number.map_or(Ok(0), str::parse) else { bail!(unknown()) };
            Device::new_cuda(number).map_err(reason).with_context(what)
        }
        ("metal", None) => Device::new_metal(0).map_err(reason).with_context(what),
        _ => bail!(unknown()),
    }
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
