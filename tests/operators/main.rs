//! The contract of each operator, held by Staffa's CPU engine, and by the CUDA engine where there is a
//! device and the operator has a form there.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod aggregate;
mod device;
mod exchange;
mod join;
mod rows;
mod sort;
mod stream;
mod window;

use std::fmt::Display;
use std::future::Future;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use staffa_testkit::contract;

/// Runs a contract to its end on a runtime that is left behind if it hangs.
fn hold<T>(contract: impl Future<Output = Result<T>>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let result = runtime.block_on(contract);
    runtime.shutdown_background();
    result.unwrap_or_else(|broken| panic!("{broken}"))
}

/// Holds a contract for every key type; all broken ones are told, not the first alone.
fn hold_for_key_types<F, C, T>(contract: F)
where
    F: Fn(DataType) -> C,
    C: Future<Output = Result<T>>,
    T: Display,
{
    hold_for_types(contract::key_types(), contract);
}

/// The same for some types.
fn hold_for_types<F, C, T>(types: impl IntoIterator<Item = DataType>, contract: F)
where
    F: Fn(DataType) -> C,
    C: Future<Output = Result<T>>,
    T: Display,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut broken = Vec::new();
    for data_type in types {
        match runtime.block_on(contract(data_type.clone())) {
            Ok(ran) => println!("{data_type}: {ran}"),
            Err(error) => broken.push(format!("{data_type}: {error}")),
        }
    }
    runtime.shutdown_background();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}
