//! `staffa doctor` tells what it found, and proves that nodes run on Staffa.

use crate::common::{staffa, staffa_in, staffa_on_gpu};

#[test]
fn the_self_test_proves_that_staffa_ran() {
    let outcome = staffa(&["doctor"]);
    let (_, selftest) = outcome.stdout.split_once("\nself-test\n").unwrap();
    assert!(selftest.starts_with("  ok: 8 rows equal to DataFusion's; "), "{selftest}");
    assert!(!selftest.contains("; 0 of "), "{selftest}");
    assert_eq!(outcome.code, 0);
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let variables = [("STAFFA_MIN_ROWS", "99"), ("STAFFA_DEVICE", "cpu")];
    let text = staffa_in(std::path::Path::new("."), &["doctor"], &variables).stdout;
    let line = |key: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        line.split_whitespace().collect()
    };
    assert_eq!(line("staffa.min_rows ")[1..4], ["99", "from", "STAFFA_MIN_ROWS"]);
    assert_eq!(line("staffa.device ")[1..4], ["cpu", "from", "STAFFA_DEVICE"]);
    assert_eq!(line("staffa.enabled ")[1..3], ["true", "default"]);
}

#[test]
fn a_wrong_setting_is_reported_and_fails() {
    let variables = [("STAFFA_DEVICE", "abacus")];
    let outcome = staffa_in(std::path::Path::new("."), &["doctor"], &variables);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stdout.contains("self-test\n  not run: "), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("'abacus'"), "{}", outcome.stdout);
}

/// Without a driver, and with one whose device cannot be used, the CPU is no worse for it.
#[test]
fn no_gpu_is_no_failure() {
    let outcome = staffa(&["doctor"]);
    assert_eq!(outcome.code, 0);
    let text = &outcome.stdout;
    assert!(text.contains("engine           none, everything runs on the CPU: A015 "), "{text}");
    assert!(!text.contains("GPU ok"), "{text}");
}

/// On the emulated driver: a device, its kernels, and the proof that it runs a query; at the architecture that
/// the run is for.
#[test]
fn the_gpu_is_proved() {
    let Some(outcome) = staffa_on_gpu(&["doctor"], &[]) else { return };
    let text = &outcome.stdout;
    assert_eq!(outcome.code, 0, "{text}");
    assert!(text.contains("driver           CUDA 13."), "{text}");
    let architecture = std::env::var("STAFFA_EMULATOR_ARCH").unwrap_or("9.0".to_string());
    assert!(text.contains(&format!("compute capability {architecture}, ")), "{text}");
    assert!(text.contains("engine           gpu:0 with a budget of "), "{text}");
    assert!(text.contains("measured         ") && text.contains(" GB/s to the device, "), "{text}");
    assert!(text.contains("  GPU ok: ") && text.contains(" morsels on a GPU"), "{text}");
}

/// A device with too little memory is named with what it lacks, and the CPU is no worse for it.
#[test]
fn the_gpu_without_memory_is_left_alone() {
    let variables = [("STAFFA_EMULATOR_MEMORY_BYTES", "100000000")];
    let Some(outcome) = staffa_on_gpu(&["doctor"], &variables) else { return };
    let text = &outcome.stdout;
    assert_eq!(outcome.code, 0, "{text}");
    assert!(text.contains("A015 gpu:0 has "), "{text}");
    assert!(text.contains(" MiB free, less than the 512 MiB that are needed"), "{text}");
}
