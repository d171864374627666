//! `staffa sql`: datafusion-cli with Staffa in its session.

mod args;
mod session;

use std::path::PathBuf;

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use datafusion_cli::exec;
use datafusion_cli::print_options::PrintOptions;

pub(crate) use args::Args;

/// Runs what the options ask for; false when a statement of a file failed.
pub(crate) async fn run(args: Args) -> Result<bool> {
    if !args.quiet {
        crate::output::print(&format!("Staffa {}\n", crate::VERSION))?;
    }
    if let Some(folder) = &args.data_path {
        std::env::set_current_dir(folder)?;
    }
    let (ctx, registry) = session::open(&args).await?;
    let mut print_options = PrintOptions {
        format: args.format,
        quiet: args.quiet,
        maxrows: args.maxrows,
        color: args.color,
        instrumented_registry: registry,
    };
    if args.is_shell() {
        let startup = args.rc.unwrap_or_else(rc_files);
        let ok = run_files(&ctx, &startup, &print_options).await?;
        let shell = exec::exec_from_repl(&ctx, &mut print_options).await;
        return shell.map(|()| ok).map_err(|error| DataFusionError::External(Box::new(error)));
    }
    let ok = run_files(&ctx, &args.file, &print_options).await?;
    exec::exec_from_commands(&ctx, args.command, &print_options).await?;
    Ok(ok)
}

/// `.datafusionrc` and `.staffarc` of the home folder, as far as they exist.
fn rc_files() -> Vec<String> {
    let home: Option<PathBuf> = std::env::home_dir();
    let names = [".datafusionrc", ".staffarc"];
    let paths = home.iter().flat_map(|home| names.map(|name| home.join(name)));
    paths.filter(|p| p.is_file()).filter_map(|p| p.into_os_string().into_string().ok()).collect()
}

/// Runs the statements of each file. As in datafusion-cli, one ends with a line that ends with a
/// semicolon, and an error is printed and the next statement runs; unlike there, the failure is
/// remembered for the exit code.
async fn run_files(ctx: &SessionContext, paths: &[String], print: &PrintOptions) -> Result<bool> {
    let mut ok = true;
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|error| {
            DataFusionError::Configuration(format!("cannot read '{path}': {error}"))
        })?;
        for statement in statements(&text) {
            if let Err(error) = exec::exec_from_commands(ctx, vec![statement], print).await {
                eprintln!("{path}: {error}");
                ok = false;
            }
        }
    }
    Ok(ok)
}

fn statements(text: &str) -> Vec<String> {
    let mut statements = vec![];
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.starts_with("#!") && !line.starts_with("--")) {
        let line = line.trim_end();
        current.push_str(line);
        current.push('\n');
        if line.ends_with(';') {
            statements.push(std::mem::take(&mut current));
        }
    }
    statements.push(current);
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn files_split_at_lines_that_end_with_a_semicolon() {
        let text =
            "#!staffa\n-- a comment; here\nSELECT 1,\n  ';' AS a;\n\nSELECT 2; SELECT 3;\nSELECT 4";
        assert_eq!(
            statements(text),
            ["SELECT 1,\n  ';' AS a;\n", "\nSELECT 2; SELECT 3;\n", "SELECT 4\n"]
        );
        assert!(statements("\n\n-- nothing\n").is_empty());
    }
}
