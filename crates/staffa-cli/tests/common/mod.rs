//! Runs the built binary, away from the user's own settings.

use std::path::Path;
use std::process::{Command, Output};

/// Code, standard output and standard error of one run.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `staffa` with an empty home and no settings from the environment.
pub fn staffa(arguments: &[&str]) -> Outcome {
    staffa_in(Path::new("."), arguments, &[])
}

/// The same, in `folder`, with these variables.
pub fn staffa_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_staffa"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::null());
    for (name, _) in std::env::vars() {
        let ours = name.starts_with("STAFFA_") && name != "STAFFA_DATA_DIR";
        if ours || name.starts_with("DATAFUSION_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home.path());
    command.envs(variables.iter().copied());
    outcome(command.output().unwrap())
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code().expect("killed by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
