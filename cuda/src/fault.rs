//! The driver's codes, and the one place where a code gets its fault class.

use std::fmt;

use staffa_common::FaultClass;

macro_rules! codes {
    ($($code:literal $name:literal $class:ident $scope:ident;)+) => {
        /// The codes of the CUDA 13 driver: number, name, class, whether it ends the context.
        const CODES: &[(u32, &str, FaultClass, Scope)] =
            &[$(($code, $name, FaultClass::$class, Scope::$scope)),+];
    };
}

/// How far a fault reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Only the call failed.
    Call,
    /// The context is gone: every later call returns the same code ("sticky").
    Context,
}

// Sources: CUresult in the CUDA 13.0 driver API reference, which says for the codes marked Context
// that the process must end or the context be recreated before CUDA can be used again.
codes! {
    1 "INVALID_VALUE" Bug Call;
    2 "OUT_OF_MEMORY" OutOfMemory Call;
    3 "NOT_INITIALIZED" Bug Call;
    4 "DEINITIALIZED" ContextLost Context;
    34 "STUB_LIBRARY" Unsupported Call;
    36 "CALL_REQUIRES_NEWER_DRIVER" Unsupported Call;
    46 "DEVICE_UNAVAILABLE" Retryable Call;
    100 "NO_DEVICE" Unsupported Call;
    101 "INVALID_DEVICE" Unsupported Call;
    102 "DEVICE_NOT_LICENSED" Unsupported Call;
    200 "INVALID_IMAGE" Unsupported Call;
    201 "INVALID_CONTEXT" Bug Call;
    205 "MAP_FAILED" OutOfMemory Call;
    209 "NO_BINARY_FOR_GPU" Unsupported Call;
    214 "ECC_UNCORRECTABLE" ContextLost Context;
    215 "UNSUPPORTED_LIMIT" Unsupported Call;
    216 "CONTEXT_ALREADY_IN_USE" Retryable Call;
    218 "INVALID_PTX" Unsupported Call;
    220 "NVLINK_UNCORRECTABLE" ContextLost Context;
    221 "JIT_COMPILER_NOT_FOUND" Unsupported Call;
    222 "UNSUPPORTED_PTX_VERSION" Unsupported Call;
    223 "JIT_COMPILATION_DISABLED" Unsupported Call;
    226 "CONTAINED" ContextLost Context;
    227 "INSUFFICIENT_LOADER_VERSION" Unsupported Call;
    300 "INVALID_SOURCE" Unsupported Call;
    302 "SHARED_OBJECT_SYMBOL_NOT_FOUND" Unsupported Call;
    303 "SHARED_OBJECT_INIT_FAILED" Unsupported Call;
    304 "OPERATING_SYSTEM" Unsupported Call;
    400 "INVALID_HANDLE" Bug Call;
    401 "ILLEGAL_STATE" Bug Call;
    500 "NOT_FOUND" Bug Call;
    600 "NOT_READY" Retryable Call;
    700 "ILLEGAL_ADDRESS" ContextLost Context;
    701 "LAUNCH_OUT_OF_RESOURCES" Bug Call;
    702 "LAUNCH_TIMEOUT" ContextLost Context;
    708 "PRIMARY_CONTEXT_ACTIVE" Bug Call;
    709 "CONTEXT_IS_DESTROYED" ContextLost Context;
    710 "ASSERT" ContextLost Context;
    712 "HOST_MEMORY_ALREADY_REGISTERED" Bug Call;
    713 "HOST_MEMORY_NOT_REGISTERED" Bug Call;
    714 "HARDWARE_STACK_ERROR" ContextLost Context;
    715 "ILLEGAL_INSTRUCTION" ContextLost Context;
    716 "MISALIGNED_ADDRESS" ContextLost Context;
    717 "INVALID_ADDRESS_SPACE" ContextLost Context;
    718 "INVALID_PC" ContextLost Context;
    719 "LAUNCH_FAILED" ContextLost Context;
    720 "COOPERATIVE_LAUNCH_TOO_LARGE" Bug Call;
    721 "TENSOR_MEMORY_LEAK" ContextLost Context;
    800 "NOT_PERMITTED" Unsupported Call;
    801 "NOT_SUPPORTED" Unsupported Call;
    802 "SYSTEM_NOT_READY" Retryable Call;
    803 "SYSTEM_DRIVER_MISMATCH" Unsupported Call;
    804 "COMPAT_NOT_SUPPORTED_ON_DEVICE" Unsupported Call;
    805 "MPS_CONNECTION_FAILED" Unsupported Call;
    806 "MPS_RPC_FAILURE" ContextLost Context;
    807 "MPS_SERVER_NOT_READY" Retryable Call;
    808 "MPS_MAX_CLIENTS_REACHED" Retryable Call;
    809 "MPS_MAX_CONNECTIONS_REACHED" Retryable Call;
    810 "MPS_CLIENT_TERMINATED" ContextLost Context;
    900 "STREAM_CAPTURE_UNSUPPORTED" Bug Call;
    901 "STREAM_CAPTURE_INVALIDATED" Bug Call;
    905 "STREAM_CAPTURE_ISOLATION" Bug Call;
    906 "STREAM_CAPTURE_IMPLICIT" Bug Call;
    909 "TIMEOUT" Retryable Call;
    911 "EXTERNAL_DEVICE" ContextLost Context;
    999 "UNKNOWN" ContextLost Context;
}

/// A code that the driver returned, and from which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverFault {
    call: &'static str,
    code: u32,
}

impl DriverFault {
    /// `Ok` for code 0.
    pub(crate) fn check(call: &'static str, code: u32) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self { call, code }) }
    }

    fn row(self) -> Option<&'static (u32, &'static str, FaultClass, Scope)> {
        CODES.iter().find(|row| row.0 == self.code)
    }

    /// The driver's function.
    pub fn call(self) -> &'static str {
        self.call
    }

    /// The driver's number, e.g. 700.
    pub fn code(self) -> u32 {
        self.code
    }

    /// The driver's name without `CUDA_ERROR_`, or `UNLISTED`.
    pub fn name(self) -> &'static str {
        self.row().map_or("UNLISTED", |row| row.1)
    }

    /// The class. A code that is not listed (a newer driver's) counts as a lost context: the query
    /// then goes on without the device, where calling it a bug would fail the query.
    pub fn class(self) -> FaultClass {
        self.row().map_or(FaultClass::ContextLost, |row| row.2)
    }

    /// Whether the context is gone with it.
    pub fn ends_context(self) -> bool {
        self.row().is_none_or(|row| row.3 == Scope::Context)
    }
}

impl DriverFault {
    /// Whether nothing that was queued runs after it, by what CUDA says of the code. Of a code that says
    /// nothing (999, or one that is not listed) we only assume the worst, which goes both ways.
    pub(crate) fn ends_work(self) -> bool {
        const UNKNOWN: u32 = 999;
        self.code != UNKNOWN && self.row().is_some_and(|row| row.3 == Scope::Context)
    }
}

impl fmt::Display for DriverFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {} ({})", self.call, self.name(), self.code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn fault(code: u32) -> DriverFault {
        DriverFault::check("cuCall", code).expect_err("not zero")
    }

    #[test]
    fn zero_is_no_fault() {
        assert!(DriverFault::check("cuCall", 0).is_ok());
    }

    #[test]
    fn codes_are_listed_once_and_in_order() {
        let numbers: Vec<u32> = CODES.iter().map(|row| row.0).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        let names: BTreeSet<_> = CODES.iter().map(|row| row.1).collect();
        assert_eq!(names.len(), CODES.len());
    }

    #[test]
    fn exactly_the_codes_that_end_a_context_are_context_lost() {
        for row in CODES {
            assert_eq!(row.2 == FaultClass::ContextLost, row.3 == Scope::Context, "{}", row.1);
            assert_eq!(fault(row.0).class(), row.2);
            assert_eq!(fault(row.0).name(), row.1);
        }
        let lost: Vec<u32> =
            CODES.iter().filter(|row| row.3 == Scope::Context).map(|row| row.0).collect();
        let expected = [
            4, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 806, 810, 911,
            999,
        ];
        assert_eq!(lost, expected);
    }

    /// The numbers and names are compared with cudarc's, so that a slip of the pen shows.
    #[test]
    fn numbers_match_the_bindings() {
        use cudarc::driver::sys::CUresult as R;
        let pairs = [
            (R::CUDA_ERROR_INVALID_VALUE, "INVALID_VALUE"),
            (R::CUDA_ERROR_OUT_OF_MEMORY, "OUT_OF_MEMORY"),
            (R::CUDA_ERROR_DEVICE_UNAVAILABLE, "DEVICE_UNAVAILABLE"),
            (R::CUDA_ERROR_NO_DEVICE, "NO_DEVICE"),
            (R::CUDA_ERROR_NO_BINARY_FOR_GPU, "NO_BINARY_FOR_GPU"),
            (R::CUDA_ERROR_ECC_UNCORRECTABLE, "ECC_UNCORRECTABLE"),
            (R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "UNSUPPORTED_PTX_VERSION"),
            (R::CUDA_ERROR_CONTAINED, "CONTAINED"),
            (R::CUDA_ERROR_OPERATING_SYSTEM, "OPERATING_SYSTEM"),
            (R::CUDA_ERROR_NOT_READY, "NOT_READY"),
            (R::CUDA_ERROR_ILLEGAL_ADDRESS, "ILLEGAL_ADDRESS"),
            (R::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "LAUNCH_OUT_OF_RESOURCES"),
            (R::CUDA_ERROR_LAUNCH_TIMEOUT, "LAUNCH_TIMEOUT"),
            (R::CUDA_ERROR_CONTEXT_IS_DESTROYED, "CONTEXT_IS_DESTROYED"),
            (R::CUDA_ERROR_ASSERT, "ASSERT"),
            (R::CUDA_ERROR_HARDWARE_STACK_ERROR, "HARDWARE_STACK_ERROR"),
            (R::CUDA_ERROR_ILLEGAL_INSTRUCTION, "ILLEGAL_INSTRUCTION"),
            (R::CUDA_ERROR_MISALIGNED_ADDRESS, "MISALIGNED_ADDRESS"),
            (R::CUDA_ERROR_INVALID_PC, "INVALID_PC"),
            (R::CUDA_ERROR_LAUNCH_FAILED, "LAUNCH_FAILED"),
            (R::CUDA_ERROR_MPS_RPC_FAILURE, "MPS_RPC_FAILURE"),
            (R::CUDA_ERROR_UNKNOWN, "UNKNOWN"),
        ];
        for (number, name) in pairs {
            assert_eq!(fault(number as u32).name(), name);
        }
    }

    #[test]
    fn a_code_that_says_nothing_does_not_say_that_work_has_ended() {
        for (code, ends) in [(700, true), (709, true), (719, true), (999, false), (54_321, false)] {
            assert_eq!(fault(code).ends_work(), ends, "{code}");
            assert!(fault(code).ends_context(), "{code}");
        }
        assert!(!fault(2).ends_work());
    }

    #[test]
    fn an_unlisted_code_ends_the_context_and_not_the_query() {
        let newer = fault(54_321);
        assert!(newer.ends_context());
        assert_eq!(newer.class(), FaultClass::ContextLost);
        assert_eq!(newer.to_string(), "cuCall failed: UNLISTED (54321)");
    }
}
