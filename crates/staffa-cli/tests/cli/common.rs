//! Runs the built binary, away from the user's own settings.

use std::path::Path;
use std::process::{Command, Output};

/// Code, standard output and standard error of one run.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder for generated data that cargo keeps between runs: the generator's first second goes
/// into its text, at any scale.
pub(crate) const DATA: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/staffa-data");

/// Runs `staffa` with an empty home, no settings from the environment, and no GPU.
pub(crate) fn staffa(arguments: &[&str]) -> Outcome {
    staffa_in(Path::new("."), arguments, &[])
}

/// The same, in `folder`, with these variables.
pub(crate) fn staffa_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_staffa"));
    command.args(arguments).current_dir(folder).stdin(std::process::Stdio::null());
    for (name, _) in std::env::vars() {
        // How the emulated driver behaves is the run's to say: its architecture, order of work, checks.
        let kept = name == "STAFFA_DATA_DIR" || name.starts_with("STAFFA_EMULATOR_");
        let ours = name.starts_with("STAFFA_") && !kept;
        if ours || name.starts_with("DATAFUSION_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home.path());
    // No GPU, real or emulated, unless a test asks for one.
    command.env("CUDA_VISIBLE_DEVICES", "-1").env("STAFFA_EMULATOR_DEVICES", "0");
    command.envs(variables.iter().copied());
    outcome(command.output().unwrap())
}

/// The variables that let a program see the emulated driver's GPU; `None`, with a note, without that driver.
pub(crate) fn with_gpu() -> Option<Vec<(&'static str, String)>> {
    let Ok(kernels) = std::env::var("STAFFA_EMULATED_KERNELS") else {
        eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
        return None;
    };
    Some(vec![
        ("STAFFA_EMULATED_KERNELS", kernels),
        ("STAFFA_EMULATOR_DEVICES", "1".to_string()),
        ("CUDA_VISIBLE_DEVICES", "0".to_string()),
    ])
}

/// [`staffa_in`] here, on the emulated GPU, with more variables.
pub(crate) fn staffa_on_gpu(arguments: &[&str], more: &[(&str, &str)]) -> Option<Outcome> {
    let variables = with_gpu()?;
    let mut variables: Vec<_> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend(more);
    Some(staffa_in(Path::new("."), arguments, &variables))
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code().expect("killed by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
