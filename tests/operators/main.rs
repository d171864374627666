//! The contract of each operator, held by Staffa's CPU engine. Another engine is held to it by
//! another `Engine` here.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod aggregate;
mod exchange;
mod join;
mod sort;
mod stream;

use std::future::Future;

use datafusion::common::Result;

/// Runs a contract to its end on a runtime that is left behind if it hangs.
fn hold<T>(contract: impl Future<Output = Result<T>>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let result = runtime.block_on(contract);
    runtime.shutdown_background();
    result.unwrap_or_else(|broken| panic!("{broken}"))
}

/// Holds a contract for every key type; all broken ones are told, not the first alone.
fn hold_for_key_types<F, C>(contract: F)
where
    F: Fn(arrow::datatypes::DataType) -> C,
    C: Future<Output = Result<usize>>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut broken = Vec::new();
    for data_type in staffa_testkit::contract::key_types() {
        match runtime.block_on(contract(data_type.clone())) {
            Ok(ran) => println!("{data_type}: {ran} operators ran"),
            Err(error) => broken.push(format!("{data_type}: {error}")),
        }
    }
    runtime.shutdown_background();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}
