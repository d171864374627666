//! The expression interpreter against arrow's kernels and against the reference on the host.
//!
//! Every check runs a program three ways: on a device (an emulated one will do: scripts/with-emulated-gpu),
//! by `staffa_kernels::expression::reference`, and as the arrow kernel that DataFusion would call. Without
//! a device the first is left out, and the test says so.

mod arrays;
mod check;
mod control;
mod decimals;
mod device;
mod edge;
mod gpu;
mod launcher;
mod numbers;
mod sizes;
mod strings;
mod temporal;
