//! `staffa doctor` tells what it found, and proves that nodes run on Staffa.

use crate::common::{staffa, staffa_in};

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
    assert!(text.contains("this build has no CUDA engine yet"), "{text}");
}

#[test]
fn a_wrong_setting_is_reported_and_fails() {
    let variables = [("STAFFA_DEVICE", "abacus")];
    let outcome = staffa_in(std::path::Path::new("."), &["doctor"], &variables);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stdout.contains("self-test\n  not run: "), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("'abacus'"), "{}", outcome.stdout);
}
