//! The staffa command.
fn main() {}
