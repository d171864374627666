//! The `staffa` command: `sql`, `bench`, `verify`, `doctor`.
//!
//! Exit codes: 0 for success, 1 for an error, a different answer or a failed self-test, 2 for a
//! command line that makes no sense.
#![forbid(unsafe_code)]

mod bench;
mod doctor;
mod files;
mod operators;
mod output;
mod size;
mod sql;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datafusion::common::Result;
use mimalloc::MiMalloc;

/// The allocator of datafusion-cli too, so that a comparison is not one of allocators.
#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

/// Version of Staffa and of the DataFusion inside.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (DataFusion 55.2)");

/// Apache DataFusion, accelerated.
#[derive(Debug, Parser)]
#[command(
    name = "staffa",
    version = VERSION,
    after_help = "Exit codes: 0 success; 1 an error, a different answer or a failed self-test; \
                  2 a bad command line.\nSettings: SET staffa.<key> in SQL, or STAFFA_<KEY> in the \
                  environment; `staffa doctor` lists them."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run SQL: a shell, or commands and files (everything datafusion-cli does, accelerated)
    Sql(Box<sql::Args>),
    /// Time a workload on several engines side by side, and compare their answers
    Bench(bench::Args),
    /// Run a query with and without Staffa, and show where the answers differ
    Verify(verify::Args),
    /// Show what this machine offers, the settings, and whether a small query is accelerated
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    env_logger::init();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    // A query that was given up may still sit in a blocking call; nothing waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// True for success; false when the command itself has already said what went wrong.
async fn run(command: Command) -> Result<bool> {
    match command {
        Command::Sql(args) => sql::run(*args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
    }
}
