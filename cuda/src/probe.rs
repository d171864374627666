//! What GPUs there are, and why one cannot be used.

use crate::api::driver;
use crate::device::{Device, count, find, lost_earlier};
use crate::error::CudaError;
use crate::limits::{Capability, Limits};
use crate::unavailable::Unavailable;

/// What the machine has.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The driver's CUDA version as 1000 x major + 10 x minor, or why there is none.
    pub driver: Result<u32, Unavailable>,
    /// One report per device that the driver shows.
    pub devices: Vec<DeviceReport>,
}

/// What a device is, and whether it can be used.
#[derive(Debug, Clone)]
pub struct DeviceReport {
    /// Its number.
    pub ordinal: u32,
    /// What it is, if the driver could say.
    pub limits: Option<Limits>,
    /// Its free memory in bytes, if a context could be had.
    pub free_bytes: Option<u64>,
    /// Why it cannot be used; `None` if it can.
    pub unusable: Option<Unavailable>,
}

impl Probe {
    /// The devices that can be used.
    pub fn usable(&self) -> impl Iterator<Item = &DeviceReport> {
        self.devices.iter().filter(|device| device.unusable.is_none())
    }

    /// Why no device can be used, or `None` if one can.
    pub fn reason(&self) -> Option<Unavailable> {
        if let Err(reason) = &self.driver {
            return Some(reason.clone());
        }
        if self.usable().next().is_some() {
            return None;
        }
        let first = self.devices.iter().find_map(|device| device.unusable.clone());
        Some(first.unwrap_or(Unavailable::NoDevice))
    }
}

/// Looks at every device. With `open`, also makes a context on each that is not open yet (0.1 to
/// 0.5 s), which alone tells whether it is busy and how much memory is free; without, only the driver
/// and the capability are judged.
///
/// Never fails: trouble is part of the answer.
pub fn probe(open: bool) -> Probe {
    let driver = match driver() {
        Ok(driver) => driver,
        Err(reason) => return Probe { driver: Err(reason), devices: Vec::new() },
    };
    let devices = match count(&driver.api) {
        Ok(count) => (0..count).map(|ordinal| report(ordinal, open)).collect(),
        Err(_) => Vec::new(),
    };
    Probe { driver: Ok(driver.version), devices }
}

fn report(ordinal: u32, open: bool) -> DeviceReport {
    let limits = driver().and_then(|driver| {
        let device = find(&driver.api, ordinal)?;
        Limits::read(&driver.api, device).map_err(Unavailable::DriverFailed)
    });
    let mut report =
        DeviceReport { ordinal, limits: limits.clone().ok(), free_bytes: None, unusable: None };
    report.unusable = match limits {
        Err(reason) => Some(reason),
        Ok(limits) if limits.capability < Capability::OLDEST => {
            Some(Unavailable::CapabilityTooLow(limits.capability))
        }
        Ok(_) => lost_earlier(ordinal).map(Unavailable::Lost),
    };
    if open && report.unusable.is_none() {
        match Device::open(ordinal).and_then(|device| device.memory()) {
            Ok((free, _)) => report.free_bytes = Some(free),
            Err(CudaError::Unavailable(reason)) => report.unusable = Some(reason),
            Err(CudaError::Lost { first, .. }) => report.unusable = Some(Unavailable::Lost(first)),
            Err(error) => report.unusable = error.fault().map(Unavailable::NoContext),
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(unusable: Option<Unavailable>) -> DeviceReport {
        DeviceReport { ordinal: 0, limits: None, free_bytes: None, unusable }
    }

    #[test]
    fn the_reason_is_the_drivers_then_the_first_devices() {
        let old = Unavailable::DriverTooOld { version: 12_040 };
        let low = Unavailable::CapabilityTooLow(Capability { major: 6, minor: 1 });
        let probe = |driver, devices| Probe { driver, devices }.reason();
        assert_eq!(probe(Err(old.clone()), vec![]), Some(old));
        assert_eq!(probe(Ok(13_000), vec![]), Some(Unavailable::NoDevice));
        assert_eq!(probe(Ok(13_000), vec![report(Some(low.clone()))]), Some(low.clone()));
        assert_eq!(probe(Ok(13_000), vec![report(Some(low)), report(None)]), None);
    }

    #[test]
    fn a_probe_always_answers() {
        let probe = probe(false);
        assert_eq!(
            probe.driver.is_err(),
            probe.devices.is_empty() && probe.reason() != Some(Unavailable::NoDevice)
        );
        if probe.driver.is_err() {
            let error = Device::open(0).unwrap_err();
            assert_eq!(error.class(), staffa_common::FaultClass::Unsupported, "{error}");
        }
    }
}
