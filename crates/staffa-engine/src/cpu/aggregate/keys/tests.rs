//! Every key table against DataFusion's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int8Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::vanilla::VanillaKeys;
use super::{Keys, keys, keys_of_kept, referred};

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        (state >> 33) % below
    }
}

fn ints(rows: usize) -> ArrayRef {
    let mut next = random(1);
    let values = (0..rows).map(|_| match next(9) {
        0 => None,
        1 => Some(0),
        2 => Some(-1),
        3 => Some(i64::MIN),
        4 => Some(i64::MAX),
        _ => Some(next(5000) as i64),
    });
    Arc::new(values.collect::<Int64Array>())
}

fn strings(rows: usize, seed: u64) -> Vec<Option<String>> {
    let fixed = ["", "a", "é", "twelve bytes", "thirteen byte", "thirteen bytf", "a\0", "\0"];
    let mut next = random(seed);
    (0..rows)
        .map(|_| match next(4) {
            0 => None,
            1 => Some(fixed[next(8) as usize].to_string()),
            2 => Some(format!("s{}", next(2000))),
            _ => Some(format!("日本 a longer one {}", next(2000))),
        })
        .collect()
}

fn floats(rows: usize) -> ArrayRef {
    let mut next = random(3);
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::MIN];
    let values = (0..rows).map(|_| match next(3) {
        0 => None,
        1 => Some(special[next(6) as usize]),
        _ => Some(next(50) as f64),
    });
    Arc::new(values.collect::<Float64Array>())
}

/// Same groups, the same keys in them, ids in the order of first sight.
fn check(columns: &[ArrayRef]) {
    let field = |(i, array): (usize, &ArrayRef)| {
        Field::new(format!("k{i}"), array.data_type().clone(), true)
    };
    let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    check_table(columns, &schema, keys(&schema).unwrap());
    check_table(columns, &schema, keys_of_kept(&schema).unwrap());
}

fn check_table(columns: &[ArrayRef], schema: &SchemaRef, mut ours: Box<dyn Keys>) {
    let mut theirs = VanillaKeys::new(schema).unwrap();
    for round in 0..2 {
        let rows = columns[0].len();
        let (mut ids, mut their_ids) = (Vec::new(), Vec::new());
        let mut to_theirs: Vec<u32> = Vec::new();
        // Slices at odd offsets: bitmaps and offsets that do not start at 0.
        let mut start = 0;
        while start < rows {
            let length = (1 + start % 777).min(rows - start);
            let slice: Vec<ArrayRef> = columns.iter().map(|c| c.slice(start, length)).collect();
            ours.intern(&slice, &mut ids).unwrap();
            theirs.intern(&slice, &mut their_ids).unwrap();
            assert_eq!(ids.len(), length);
            for (&id, &their) in ids.iter().zip(&their_ids) {
                assert!(id <= to_theirs.len(), "ids are dense");
                if id == to_theirs.len() {
                    to_theirs.push(their as u32);
                }
                assert_eq!(to_theirs[id], their as u32);
            }
            start += length;
        }
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.len() < 2 || ours.size() > 0);
        let order = UInt32Array::from(to_theirs);
        let (ours, theirs) = (ours.take().unwrap(), theirs.take().unwrap());
        for ((ours, theirs), field) in ours.iter().zip(&theirs).zip(schema.fields()) {
            let theirs = take(theirs.as_ref(), &order, None).unwrap();
            assert_eq!(ours.data_type(), field.data_type());
            assert_eq!(ours, &theirs, "round {round}: {field}");
        }
    }
    assert_eq!(ours.len(), 0);
}

fn all(rows: usize) -> Vec<ArrayRef> {
    let mut next = random(7);
    let mut small = |n: u64| (next(6) > 0).then(|| next(n) as i64);
    vec![
        ints(rows),
        floats(rows),
        Arc::new((0..rows).map(|_| small(200).map(|v| v as i8)).collect::<Int8Array>()),
        Arc::new((0..rows).map(|_| small(2).map(|v| v == 1)).collect::<BooleanArray>()),
        Arc::new((0..rows).map(|_| small(3000).map(|v| v as i32)).collect::<Date32Array>()),
        Arc::new((0..rows).map(|_| small(9).map(|v| v as f32)).collect::<Float32Array>()),
        Arc::new(
            (0..rows)
                .map(|_| small(99))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            (0..rows)
                .map(|_| small(4000).map(|v| i128::from(v) - 2000))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(strings(rows, 4).into_iter().collect::<StringArray>()),
        Arc::new(strings(rows, 5).into_iter().collect::<LargeStringArray>()),
        Arc::new(strings(rows, 6).into_iter().collect::<StringViewArray>()),
        Arc::new(
            strings(rows, 8)
                .iter()
                .map(|s| s.as_ref().map(String::as_bytes))
                .collect::<BinaryViewArray>(),
        ),
    ]
}

#[test]
fn single_columns() {
    for rows in [0, 1, 2, 5000] {
        for column in all(rows) {
            check(&[column]);
        }
    }
}

#[test]
fn pairs_of_columns() {
    let columns = all(3000);
    for left in &columns {
        for right in &columns {
            check(&[Arc::clone(left), Arc::clone(right)]);
        }
    }
}

#[test]
fn many_columns() {
    let columns = all(2000);
    check(&columns[2..6]);
    check(&columns[8..11]);
    check(&columns);
}

#[test]
fn only_nulls() {
    for column in all(1) {
        check(&[arrow::array::new_null_array(column.data_type(), 100)]);
    }
}

#[test]
fn strings_of_several_columns_are_referred_to() {
    let columns = all(3);
    let schema = |columns: &[ArrayRef]| {
        let field = |array: &ArrayRef| Field::new("k", array.data_type().clone(), true);
        Schema::new(columns.iter().map(field).collect::<Vec<_>>())
    };
    // Five strings are more than 128 bits of codes, but no bits here.
    let five: Vec<ArrayRef> = columns[8..12].iter().chain(&columns[8..9]).cloned().collect();
    assert!(referred::supported(&schema(&five)));
    check(&five);
    let two = [Arc::clone(&columns[0]), Arc::clone(&columns[8])];
    assert!(referred::supported(&schema(&two)));
    assert!(!referred::supported(&schema(&columns[2..6])), "no strings");
    assert!(!referred::supported(&schema(&columns)), "more than 128 bits of numbers");
}

/// Codes of dictionaries give the ids that their values give, in the order of first sight.
#[test]
fn combinations_of_few_codes() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8View, true),
    ]));
    let words: ArrayRef =
        Arc::new(StringArray::from(vec!["", "north", "süd", "a word of more bytes"]));
    let few: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "x"]));
    let other: ArrayRef = Arc::new(StringArray::from(vec!["süd", "west"]));
    let mut next = random(7);
    let mut codes = |values: &ArrayRef, rows: usize, nulls: bool| -> ArrayRef {
        let of = values.len() as u64;
        let keys = (0..rows).map(|_| Some(next(of) as u32).filter(|_| !nulls || next(5) > 0));
        Arc::new(DictionaryArray::new(keys.collect::<UInt32Array>(), Arc::clone(values)))
    };
    // Too few rows for their entries come, and NULLs, in between.
    let batches: Vec<[ArrayRef; 2]> = [(&words, 900), (&words, 30), (&other, 500), (&words, 700)]
        .into_iter()
        .flat_map(|(values, rows)| {
            [false, true].map(|nulls| [codes(values, rows, nulls), codes(&few, rows, false)])
        })
        .collect();
    let (mut by_codes, mut by_values) = (keys(&schema).unwrap(), keys(&schema).unwrap());
    for _ in 0..2 {
        for batch in &batches {
            let batch: Vec<ArrayRef> = batch.iter().map(|c| c.slice(3, c.len() - 5)).collect();
            let types = schema.fields().iter().map(|field| field.data_type());
            let plain: Vec<ArrayRef> =
                batch.iter().zip(types).map(|(c, to)| cast(c, to).unwrap()).collect();
            let (mut ids, mut expected) = (Vec::new(), Vec::new());
            by_codes.intern(&batch, &mut ids).unwrap();
            by_values.intern(&plain, &mut expected).unwrap();
            assert_eq!(ids, expected);
        }
        assert_eq!(by_codes.len(), by_values.len());
        assert_eq!(by_codes.take().unwrap(), by_values.take().unwrap());
    }
}
