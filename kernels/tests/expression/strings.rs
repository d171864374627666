//! String functions against arrow's kernels and DataFusion's rules.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray};
use arrow::compute::kernels::comparison::{ilike, like, nilike, nlike};
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use staffa_kernels::expression::reference::{self, HostColumn};
use staffa_kernels::expression::{Arithmetic, Builder, Constant, Find, Input, Trim, Type};

use crate::arrays::{array_of, strings};
use crate::check::{assert_answer, check, pairs};
use crate::device;
use crate::edge::values;

const PATTERNS: [&str; 46] = [
    "",
    "%",
    "%%",
    "_",
    "__",
    "a",
    "a%",
    "%a",
    "%a%",
    "a_",
    "_a",
    "a%b",
    "%ab%",
    "a%b%c",
    "abc%",
    "%é%",
    "é",
    "_é_",
    "日%",
    "%本%",
    "%テキスト",
    "日_語%",
    "____",
    "%_",
    "_%",
    "%_%",
    r"\%",
    r"\_",
    r"\",
    r"\\",
    r"a\",
    r"%\%%",
    r"\a%",
    r"100\%",
    "a%a%a",
    "%aab",
    "%aba%",
    "%abab",
    "x_y%z",
    "%\n%",
    "A%",
    "%B",
    "%xX%",
    "a.b",
    "a*%",
    "(%",
];

fn texts() -> ArrayRef {
    strings(
        [
            "",
            "a",
            "ab",
            "abc",
            "aab",
            "aaab",
            "abab",
            "ababab",
            "abcabc",
            "xay",
            "x\ny",
            "é",
            "aéb",
            "éé",
            "日本語テキスト",
            "日本",
            "%",
            "_",
            r"\",
            r"\\",
            "100%",
            "a%b",
            r"a\",
            "😀",
            "a😀b",
            "aXxb",
            "XX",
            "A",
            "B",
            "AB",
            "x1y22z",
            "xéyz",
            "a.b",
            "a*b",
            "(x)",
            "acb",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        ]
        .into_iter()
        .map(Some)
        .chain([None])
        .collect(),
    )
}

fn bits(array: BooleanArray) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn like_is_arrows() {
    let columns = [texts()];
    for pattern in PATTERNS {
        let scalar = StringArray::new_scalar(pattern);
        check(
            &format!("like {pattern:?}"),
            &columns,
            |b, v| b.like(v[0], pattern, false, false),
            |c| like(&c[0], &scalar).map(bits),
        );
        check(
            &format!("not like {pattern:?}"),
            &columns,
            |b, v| b.like(v[0], pattern, false, true),
            |c| nlike(&c[0], &scalar).map(bits),
        );
    }
}

/// What is not ASCII is the host's; the rest is arrow's.
#[test]
fn ilike_of_ascii_is_arrows() {
    let columns = [texts()];
    let is_host = |c: &[ArrayRef]| c[0].as_string::<i32>().iter().flatten().any(|s| !s.is_ascii());
    for pattern in PATTERNS.iter().filter(|p| p.is_ascii()) {
        let scalar = StringArray::new_scalar(*pattern);
        for negated in [false, true] {
            check(
                &format!("ilike {pattern:?}, {negated}"),
                &columns,
                |b, v| b.like(v[0], pattern, true, negated),
                |c| {
                    if is_host(c) {
                        return Err(ArrowError::ComputeError("the host's".into()));
                    }
                    if negated { nilike(&c[0], &scalar) } else { ilike(&c[0], &scalar) }.map(bits)
                },
            );
        }
    }
}

#[test]
fn finding_is_arrows() {
    use arrow::compute::kernels::comparison::{contains, ends_with, starts_with};
    let columns = pairs(&values(&DataType::Utf8), &values(&DataType::Utf8));
    check(
        "starts with",
        &columns,
        |b, v| b.find(Find::StartsWith, v[0], v[1]),
        |c| starts_with(&c[0], &c[1]).map(bits),
    );
    check(
        "ends with",
        &columns,
        |b, v| b.find(Find::EndsWith, v[0], v[1]),
        |c| ends_with(&c[0], &c[1]).map(bits),
    );
    check(
        "contains",
        &columns,
        |b, v| b.find(Find::Contains, v[0], v[1]),
        |c| contains(&c[0], &c[1]).map(bits),
    );
}

#[test]
fn lengths_are_arrows() {
    let columns = [texts()];
    check("octets", &columns, |b, v| b.length(v[0], true, Type::I32), |c| length(c[0].as_ref()));
    check(
        "characters",
        &columns,
        |b, v| b.length(v[0], false, Type::I64),
        |c| {
            let counts =
                c[0].as_string::<i32>().iter().map(|s| s.map(|s| s.chars().count() as i64));
            Ok(Arc::new(Int64Array::from_iter(counts)) as ArrayRef)
        },
    );
    check(
        "characters",
        &columns,
        |b, v| b.length(v[0], false, Type::I32),
        |c| {
            let counts =
                c[0].as_string::<i32>().iter().map(|s| s.map(|s| s.chars().count() as i32));
            Ok(Arc::new(Int32Array::from_iter(counts)) as ArrayRef)
        },
    );
}

/// DataFusion's `get_true_start_end`, for strings that are not ASCII alone (the other path gives the same).
fn substr(text: &str, start: i64, count: Option<i64>) -> Result<String, ArrowError> {
    let error = || ArrowError::ComputeError("substr".into());
    if count.is_some_and(|count| count < 0) {
        return Err(error());
    }
    let start = start.checked_sub(1).ok_or_else(error)?;
    let end = count.map_or(text.len() as i64, |count| start.saturating_add(count));
    let start = start.clamp(0, text.len() as i64) as usize;
    let end = end.clamp(0, text.len() as i64) as usize;
    let (mut first, mut last) = (text.len(), text.len());
    for (number, (at, _)) in text.char_indices().enumerate() {
        if number == start {
            first = at;
            if count.is_none() {
                break;
            }
        }
        if number == end {
            last = at;
            break;
        }
    }
    Ok(text[first..last].to_owned())
}

#[test]
fn substring_is_datafusions() {
    let numbers = array_of::<Int64Type>(
        [0, 1, 2, 3, 5, -1, -3, 100, i64::MAX, i64::MIN, i64::MIN + 1]
            .into_iter()
            .map(Some)
            .chain([None])
            .collect(),
    );
    let two = pairs(&texts(), &numbers);
    let expected = |c: &[ArrayRef]| {
        let counts = c.get(2).map(|c| c.as_primitive::<Int64Type>().clone());
        let texts = c[0].as_string::<i32>();
        let starts = c[1].as_primitive::<Int64Type>();
        let cells: Result<Vec<Option<String>>, ArrowError> = (0..texts.len())
            .map(|row| {
                let null = texts.is_null(row)
                    || starts.is_null(row)
                    || counts.as_ref().is_some_and(|c| c.is_null(row));
                if null {
                    return Ok(None);
                }
                substr(texts.value(row), starts.value(row), counts.as_ref().map(|c| c.value(row)))
                    .map(Some)
            })
            .collect();
        Ok(Arc::new(StringArray::from(cells?)) as ArrayRef)
    };
    check("substr from", &two, |b, v| b.substring(v[0], v[1], None), expected);
    let three = pairs(&texts(), &numbers);
    let counts: Vec<Option<i64>> = (0..three[0].len())
        .map(|row| [Some(0), Some(1), Some(2), Some(7), Some(i64::MAX), Some(-1), None][row % 7])
        .collect();
    let three = [three[0].clone(), three[1].clone(), array_of::<Int64Type>(counts)];
    check("substr from for", &three, |b, v| b.substring(v[0], v[1], Some(v[2])), expected);
    check(
        "substr of constants",
        &two[..1],
        |b, v| {
            let start = b.constant(&Constant::I64(2))?;
            let count = b.constant(&Constant::I64(3))?;
            b.substring(v[0], start, Some(count))
        },
        |c| {
            let cells =
                c[0].as_string::<i32>().iter().map(|s| s.map(|s| substr(s, 2, Some(3)).unwrap()));
            Ok(Arc::new(StringArray::from_iter(cells)) as ArrayRef)
        },
    );
}

#[test]
fn case_of_ascii_changes() {
    let columns = [texts()];
    for upper in [true, false] {
        check(
            &format!("upper {upper}"),
            &columns,
            |b, v| b.change_case(v[0], upper),
            |c| {
                let texts = c[0].as_string::<i32>();
                if texts.iter().flatten().any(|s| !s.is_ascii()) {
                    return Err(ArrowError::ComputeError("the host's".into()));
                }
                let cells = texts
                    .iter()
                    .map(|s| s.map(|s| if upper { s.to_uppercase() } else { s.to_lowercase() }));
                Ok(Arc::new(StringArray::from_iter(cells)) as ArrayRef)
            },
        );
    }
}

#[test]
fn strings_join_and_trim() {
    let columns = pairs(&texts(), &values(&DataType::Utf8));
    check(
        "concatenate",
        &columns,
        |b, v| b.concatenate(v[0], v[1]),
        |c| {
            let cells = c[0]
                .as_string::<i32>()
                .iter()
                .zip(c[1].as_string::<i32>())
                .map(|(a, b)| Some(format!("{}{}", a?, b?)));
            Ok(Arc::new(StringArray::from_iter(cells)) as ArrayRef)
        },
    );
    for (ends, set) in [
        (Trim::Both, "a"),
        (Trim::Start, "ab"),
        (Trim::End, "ba "),
        (Trim::Both, ""),
        (Trim::Both, r"%\_"),
    ] {
        check(
            &format!("trim {ends:?} {set:?}"),
            &columns[..1],
            |b, v| b.trim(v[0], ends, set),
            |c| {
                let removed = |ch: char| set.contains(ch);
                let cells = c[0].as_string::<i32>().iter().map(|s| {
                    s.map(|s| match ends {
                        Trim::Start => s.trim_start_matches(removed).to_owned(),
                        Trim::End => s.trim_end_matches(removed).to_owned(),
                        Trim::Both => s.trim_matches(removed).to_owned(),
                    })
                });
                Ok(Arc::new(StringArray::from_iter(cells)) as ArrayRef)
            },
        );
    }
}

/// The span of an empty string may have the bytes of a number before its address is moved: each needs its own
/// place among the constants, whichever comes first.
#[test]
fn constants_of_the_same_bytes() {
    for number_first in [false, true] {
        let mut b = Builder::new(vec![Input { kind: Type::I128, nullable: false }]);
        let x = b.column(0).unwrap();
        let number = |b: &mut Builder| b.constant(&Constant::I128(1)).unwrap();
        let mut one = if number_first { Some(number(&mut b)) } else { None };
        let letter = b.constant(&Constant::text("a")).unwrap();
        let empty = b.constant(&Constant::text("")).unwrap();
        let one = one.take().unwrap_or_else(|| number(&mut b));
        let sum = b.arithmetic(Arithmetic::Add, x, one).unwrap();
        for value in [sum, letter, empty] {
            b.output(value).unwrap();
        }
        let program = b.finish().unwrap();
        let columns = [HostColumn::Plain(vec![Some(Constant::I128(41))])];
        let outcome = reference::run(&program, &columns, None).unwrap();
        let expected = [Constant::I128(42), Constant::text("a"), Constant::text("")];
        for (column, expected) in outcome.columns.iter().zip(expected) {
            assert_eq!(column, &[Some(expected)], "{program}");
        }
        if let Some(machine) = device::machine().as_deref_mut() {
            let answer = device::run(machine, &program, &columns, None, device::Shape::default());
            assert_answer("constants of the same bytes", &answer, &outcome, &program);
        }
    }
}
