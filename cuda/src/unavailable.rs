//! Why no device can be used.

use crate::fault::DriverFault;
use crate::limits::Capability;

/// Why no device can be used, for the whole process or for one device. The codes are stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The driver's library is not installed.
    #[error("D001 no NVIDIA driver is installed")]
    NoDriver,
    /// The driver lacks a function that every supported driver has.
    #[error("D002 the NVIDIA driver lacks {name}: it is too old")]
    MissingSymbol {
        /// The function's name.
        name: &'static str,
    },
    /// The driver is older than [`MINIMUM_DRIVER`](crate::MINIMUM_DRIVER).
    #[error("D002 the NVIDIA driver speaks CUDA {}.{}; 13.0 (driver 580) or newer is needed", version / 1000, version % 1000 / 10)]
    DriverTooOld {
        /// 1000 x major + 10 x minor.
        version: u32,
    },
    /// The driver is there and sees no GPU.
    #[error("D003 the NVIDIA driver sees no GPU")]
    NoDevice,
    /// The driver did not start.
    #[error("D004 the NVIDIA driver does not start: {0}")]
    DriverFailed(DriverFault),
    /// There is no device of that number.
    #[error("D005 there is no GPU {ordinal}: {count} found")]
    NoSuchDevice {
        /// The number asked for.
        ordinal: u32,
        /// How many there are.
        count: u32,
    },
    /// The GPU is older than the oldest that kernels are compiled for (Turing, 7.5).
    #[error("D006 compute capability {0} is below 7.5")]
    CapabilityTooLow(Capability),
    /// Another process has the GPU for itself, or its owner forbids compute on it.
    #[error("D007 the GPU is busy or closed to this process: {0}")]
    Busy(DriverFault),
    /// The GPU has no memory left for a context.
    #[error("D008 the GPU has no memory for a context: {0}")]
    NoMemory(DriverFault),
    /// A context could not be made for another cause.
    #[error("D009 the GPU gives no context: {0}")]
    NoContext(DriverFault),
    /// The GPU's context was lost earlier in this process.
    #[error("D010 the GPU's context was lost: {0}")]
    Lost(DriverFault),
}

impl Unavailable {
    /// From a failure before any device is known.
    pub(crate) fn from_start(fault: DriverFault) -> Self {
        match fault.code() {
            100 => Self::NoDevice,
            34 => Self::NoDriver,
            _ => Self::DriverFailed(fault),
        }
    }

    /// From a failure to make a context.
    pub(crate) fn from_context(fault: DriverFault) -> Self {
        match fault.code() {
            // INVALID_DEVICE is what a device in prohibited mode answers.
            46 | 101 | 216 | 800 | 802 | 807 | 808 | 809 => Self::Busy(fault),
            2 => Self::NoMemory(fault),
            _ => Self::NoContext(fault),
        }
    }

    /// The stable code, e.g. `D001`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDriver => "D001",
            Self::MissingSymbol { .. } | Self::DriverTooOld { .. } => "D002",
            Self::NoDevice => "D003",
            Self::DriverFailed(_) => "D004",
            Self::NoSuchDevice { .. } => "D005",
            Self::CapabilityTooLow(_) => "D006",
            Self::Busy(_) => "D007",
            Self::NoMemory(_) => "D008",
            Self::NoContext(_) => "D009",
            Self::Lost(_) => "D010",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: u32) -> DriverFault {
        DriverFault::check("cuCall", code).expect_err("not zero")
    }

    #[test]
    fn every_reason_prints_its_own_code() {
        let reasons = [
            Unavailable::NoDriver,
            Unavailable::MissingSymbol { name: "cuX" },
            Unavailable::DriverTooOld { version: 12_080 },
            Unavailable::NoDevice,
            Unavailable::DriverFailed(fault(999)),
            Unavailable::NoSuchDevice { ordinal: 3, count: 1 },
            Unavailable::CapabilityTooLow(Capability { major: 7, minor: 0 }),
            Unavailable::Busy(fault(46)),
            Unavailable::NoMemory(fault(2)),
            Unavailable::NoContext(fault(304)),
            Unavailable::Lost(fault(719)),
        ];
        for reason in reasons {
            assert!(reason.to_string().starts_with(reason.code()), "{reason}");
        }
        assert!(Unavailable::DriverTooOld { version: 12_080 }.to_string().contains("CUDA 12.8;"));
    }

    #[test]
    fn failures_to_start_and_to_make_a_context_are_told_apart() {
        assert_eq!(Unavailable::from_start(fault(100)), Unavailable::NoDevice);
        assert_eq!(Unavailable::from_start(fault(34)), Unavailable::NoDriver);
        assert_eq!(Unavailable::from_start(fault(999)), Unavailable::DriverFailed(fault(999)));
        assert_eq!(Unavailable::from_context(fault(46)), Unavailable::Busy(fault(46)));
        assert_eq!(Unavailable::from_context(fault(2)), Unavailable::NoMemory(fault(2)));
        assert_eq!(Unavailable::from_context(fault(719)), Unavailable::NoContext(fault(719)));
    }
}
