//! How nodes show themselves in EXPLAIN: as people know them, with their place after the name.

use std::fmt;

use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};

struct OneLine<'a>(&'a dyn ExecutionPlan, DisplayFormatType);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(self.1, f)
    }
}

/// Writes `original`'s own text with `place` in brackets behind its name:
/// `HashJoinExec [cpu]: mode=..`. In tree form, the place is a line of its own.
pub(crate) fn with_place(
    original: &dyn ExecutionPlan,
    place: &str,
    format: DisplayFormatType,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let text = OneLine(original, format).to_string();
    if format == DisplayFormatType::TreeRender {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return writeln!(f, "{text}{end}place={place}");
    }
    let name_ends = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_ends);
    write!(f, "{name} [{place}]{rest}")
}
