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

/// What scripts/gpu-suite.sh may use: bash, python3 and these of coreutils.
const COREUTILS: [&str; 10] =
    ["cat", "date", "dirname", "mkdir", "mktemp", "realpath", "rm", "sleep", "timeout", "uname"];

/// A machine with those, and no Rust; `None` (and a note) where this one has no python3.
fn gpu_machine(name: &str) -> Option<Machine> {
    let machine = Machine::new(name, "none");
    fs::remove_file(machine.folder.join("cargo")).expect("a file");
    for tool in TOOLS.iter().filter(|tool| !["bash", "cat", "dirname"].contains(*tool)) {
        fs::remove_file(machine.folder.join(tool)).expect("a link");
    }
    for tool in COREUTILS.iter().filter(|tool| !machine.folder.join(tool).exists()) {
        machine.link(tool);
    }
    // The interpreter itself: what is on the PATH may be a wrapper that needs more of the PATH.
    let ask = ["-c", "import lzma, sys; print(sys.executable)"];
    let python = Command::new("python3").args(ask).output().ok().filter(|o| o.status.success());
    let Some(python) = python else {
        eprintln!("SKIPPED: no python3 with lzma");
        return None;
    };
    let python = String::from_utf8_lossy(&python.stdout).trim().to_string();
    machine.script("python3", &format!("exec '{python}' \"$@\""));
    Some(machine)
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

#[test]
fn the_gpu_suite_refuses_what_makes_no_sense() {
    let Some(machine) = gpu_machine("gpu-suite-usage") else { return };
    for (arguments, message) in [
        (&["--part", "doctor,speed"][..], "no part 'speed'; there are: doctor tests"),
        (&["--parts", "doctor"], "no option '--parts'"),
        (&["--scale"], "--scale needs a value"),
        (&["--scale", "ten"], "--scale takes a number"),
        (&["--timeout", "1h"], "--timeout takes whole seconds"),
        (&["--part", "doctor"], "no binaries"),
        (&["no-such-file"], "no-such-file is not a program"),
    ] {
        let output = machine.run("scripts/gpu-suite.sh", arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
    let output = machine.run("scripts/gpu-suite.sh", &["--help"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("--timeout SECONDS"));
}

#[test]
fn the_gpu_suite_goes_on_after_a_failed_part() {
    let Some(machine) = gpu_machine("gpu-suite") else { return };
    machine.script("staffa", "echo '  GPU ok: a stand-in'; [ \"$1\" = doctor ]");
    machine.script(
        "stream-0123456789abcdef",
        "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured'; [ \"$STAFFA_REQUIRE_GPU\" = 1 ]",
    );
    machine.script("parquet", "exec sleep 60");
    machine.script(
        "bench",
        "echo 'device copy   100.0  1000.0  99999%'; echo 'levels (of 4-byte values)   9.9  250.0  25%'",
    );
    let csv = [
        r#""ID","Kernel Name","gpu__time_duration.sum","dram__throughput.avg.pct_of_peak""#,
        r#""","","us","%""#,
        r#""0","levels_index(Args)","2.0","40.5""#,
        r#""1","levels_index(Args)","1,004.0","59.5""#,
    ];
    machine.script("ncu", &format!("echo ==PROF== on\nprintf '%s\\n' '{}'", csv.join("' '")));
    let file = |name: &str| machine.folder.join(name).display().to_string();
    let out = file("out");
    let run = |more: &[&str]| {
        let staffa = file("staffa");
        let first = ["--out", &out, "--staffa", &staffa, "--commit", "abc", "--timeout", "5"];
        let output = machine.run("scripts/gpu-suite.sh", &[&first, more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };

    let (code, report) =
        run(&["--bench", &file("bench"), &file("stream-0123456789abcdef"), &file("parquet")]);
    assert_eq!(code, Some(1), "{report}");
    for line in [
        "# GPU suite of abc",
        "| doctor | passed |",
        "| stream | 3 | 0 | 1 |",
        "parquet: ran past the part's time limit",
        "| memcheck | not run | 0.0 | compute-sanitizer is not installed |",
        "| levels (of 4-byte values) | 9.9 | 250.0 | 0.25 |",
        "| counters | passed | 0.0 | 1 kernels |",
        "| kernel | launches | time (us) | memory (%) |",
        "| levels_index | 2 | 503.0 | 50.0 |",
        "| tpch | FAILED | 0.0 | tpch: exit code 1; no figures were written |",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    // A part without its binary proves nothing.
    let (code, report) = run(&["--part", "doctor,kernels"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("| kernels | FAILED | 0.0 | no bench binary was given |"), "{report}");
    let (code, report) = run(&["--part", "doctor,tests", &file("stream-0123456789abcdef")]);
    assert_eq!(code, Some(0), "{report}");
    // Counters that only administrators may read are no failure; whatever else ncu says is one.
    machine.script("ncu", "echo '==ERROR== ERR_NVGPUCTRPERM - no permission'; exit 1");
    let (code, report) = run(&["--part", "counters", "--bench", &file("bench")]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("| counters | not run | 0.0 | this user may not read"), "{report}");
    machine.script("ncu", "echo '==ERROR== no kernels were profiled'");
    let (code, report) = run(&["--part", "counters", "--bench", &file("bench")]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("no kernel was counted"), "{report}");
}

/// The operators' contracts are packed, and of them those run that a device holds.
#[test]
fn the_gpu_suite_holds_the_operators_contracts() {
    let Some(machine) = gpu_machine("gpu-suite-operators") else { return };
    machine.script(
        "operators-0123456789abcdef",
        "case \" $* \" in *' device:: '*) echo 'test result: ok. 7 passed; 0 failed; 0 ignored';; esac",
    );
    let out = machine.folder.join("out").display().to_string();
    let test = machine.folder.join("operators-0123456789abcdef").display().to_string();
    let output = machine.run("scripts/gpu-suite.sh", &["--out", &out, "--part", "tests", &test]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("| operators | 7 | 0 | 0 |"), "{report}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("a script");
    let packed = read("scripts/lib/gpu_suite_pack.py");
    for target in ["tests/operators/main.rs", "tests/gpu/main.rs", "crates/staffa-cli/src/main.rs"]
    {
        assert!(packed.contains(&format!("(\"{target}\", ")), "{target}");
        assert!(root.join(target).exists(), "{target}");
    }
    assert!(read("scripts/gpu-suite-pack").contains(" operators; do"));
}

/// Another Python than the PATH's writes the files, and what is only half there goes when that fails.
#[test]
fn the_matrix_of_other_writers_leaves_nothing_behind() {
    let machine = Machine::new("parquet-matrix", "1.95.0");
    for tool in ["mkdir", "mktemp", "rm", "mv", "cksum", "cut", "basename"] {
        machine.link(tool);
    }
    let python = "case \"$*\" in '-m pip --version' | --version) echo 'Python 3.9';; \
                  *install*) ;; *) echo half >\"${!#}/a.parquet\"; exit 1;; esac";
    machine.script("python-of-ours", python);
    let target = machine.folder.join("target");
    let run = |python: &str| {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/parquet-matrix"))
            .env("PATH", &machine.folder)
            .env("CARGO_TARGET_DIR", &target)
            .env("PYTHON", python)
            .output()
            .expect("the script starts")
    };
    let output = run("");
    assert!(stderr(&output).contains("python3 with pip is needed"), "{}", stderr(&output));
    let output = run("python-of-ours");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let mut left: Vec<String> = fs::read_dir(target.join("parquet-matrix"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.retain(|name| !name.starts_with("python-"));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(machine.calls(), "");
}

#[test]
fn the_gpu_suite_is_not_packed_over_something_else() {
    let machine = Machine::new("gpu-suite-pack", "1.95.0");
    let folder = machine.folder.display().to_string();
    for (arguments, message) in [
        (&["--out", "x"][..], "no option '--out'"),
        (&["a", "b"], "one folder, not 2"),
        (&[folder.as_str()], "holds something else"),
    ] {
        let output = machine.run("scripts/gpu-suite-pack", arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(machine.calls(), "");
}

#[test]
fn the_tpcds_script_says_what_it_needs() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripts/tpcds-data/data");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tpcds-data");
    // -S and -E: none of this machine's packages, so no duckdb.
    let output = Command::new("python3")
        .args(["-S", "-E"])
        .arg(script)
        .args(["--scale", "0.01", "--data-dir"])
        .arg(&out)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: no python3");
        return;
    };
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("pip install duckdb==1.5.5 duckdb-extension-tpcds==1.5.5"),
        "{message}"
    );
    assert!(!out.exists(), "nothing is left where there is no DuckDB");
}
