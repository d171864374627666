//! What users and dashboards match on stays put: reason codes and the words of fault classes.

use std::collections::HashSet;

use staffa_common::{FaultClass, Reason, ReasonCode, StaffaError};

#[test]
fn reason_codes_are_unique_and_stand_in_order() {
    let codes: Vec<&str> = ReasonCode::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len(), "{codes:?}");
    assert!(codes.is_sorted(), "a new code goes to the end: {codes:?}");
    for code in codes {
        let digits = code.strip_prefix('A').expect("codes begin with A");
        assert!(digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
    }
}

#[test]
fn every_meaning_is_a_sentence() {
    for reason in ReasonCode::ALL {
        let meaning = reason.meaning();
        assert!(meaning.starts_with(|c: char| c.is_uppercase()), "{reason}: {meaning}");
        assert!(meaning.ends_with('.') && !meaning.contains("  "), "{reason}: {meaning}");
    }
}

#[test]
fn the_first_codes_keep_their_meaning() {
    // A code that is out in the world is never given to another reason.
    for (reason, code) in [
        (ReasonCode::NoTwin, "A001"),
        (ReasonCode::Unbounded, "A002"),
        (ReasonCode::Volatile, "A003"),
        (ReasonCode::Source, "A007"),
        (ReasonCode::TooFewRows, "A013"),
        (ReasonCode::DataType, "A017"),
    ] {
        assert_eq!(reason.code(), code);
    }
}

#[test]
fn a_reason_reads_as_code_and_particulars() {
    let reason = Reason::new(ReasonCode::DataType, "Map");
    assert_eq!(reason.to_string(), "A017 Map");
}

#[test]
fn an_error_names_its_class() {
    let error = StaffaError::new(FaultClass::OutOfMemory, "8 GiB asked, 4 GiB left");
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    assert_eq!(error.to_string(), "staffa (out of memory): 8 GiB asked, 4 GiB left");
    assert_eq!(StaffaError::bug("x").class(), FaultClass::Bug);
    assert_eq!(StaffaError::unsupported("x").class(), FaultClass::Unsupported);
}
