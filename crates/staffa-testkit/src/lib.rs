//! Generators, the oracle and the contract tests (development only).
#![forbid(unsafe_code)]
