//! Engines that are Python packages: DuckDB and Polars.
//!
//! Each runs in a `python3` process of its own that a driver of ours (`driver.py`, part of this
//! program) makes answer line by line. The time is the driver's clock, from the SQL text to the
//! answer in Arrow memory, so that what passes between the processes is not counted. The answer
//! that is compared comes back as an Arrow IPC file.

mod process;
mod protocol;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::time::Duration;

use arrow::ipc::reader::FileReader;
use tempfile::TempDir;

use crate::compare::Answer;
use crate::engine::{Engine, SessionOptions};
use crate::machine::cores;
use crate::workload::Workload;
use process::{Process, shown};
use protocol::{Reply, Request, TablePath};

const DRIVER: &str = include_str!("driver.py");

/// How the engines in Python are run.
#[derive(Debug, Clone)]
pub struct PythonOptions {
    /// The interpreter.
    pub program: OsString,
    /// For one run of a query, and for loading the engine.
    pub limit: Duration,
}

impl Default for PythonOptions {
    /// `STAFFA_PYTHON`, else `python3`; five minutes.
    fn default() -> Self {
        let program = std::env::var_os("STAFFA_PYTHON").unwrap_or_else(|| "python3".into());
        Self { program, limit: Duration::from_secs(300) }
    }
}

/// Why an engine cannot be had, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// From the SQL text to the answer.
    pub elapsed: Duration,
    /// Rows of the answer.
    pub rows: usize,
}

/// An engine with the tables of a workload.
pub struct PythonEngine {
    engine: Engine,
    options: PythonOptions,
    threads: usize,
    memory_bytes: Option<usize>,
    tables: Vec<TablePath>,
    version: String,
    /// None after a fault: the next run starts another.
    process: Option<Process>,
    /// For answers on their way back.
    folder: TempDir,
}

impl PythonEngine {
    /// Starts the engine and makes it know the workload's tables.
    ///
    /// # Errors
    /// No interpreter, no package, or whatever the engine says of the tables.
    pub fn open(
        engine: Engine,
        workload: &Workload,
        session: &SessionOptions,
        options: &PythonOptions,
    ) -> Result<Self, Unavailable> {
        let why = |what: String| Unavailable(format!("engine '{engine}': {what}"));
        let path = |table: &crate::workload::TableFiles| {
            let path = table.path.to_str().ok_or("a table's path is not valid UTF-8")?;
            Ok(TablePath { name: table.name.clone(), path: path.to_string() })
        };
        let tables: Result<_, &str> = workload.tables.iter().map(path).collect();
        let folder = tempfile::tempdir().map_err(|e| why(format!("no temporary folder: {e}")))?;
        let mut opened = Self {
            engine,
            options: options.clone(),
            threads: session.target_partitions.unwrap_or_else(cores),
            memory_bytes: session.memory_limit_bytes,
            tables: tables.map_err(|e| why(e.to_string()))?,
            version: String::new(),
            process: None,
            folder,
        };
        opened.start().map_err(why)?;
        Ok(opened)
    }

    /// Which.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The package's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs a query; its answer is dropped.
    ///
    /// # Errors
    /// What the engine raises (its first line), or that it is gone; the next run starts it again.
    pub fn run(&mut self, sql: &str) -> Result<Timed, String> {
        self.time(sql, None)
    }

    /// Runs a query and brings its answer; the second result says why it cannot be read.
    ///
    /// # Errors
    /// As of [`PythonEngine::run`].
    pub fn answer(&mut self, sql: &str) -> Result<(Timed, Result<Answer, String>), String> {
        let path = self.folder.path().join("answer.arrow");
        let name = path.to_str().ok_or("the temporary folder's path is not valid UTF-8")?;
        let timed = self.time(sql, Some(name))?;
        let answer = read(&path).map_err(|error| format!("its answer cannot be read: {error}"));
        // The folder goes in the end in any case.
        let _ = std::fs::remove_file(&path);
        Ok((timed, answer))
    }

    fn time(&mut self, sql: &str, result: Option<&str>) -> Result<Timed, String> {
        if self.process.is_none() {
            self.start()?;
        }
        match self.ask(&Request::Run { sql, result })? {
            Reply::Ran { seconds, rows } => match Duration::try_from_secs_f64(seconds) {
                Ok(elapsed) => Ok(Timed { elapsed, rows }),
                Err(_) => Err(self.nonsense(&format!("{seconds} seconds"))),
            },
            Reply::Error { error } => Err(first_line(&error)),
            Reply::Missing { missing } => Err(self.how_to_get(&missing)),
            Reply::Ready { .. } => Err(self.nonsense("it is ready, instead of a time")),
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let process = Process::start(&self.options.program, &["-c", DRIVER]).map_err(|error| {
            format!("{error}; install Python 3, or name it by --python or STAFFA_PYTHON")
        })?;
        self.process = Some(process);
        let tables = std::mem::take(&mut self.tables);
        let reply = self.ask(&Request::Open {
            engine: self.engine.name(),
            threads: self.threads,
            memory_bytes: self.memory_bytes,
            tables: &tables,
        });
        self.tables = tables;
        let fault = match reply? {
            Reply::Ready { version } => {
                self.version = version;
                return Ok(());
            }
            Reply::Missing { missing } => self.how_to_get(&missing),
            Reply::Error { error } => first_line(&error),
            Reply::Ran { .. } => self.nonsense("a time, instead of its version"),
        };
        self.process = None;
        Err(fault)
    }

    /// Asks the running process; after a fault it is gone.
    fn ask(&mut self, request: &Request<'_>) -> Result<Reply, String> {
        let Some(process) = &mut self.process else {
            return Err("its process is not there".to_string());
        };
        let question = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let answer = process.ask(&question, self.options.limit).inspect_err(|_| {
            self.process = None;
        })?;
        serde_json::from_str(&answer).map_err(|_| self.nonsense(&shown(&answer)))
    }

    /// Ends a process that does not keep to the protocol.
    fn nonsense(&mut self, said: &str) -> String {
        self.process = None;
        format!("its process answered with something unexpected: {said}")
    }

    fn how_to_get(&self, missing: &str) -> String {
        let packages = if self.engine == Engine::DuckDb { "duckdb pyarrow" } else { "polars" };
        format!(
            "{} for '{}'; get it with: pip install {packages}",
            first_line(missing),
            self.options.program.display()
        )
    }
}

fn first_line(text: &str) -> String {
    shown(text.lines().find(|line| !line.trim().is_empty()).unwrap_or("an error with no message"))
}

fn read(path: &std::path::Path) -> Result<Answer, arrow::error::ArrowError> {
    let reader = FileReader::try_new(File::open(path)?, None)?;
    let schema = reader.schema();
    Ok(Answer { schema, batches: reader.collect::<Result<_, _>>()? })
}
