//! Launchers of the kernels that turn columns into what leaves the device.

mod strings;

pub use strings::{gather_strings, string_offsets};
