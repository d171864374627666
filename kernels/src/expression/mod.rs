//! Filter and projection by the fused tile interpreter (docs/design/expression.md).
//!
//! [`Builder`] makes a [`Program`] of typed instructions, [`mod@reference`] runs it on the host (tests use
//! it as an oracle), and the kernels of `kernels/expression/` run it on the device.

mod assemble;
mod blob;
mod builder;
mod constant;
mod decimal;
mod draft;
pub mod format;
mod launch;
mod logic;
mod operations;
mod program;
pub mod reference;
mod strings;
mod temporal;
mod types;
mod validate;

pub use builder::{Builder, Mask, OnError, Region, Value};
pub use constant::Constant;
pub use decimal::{Decimal, DecimalArithmetic};
pub use launch::{Context, InputColumn, Options, OutputColumn, Resident, Results, Selection, run};
pub use operations::{Arithmetic, Comparison};
pub use program::{BLOCK_SIZES, Input, Output, Program, SHARED_LIMIT, Variant};
pub use strings::{Find, Trim};
pub use temporal::{Field, Unit};
pub use types::Type;
