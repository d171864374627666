//! Sorts and top-K.

use super::Case;
use super::tables::{Tables, ints, texts, uniform};

pub(super) fn cases(rows: usize) -> Vec<Case> {
    let tables = move || {
        let number = uniform(rows);
        Tables::default().with(
            "t",
            rows,
            vec![
                ("k", ints(uniform(1 << 40))),
                ("few", ints(uniform(100))),
                ("s", texts(move |row| format!("value {:>10} in order", number(row)))),
                ("v", ints(|row| row as i64)),
            ],
        )
    };
    let cases = [
        ("int", "k"),
        ("string", "s"),
        ("two-keys", "few DESC, k"),
        ("top-10", "k LIMIT 10"),
        ("top-100000", "s LIMIT 100000"),
    ];
    let case = |(name, order): (&str, &str)| {
        let sql = format!("SELECT k, v FROM t ORDER BY {order}");
        Case::sql(format!("sort/{name}"), rows, sql, tables)
    };
    cases.into_iter().map(case).collect()
}
