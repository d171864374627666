//! The settings, each with its value and where that comes from.

use std::fmt::Write;

use datafusion::common::config::ExtensionOptions;
use staffa::StaffaConfig;

/// A line per setting; for a configuration that cannot be read, the raw environment.
pub(super) fn describe(config: Option<&StaffaConfig>) -> String {
    let mut text = String::from("\nsettings\n");
    let entries = config.map(ExtensionOptions::entries).unwrap_or_default();
    for (key, default, documentation) in StaffaConfig::documentation() {
        let variable = variable(key);
        let raw = std::env::var(&variable).ok();
        let current = entries.iter().find(|entry| entry.key == key).and_then(|e| e.value.clone());
        let value = current.or_else(|| raw.clone()).unwrap_or(default);
        let source = match raw {
            Some(_) => format!("from {variable}"),
            None => "default".to_string(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {key:<27} {value:<10} {source:<39} {}", documentation.trim());
    }
    text
}

/// `staffa.min_rows` is set by `STAFFA_MIN_ROWS`.
fn variable(key: &str) -> String {
    key.replace('.', "_").to_ascii_uppercase()
}
