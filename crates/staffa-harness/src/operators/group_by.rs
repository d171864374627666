//! Group-bys: kind of key x groups.

use super::Case;
use super::tables::{Column, Tables, ints, skewed, texts, uniform};

/// Few enough for registers, for a core's cache, for all cores' caches, for memory, and one a row.
const GROUPS: [usize; 5] = [4, 1_000, 100_000, 1_000_000, usize::MAX];

fn columns(kind: &str, groups: usize) -> Vec<(&'static str, Column)> {
    let key = uniform(groups);
    let text = move |row| format!("key number {:>12} of a group", key(row));
    let mut columns = match kind {
        "int" => vec![("k", ints(uniform(groups)))],
        "int-zipf" => vec![("k", ints(skewed(groups)))],
        "string" => vec![("k", texts(text))],
        _ => vec![("k", texts(text)), ("j", ints(|row| row as i64 % 3))],
    };
    columns.push(("v", ints(|row| row as i64 % 1000)));
    columns
}

pub(super) fn cases(rows: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["int", "int-zipf", "string", "string-and-int"] {
        for groups in GROUPS {
            let groups = groups.min(rows);
            let keys = if kind == "string-and-int" { "k, j" } else { "k" };
            // What comes out is counted, so that both engines hand over one row.
            let sql = format!(
                "SELECT count(*), sum(n), max(s) FROM \
                 (SELECT {keys}, count(*) AS n, sum(v) AS s FROM t GROUP BY {keys})"
            );
            let name = match groups == rows {
                true => format!("group-by/{kind}/near-unique"),
                false => format!("group-by/{kind}/{groups}"),
            };
            let tables = move || Tables::default().with("t", rows, columns(kind, groups));
            cases.push(Case::sql(name, rows, sql, tables));
        }
    }
    cases
}
