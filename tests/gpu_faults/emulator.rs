//! The controls that only the emulated driver has.

#![expect(unsafe_code, reason = "the emulated driver's controls are C functions")]

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};

use libloading::Library;

/// The driver under test.
pub(crate) struct Emulator {
    library: Library,
}

impl Emulator {
    /// Whether tests run on it; a note where they do not.
    pub(crate) fn is_there() -> bool {
        let there = std::env::var_os("STAFFA_EMULATED_KERNELS").is_some();
        if !there {
            eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
        }
        there
    }

    pub(crate) fn new() -> Self {
        // SAFETY: the driver's library, which Staffa has loaded or will load anyway.
        let library = unsafe { Library::new("libcuda.so.1") }.expect("the emulated driver");
        Self { library }
    }

    /// Replaces the fault plan; calls are counted from zero again.
    pub(crate) fn plan(&self, plan: &str) {
        let text = CString::new(plan).expect("no zero");
        // SAFETY: the signature is the emulator's; the text ends with a zero and outlives the call.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char)>("staffaEmulatorPlanFaults")
                .expect("the emulated driver")(text.as_ptr());
        }
    }

    /// The value of a counter by name.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = CString::new(name).expect("no zero");
        // SAFETY: the signature is the emulator's; the text ends with a zero and outlives the call.
        let value = unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char) -> u64>("staffaEmulatorCounter")
                .expect("the emulated driver")(text.as_ptr())
        };
        assert_ne!(value, u64::MAX, "no counter {name}");
        value
    }

    /// How often each function was called since the plan was made, named as in a fault plan.
    pub(crate) fn calls(&self) -> BTreeMap<String, usize> {
        let mut text = vec![0u8; 1 << 16];
        // SAFETY: the signature is the emulator's; it writes at most as many bytes as there are.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(*mut c_char, usize) -> usize>("staffaEmulatorCalls")
                .expect("the emulated driver")(text.as_mut_ptr().cast(), text.len());
        }
        let end = text.iter().position(|&byte| byte == 0).expect("a zero");
        let lines = std::str::from_utf8(&text[..end]).expect("text");
        let pair = |line: &str| {
            let (name, times) = line.split_once(' ').expect("a name and a number");
            (name.to_string(), times.parse().expect("a number"))
        };
        lines.lines().map(pair).collect()
    }
}
