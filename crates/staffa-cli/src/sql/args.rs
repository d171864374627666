//! The options of `staffa sql`: those of datafusion-cli, by the same names.

use std::path::Path;

use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreMode;
use datafusion_cli::object_storage::is_stdin_location;
use datafusion_cli::pool_type::PoolType;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::MaxRows;

use crate::size;

/// Options of `staffa sql`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to run in, so that relative paths start there [default: the current one]
    #[arg(short = 'p', long, value_parser = folder)]
    pub(super) data_path: Option<String>,

    /// Rows per batch [default: DataFusion's]
    #[arg(short = 'b', long, value_parser = positive)]
    pub(super) batch_size: Option<usize>,

    /// Run these commands, then exit
    #[arg(short = 'c', long, num_args = 0.., value_parser = command)]
    pub(super) command: Vec<String>,

    /// Limit of the memory pool, e.g. 10g [default: none]
    #[arg(short = 'm', long, value_parser = size::parse)]
    pub(super) memory_limit: Option<usize>,

    /// Run the commands in these files, then exit
    #[arg(short, long, num_args = 0.., value_parser = file)]
    pub(super) file: Vec<String>,

    /// Run these files at the start of the shell instead of ~/.datafusionrc and ~/.staffarc
    #[arg(short = 'r', long, num_args = 0.., value_parser = file, conflicts_with = "file")]
    pub(super) rc: Option<Vec<String>>,

    /// How results are printed
    #[arg(long, value_enum, default_value_t = PrintFormat::Automatic)]
    pub(super) format: PrintFormat,

    /// Print results only
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// How consumers share the memory pool: greedy or fair
    #[arg(long, default_value_t = PoolType::Greedy)]
    pub(super) mem_pool_type: PoolType,

    /// Largest memory consumers named when memory runs out; 0 stops tracking them
    #[arg(long, default_value = "3")]
    pub(super) top_memory_consumers: usize,

    /// Rows shown in the table format: a number, or inf
    #[arg(long, default_value = "40")]
    pub(super) maxrows: MaxRows,

    /// Highlight syntax in the shell
    #[arg(long)]
    pub(super) color: bool,

    /// Disk space for spilling, e.g. 10g [default: DataFusion's]
    #[arg(short = 'd', long, value_parser = size::parse)]
    pub(super) disk_limit: Option<usize>,

    /// Print requests to object stores: disabled, summary or trace
    #[arg(long, default_value_t = InstrumentedObjectStoreMode::Disabled)]
    pub(super) object_store_profiling: InstrumentedObjectStoreMode,
}

impl Args {
    /// Whether SQL is read from standard input, interactively or piped.
    pub(super) fn is_shell(&self) -> bool {
        self.command.is_empty() && self.file.is_empty()
    }

    /// Whether standard input carries SQL, and so cannot be a table as well.
    pub(super) fn stdin_is_sql(&self) -> bool {
        self.is_shell() || self.file.iter().any(|path| is_stdin_location(path))
    }
}

fn folder(path: &str) -> Result<String, String> {
    let found = Path::new(path).is_dir();
    if found { Ok(path.to_string()) } else { Err(format!("no such folder: '{path}'")) }
}

/// Absolute, because `-p` changes the folder before files are read. A pipe or a device is a file
/// too: `-f /dev/stdin`.
fn file(path: &str) -> Result<String, String> {
    let given = Path::new(path);
    if !given.exists() || given.is_dir() {
        return Err(format!("no such file: '{path}'"));
    }
    let absolute = std::path::absolute(given).map_err(|error| format!("'{path}': {error}"))?;
    absolute.into_os_string().into_string().map_err(|_| format!("'{path}' is not valid UTF-8"))
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is not a number above 0")),
        Ok(number) => Ok(number),
    }
}

fn command(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("a command must not be empty".to_string())
    } else {
        Ok(text.to_string())
    }
}
