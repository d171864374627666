//! What the compiler made of the kernels: registers, shared memory, no stack and no spills; vector
//! loads where they are claimed; no fused multiply-add.
//!
//! Needs the build's nvcc (and nvdisasm, from `scripts/install-nvcc`); says SKIPPED without, fails with
//! `STAFFA_REQUIRE_NVCC=1`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const RESOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/resources.txt");
const OUT: &str = env!("OUT_DIR");

fn skip(why: &str) {
    assert!(std::env::var_os("STAFFA_REQUIRE_NVCC").is_none(), "STAFFA_REQUIRE_NVCC is set: {why}");
    eprintln!("SKIPPED: {why}");
}

/// The checked-in table is what ptxas says now. `STAFFA_BLESS=1` writes it.
#[test]
fn resources_are_those_of_the_table() {
    if let Err(why) = staffa_kernels::availability() {
        return skip(why);
    }
    let found = std::fs::read_to_string(Path::new(OUT).join("resources.txt")).unwrap();
    for line in found.lines().filter(|line| !line.starts_with('#')) {
        for figures in line.split(' ').skip(2) {
            let parts: Vec<&str> = figures.split(['=', '/']).collect();
            assert_eq!(parts.len(), 5, "{line}");
            assert_eq!(parts[3..], ["0", "0"], "a stack frame or spills: {line}");
        }
    }
    if std::env::var_os("STAFFA_BLESS").is_some() {
        std::fs::write(RESOURCES, &found).unwrap();
    }
    let expected = std::fs::read_to_string(RESOURCES).unwrap_or_default();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "the kernel changed: look at it, then run with STAFFA_BLESS=1");
    }
    assert_eq!(
        found.lines().count(),
        expected.lines().count(),
        "kernels came or went: run with STAFFA_BLESS=1"
    );
}

/// Mnemonics of each kernel in a cubin, in order.
fn disassemble(nvdisasm: &Path, cubin: &Path) -> BTreeMap<String, Vec<String>> {
    let run = Command::new(nvdisasm).arg("-c").arg(cubin).output().unwrap();
    assert!(run.status.success(), "{}: {}", cubin.display(), String::from_utf8_lossy(&run.stderr));
    let mut kernels = BTreeMap::new();
    let mut current = String::new();
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        if let Some(name) = line.strip_prefix(".text.").and_then(|rest| rest.strip_suffix(':')) {
            current = name.to_owned();
            kernels.insert(current.clone(), Vec::new());
        } else if let Some((_, code)) = line.split_once("*/")
            && let Some(list) = kernels.get_mut(&current)
        {
            // Behind the address: an optional predicate, the mnemonic, operands.
            let word = code.split_whitespace().find(|word| !word.starts_with('@'));
            list.extend(word.map(|word| word.trim_end_matches(';').to_owned()));
        }
    }
    kernels
}

fn nvdisasm() -> Option<PathBuf> {
    let nvcc = std::fs::read_to_string(Path::new(OUT).join("nvcc.txt")).ok()?;
    let tool = Path::new(&nvcc).with_file_name("nvdisasm");
    tool.exists().then_some(tool)
}

/// Kernels that must load, and store, 16 bytes at a time.
const VECTORS: [(&str, &str, bool); 11] = [
    ("parquet/copy", "copy_rows", true),
    ("parquet/dictionary", "dictionary_128", true),
    ("parquet/dictionary", "dictionary_128_nullable", true),
    ("parquet/dictionary", "dictionary_256", true),
    ("parquet/spans", "spans_rows", true),
    ("parquet/spans", "spans_rows_nullable", true),
    ("parquet/byte_array", "byte_array_spans", true),
    ("parquet/delta_bytes", "delta_length_spans", false),
    ("parquet/plain", "plain_64_128", false),
    ("partition/move", "partition_scatter", true),
    ("partition/move", "partition_gather", true),
];

/// Kernels in which a fused multiply-add is right, with the reason. Each rounds once where the CPU
/// rounds twice, so none may stand on the way of a value.
const FUSED: [(&str, &str); 5] = [
    ("aggregate_word_add_deviations", "x / y: the steps of a correctly rounded division"),
    ("moments_merge", "the same"),
    ("expression_interpreter_narrow", "the same; fmod"),
    ("expression_interpreter_strings", "the same"),
    ("expression_interpreter_wide", "the same"),
];

#[test]
fn vector_loads_and_no_fused_multiply_add() {
    if let Err(why) = staffa_kernels::availability() {
        return skip(why);
    }
    let Some(nvdisasm) = nvdisasm() else {
        return skip("nvdisasm is not beside nvcc: run scripts/install-nvcc");
    };
    for module in staffa_kernels::MODULES {
        for arch in [75, 90, 120] {
            let cubin = Path::new(OUT).join(format!("{}.sm_{arch}.cubin", module.name));
            let kernels = disassemble(&nvdisasm, &cubin);
            for kernel in module.kernels {
                let code = &kernels[*kernel];
                assert!(code.len() > 10, "{kernel} on sm_{arch} has no code");
                let has = |start: &str| {
                    code.iter().any(|word| word.starts_with(start) && word.contains(".128"))
                };
                if let Some((.., loads)) =
                    VECTORS.iter().find(|(file, name, _)| *file == module.name && name == kernel)
                {
                    assert!(
                        !loads || has("LDG"),
                        "{kernel} on sm_{arch} loads no 16 bytes at a time"
                    );
                    assert!(has("ST"), "{kernel} on sm_{arch} stores no 16 bytes at a time");
                }
                let fused =
                    code.iter().find(|word| ["FFMA", "DFMA"].iter().any(|f| word.starts_with(f)));
                let allowed = FUSED.iter().any(|(name, _)| name == kernel);
                assert!(fused.is_none() || allowed, "{kernel} on sm_{arch} has {fused:?}");
            }
        }
    }
}
