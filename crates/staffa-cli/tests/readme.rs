//! Every command that the README's `sh` blocks show is run here, in a cheap form: the same words,
//! with smaller data and fewer runs. A command that this test does not know fails it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What stands for the program in the README, and is run as the binary under test.
const PROGRAMS: [&str; 2] = ["target/release/staffa", "cargo run --release --"];

/// The words that make a command expensive, and what is run instead. The order matters: `--scale 1`
/// begins `--scale 10` too.
const CHEAPER: [(&str, &str); 3] = [
    ("--scale 10", "--scale 0.01"),
    ("--scale 1", "--scale 0.01 --runs 1"),
    ("--tpch 1", "--tpch 0.01"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of all `sh` blocks, without comments.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README is there");
    let mut lines = vec![];
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        lines.extend(block.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')));
    }
    lines.into_iter().map(String::from).collect()
}

/// `line` with its program replaced by the binary under test, and with cheap figures; none if the
/// line does not run the program.
fn cheap(line: &str) -> Option<String> {
    let arguments = PROGRAMS.iter().find_map(|program| line.strip_prefix(program))?;
    let (dear, cheap) =
        CHEAPER.iter().find(|(dear, _)| arguments.contains(dear)).unwrap_or(&("", ""));
    let binary = env!("CARGO_BIN_EXE_staffa");
    Some(format!("'{binary}'{}", arguments.replacen(dear, cheap, 1)))
}

/// Runs `line` with bash in the top folder, with none of the caller's settings and files.
fn bash(line: &str) -> Output {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    std::fs::create_dir_all(&scratch).expect("a scratch folder");
    let mut command = Command::new("bash");
    command.args(["-ec", line]).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("STAFFA_") || name.starts_with("DATAFUSION_") {
            command.env_remove(name);
        }
    }
    // The rc file of the shell lies in the home folder.
    command.env("HOME", &scratch).env("STAFFA_DATA_DIR", scratch.join("data"));
    command.output().expect("bash runs")
}

#[test]
fn every_command_of_the_readme_works() {
    // Where the README has its report written; the build's own folder may lie elsewhere.
    let report = root().join("target/tpch.html");
    std::fs::create_dir_all(root().join("target")).expect("target can be made");
    if report.exists() {
        std::fs::remove_file(&report).expect("the last run's report can be removed");
    }

    let mut ran = 0;
    // `scripts/test` runs this test; tests/scripts.rs looks at what it does beside that.
    for line in commands().iter().filter(|line| *line != "scripts/test") {
        let run = cheap(line)
            .unwrap_or_else(|| panic!("the README shows a command that no test knows: {line}"));
        let output = bash(&run);
        assert!(
            output.status.success(),
            "{line}\nas {run}\n{}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands found: the README is read wrongly");
    assert!(report.exists(), "--output wrote no report");
}

#[test]
fn the_readme_names_every_subcommand() {
    let help = bash(&format!("'{}' --help", env!("CARGO_BIN_EXE_staffa")));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let listed = help.split("Commands:\n").nth(1).expect("--help lists the commands");
    let names: Vec<&str> = listed
        .lines()
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 4, "{names:?} of {help}");
    let commands = commands().join("\n");
    for name in names {
        assert!(commands.contains(&format!("staffa {name}")), "the README does not show {name}");
    }
}
