//! Errors and the class that policy switches on.

use std::fmt;

/// What kind of trouble an error is. Policy (retry, spill, fall back, give up)
/// switches on the class and never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// The engine has no implementation for what was asked; DataFusion has.
    Unsupported,
    /// The data or the query is at fault; retrying gives the same error.
    BadInput,
    /// A memory budget (host or device) was exceeded.
    OutOfMemory,
    /// A passing fault; the same work may succeed when tried again.
    Retryable,
    /// A device lost its context; everything that lived there is gone.
    ContextLost,
    /// A broken invariant of ours.
    Bug,
}

impl FaultClass {
    /// The class in lower case, as it stands in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::BadInput => "bad input",
            Self::OutOfMemory => "out of memory",
            Self::Retryable => "retryable",
            Self::ContextLost => "context lost",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of Staffa's own, with its class.
#[derive(Debug, Clone, thiserror::Error)]
#[error("staffa ({class}): {message}")]
pub struct StaffaError {
    class: FaultClass,
    message: String,
}

impl StaffaError {
    /// An error of the given class.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// A broken invariant of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Bug, message)
    }

    /// What no engine of ours does.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Unsupported, message)
    }

    /// What went wrong, without the class.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What policy switches on.
    pub fn class(&self) -> FaultClass {
        self.class
    }
}
