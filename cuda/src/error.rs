//! The error of this package.

use std::fmt;

use staffa_common::{FaultClass, StaffaError};

use crate::fault::DriverFault;
use crate::unavailable::Unavailable;

/// What this package's functions return.
pub type Result<T, E = CudaError> = std::result::Result<T, E>;

/// An error of this package. Policy switches on [`CudaError::class`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum CudaError {
    /// The driver refused a call, and the context lives.
    #[error("{fault}{}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Driver {
        /// What the driver said.
        fault: DriverFault,
        /// What it was about: a kernel, an image, the compiler's log.
        detail: Option<String>,
    },
    /// The device's context is gone; `first` is the fault that ended it, whoever met it.
    #[error("gpu:{ordinal} lost its context: {first}")]
    Lost {
        /// The device.
        ordinal: u32,
        /// The first fault.
        first: DriverFault,
    },
    /// No device to work on.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A budget of ours was exceeded; the message names who holds how much.
    #[error("{0}")]
    OverBudget(String),
    /// Something is taken now and may be free later.
    #[error("{0}")]
    Busy(String),
    /// The device or driver cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// A call that breaks this package's rules.
    #[error("{0}")]
    Misuse(String),
}

impl CudaError {
    /// What policy switches on.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Driver { fault, .. } => fault.class(),
            Self::Lost { .. } => FaultClass::ContextLost,
            Self::Unavailable(Unavailable::Busy(_)) => FaultClass::Retryable,
            Self::Unavailable(Unavailable::NoMemory(_)) => FaultClass::OutOfMemory,
            Self::Unavailable(Unavailable::Lost(_)) => FaultClass::ContextLost,
            Self::Unavailable(_) | Self::Unsupported(_) => FaultClass::Unsupported,
            Self::OverBudget(_) => FaultClass::OutOfMemory,
            Self::Busy(_) => FaultClass::Retryable,
            Self::Misuse(_) => FaultClass::Bug,
        }
    }

    /// The driver's own fault, if the error has one.
    pub fn fault(&self) -> Option<DriverFault> {
        match self {
            Self::Driver { fault, .. } | Self::Lost { first: fault, .. } => Some(*fault),
            _ => None,
        }
    }

    /// The same error, saying what it was about.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Driver { fault, detail: None } => {
                Self::Driver { fault, detail: Some(what.to_string()) }
            }
            other => other,
        }
    }
}

impl From<CudaError> for StaffaError {
    fn from(error: CudaError) -> Self {
        StaffaError::new(error.class(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: u32) -> DriverFault {
        DriverFault::check("cuCall", code).expect_err("not zero")
    }

    #[test]
    fn the_class_survives_the_way_to_the_engine() {
        let cases: [(CudaError, FaultClass); 7] = [
            (CudaError::Driver { fault: fault(2), detail: None }, FaultClass::OutOfMemory),
            (CudaError::Driver { fault: fault(1), detail: None }, FaultClass::Bug),
            (CudaError::Lost { ordinal: 0, first: fault(700) }, FaultClass::ContextLost),
            (Unavailable::NoDriver.into(), FaultClass::Unsupported),
            (CudaError::OverBudget("full".into()), FaultClass::OutOfMemory),
            (CudaError::Busy("later".into()), FaultClass::Retryable),
            (CudaError::Misuse("wrong".into()), FaultClass::Bug),
        ];
        for (error, class) in cases {
            assert_eq!(StaffaError::from(error.clone()).class(), class, "{error}");
        }
    }

    #[test]
    fn a_message_says_call_name_code_and_subject() {
        let error = CudaError::Driver { fault: fault(209), detail: None }.about("image for 9.0");
        assert_eq!(error.to_string(), "cuCall failed: NO_BINARY_FOR_GPU (209): image for 9.0");
    }
}
