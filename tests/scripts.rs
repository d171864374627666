//! What the scripts do besides calling cargo: they check what they need, say what is missing, and
//! always select the whole workspace. A stand-in for cargo writes down how it was called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Programs that the scripts call, besides cargo and the C compiler.
const TOOLS: [&str; 8] = ["bash", "dirname", "sed", "awk", "sort", "head", "id", "cat"];

/// A folder with those programs, a cargo that reports `version`, and nothing else on the PATH.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// `name` sets this machine's folder apart from the other tests'.
    fn new(name: &str, version: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripts").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the last run's folder can be removed");
        }
        fs::create_dir_all(&folder).expect("a folder");
        let machine = Self { folder };
        for tool in TOOLS {
            machine.link(tool);
        }
        let calls = machine.calls_file();
        machine.script(
            "cargo",
            &format!(
                "if [ \"$1\" = --version ]; then echo 'cargo {version} (0000000 2026-01-01)'\n\
                 else printf '%s\\n' \"$*\" >>'{}'; fi",
                calls.display()
            ),
        );
        machine
    }

    /// Puts the real program `name` on this machine's PATH.
    fn link(&self, name: &str) {
        let path = std::env::var_os("PATH").expect("a PATH");
        let real = std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("{name} is installed"));
        std::os::unix::fs::symlink(real, self.folder.join(name)).expect("a link");
    }

    fn script(&self, name: &str, body: &str) {
        let file = self.folder.join(name);
        // Writing through a link would change the real program.
        if file.is_symlink() {
            fs::remove_file(&file).expect("a link can be removed");
        }
        fs::write(&file, format!("#!/usr/bin/env bash\n{body}\n")).expect("a script");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("an executable");
    }

    fn calls_file(&self) -> PathBuf {
        self.folder.join("calls")
    }

    /// How cargo was called, a line each.
    fn calls(&self) -> String {
        fs::read_to_string(self.calls_file()).unwrap_or_default()
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        Command::new(script)
            .args(arguments)
            .env("PATH", &self.folder)
            .output()
            .expect("the script starts")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_test_script_runs_the_whole_workspace_in_the_ci_profile() {
    let machine = Machine::new("all", "1.95.0");
    machine.script("cc", "cat >/dev/null");
    let output = machine.run("scripts/test", &["--test", "tpch", "--", "--nocapture"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        machine.calls(),
        "test --profile ci --workspace --no-fail-fast --test tpch -- --nocapture\n"
    );
}

#[test]
fn the_test_script_refuses_a_package() {
    for arguments in [["-p", "staffa-engine"], ["--package", "staffa"]] {
        let machine = Machine::new("package", "1.95.0");
        let output = machine.run("scripts/test", &arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("not a package"), "{}", stderr(&output));
        assert_eq!(machine.calls(), "");
    }
}

#[test]
fn an_old_rust_is_named_with_the_one_that_is_needed() {
    let machine = Machine::new("old", "1.85.1");
    let output = machine.run("scripts/test", &[]);
    assert!(!output.status.success());
    let needed = env!("CARGO_PKG_RUST_VERSION");
    let message = format!("Rust {needed} or newer is needed, this is 1.85.1");
    assert!(stderr(&output).contains(&message), "{}", stderr(&output));
    assert_eq!(machine.calls(), "");
}

#[test]
fn a_missing_c_compiler_is_named_with_its_packages() {
    let machine = Machine::new("no-cc", "1.95.0");
    let output = machine.run("scripts/test", &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("apt-get install gcc libc6-dev"), "{}", stderr(&output));
    assert_eq!(machine.calls(), "");
}

#[test]
fn root_gets_a_missing_c_compiler_installed() {
    let machine = Machine::new("install", "1.95.0");
    machine.script("id", "echo 0");
    // Installing gcc is putting `cc` into this machine's folder.
    let cc = machine.folder.join("cc");
    machine.script(
        "apt-get",
        &format!(
            "case \" $* \" in *' install '*' gcc '*) printf '#!/usr/bin/env bash\\ncat >/dev/null\\n' \
             >'{0}'; chmod +x '{0}';; esac",
            cc.display()
        ),
    );
    machine.link("chmod");
    let output = machine.run("scripts/test", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(machine.calls(), "test --profile ci --workspace --no-fail-fast\n");
}
