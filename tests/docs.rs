//! The written pages agree with the code: what is generated is current, and what is named exists.
//!
//! `STAFFA_BLESS=1 scripts/test --test docs` writes the generated pages anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use staffa::{ReasonCode, StaffaConfig};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `expected` with the page at `path`, or writes it there under `STAFFA_BLESS=1`.
fn assert_current(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("STAFFA_BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("a page lies in a folder")).expect("a folder");
        fs::write(&file, expected).expect("the page can be written");
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{path} is not what the code says; run: STAFFA_BLESS=1 scripts/test --test docs"
    );
}

/// One table cell: no line breaks, and no bar that would end the cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[test]
fn the_settings_page_is_current() {
    let mut page = String::from(
        "# Settings\n\n\
         Generated from `StaffaConfig`: change its doc comments, then run \
         `STAFFA_BLESS=1 scripts/test --test docs`.\n\n\
         Set for a session with `SET staffa.name = value`, or for a process with the environment \
         variable. SQL wins over the environment.\n\n\
         | setting | environment | default | what it does |\n|---|---|---|---|\n",
    );
    let settings = StaffaConfig::documentation();
    assert!(settings.len() <= 30, "a user can't know more than 30 settings");
    for (key, default, text) in settings {
        let variable = key.replace('.', "_").to_uppercase();
        writeln!(page, "| `{key}` | `{variable}` | `{default}` | {} |", cell(text)).unwrap();
    }
    assert_current("docs/reference/settings.md", &page);
}

#[test]
fn the_reasons_page_is_current() {
    let mut page = String::from(
        "# Reason codes\n\n\
         Generated from `ReasonCode`: change its doc comments, then run \
         `STAFFA_BLESS=1 scripts/test --test docs`.\n\n\
         A node that stays with DataFusion carries one of these in `EXPLAIN`, with the particulars \
         behind it. A code keeps its meaning; a code that is no longer needed is not given again.\n\n\
         | code | name | meaning |\n|---|---|---|\n",
    );
    for reason in ReasonCode::ALL {
        writeln!(page, "| {reason} | `{reason:?}` | {} |", cell(reason.meaning())).unwrap();
    }
    assert_current("docs/reference/reasons.md", &page);
}

/// Every page that people read: the top folder's, and all below docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("docs can be listed") {
            let path = entry.expect("an entry of docs").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    pages
}

/// What stands between `open` and `close`, for every `open` in `text`.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split(close).next()).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        let folder = page.parent().expect("a page lies in a folder");
        for link in between(&text, "](", ')') {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{}: dead link {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} links found: the pages are read wrongly");
}

#[test]
fn paths_that_pages_name_exist() {
    const FOLDERS: [&str; 6] = ["crates/", "scripts/", "tests/", "docs/", "src/", ".ci/"];
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        for word in text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace) {
            let names_a_place = FOLDERS.iter().any(|folder| word.starts_with(folder));
            // `join/*.rs`, `{cpu,cuda}` and `NAME` stand for many files.
            let is_a_pattern = word.contains(['*', '{', '<', '…']);
            if names_a_place && !is_a_pattern {
                assert!(root().join(word).exists(), "{} names {word}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "only {checked} paths found: the pages are read wrongly");
}
