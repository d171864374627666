//! Differences of schema.

use super::Answer;

/// One line per difference; empty when both answers have the same columns.
pub(super) fn differences(left: &Answer, right: &Answer) -> Vec<String> {
    let mut found = vec![];
    let (l, r) = (left.schema.fields(), right.schema.fields());
    if l.len() != r.len() {
        found.push(format!("{} columns against {}", l.len(), r.len()));
        return found;
    }
    for (index, (a, b)) in l.iter().zip(r).enumerate() {
        if a.name() != b.name() {
            found.push(format!("column {index} is named '{}' against '{}'", a.name(), b.name()));
        }
        if a.data_type() != b.data_type() {
            let (name, a, b) = (a.name(), a.data_type(), b.data_type());
            found.push(format!("column '{name}' has type {a} against {b}"));
        } else if a.is_nullable() != b.is_nullable() {
            let word = |nullable| if nullable { "nullable" } else { "not nullable" };
            let (name, a, b) = (a.name(), word(a.is_nullable()), word(b.is_nullable()));
            found.push(format!("column '{name}' is {a} against {b}"));
        }
    }
    found.extend([("left", left), ("right", right)].into_iter().filter_map(own_difference));
    found
}

/// Batches whose types are not those that the answer's schema declares.
fn own_difference((side, answer): (&str, &Answer)) -> Option<String> {
    answer.batches.iter().find_map(|batch| {
        let schema = batch.schema();
        let (has, says) = (schema.fields(), answer.schema.fields());
        if has.len() != says.len() {
            return Some(format!("{side}: a batch has {} columns, not {}", has.len(), says.len()));
        }
        has.iter().zip(says).find(|(has, says)| has.data_type() != says.data_type()).map(
            |(has, says)| {
                let (name, has, says) = (says.name(), has.data_type(), says.data_type());
                format!("{side}: column '{name}' is declared as {says} and comes as {has}")
            },
        )
    })
}
