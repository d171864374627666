//! The comparison finds what differs, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use staffa_harness::compare::{
    Answer, Comparison, Difference, Order, Rules, Side, Tolerance, compare,
};

fn answer(batches: Vec<Vec<(&str, ArrayRef)>>) -> Answer {
    let batches: Vec<RecordBatch> = batches
        .into_iter()
        .map(|columns| {
            let fields: Vec<Field> = columns
                .iter()
                .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
                .collect();
            let arrays = columns.into_iter().map(|(_, array)| array).collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
        })
        .collect();
    Answer { schema: batches[0].schema(), batches }
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn with(left: &Answer, right: &Answer, order: Order, tolerance: Tolerance) -> Comparison {
    let found = compare(left, right, &Rules { order, tolerance, shown: 3 }).unwrap();
    let mirrored = Rules { order: Order::Any, tolerance, shown: 3 };
    let (there, back) =
        (compare(left, right, &mirrored).unwrap(), compare(right, left, &mirrored).unwrap());
    assert_eq!((there.only_left, there.only_right), (back.only_right, back.only_left));
    found
}

fn multiset(left: &Answer, right: &Answer) -> Comparison {
    with(left, right, Order::Any, Tolerance::default())
}

#[test]
fn order_and_batches_do_not_matter_but_multiplicity_does() {
    let left = answer(vec![vec![("a", ints(&[Some(1), None, Some(2), Some(2)]))]]);
    let right = answer(vec![
        vec![("a", ints(&[Some(2), Some(1)]))],
        vec![("a", ints(&[]))],
        vec![("a", ints(&[Some(2), None]))],
    ]);
    assert!(multiset(&left, &right).is_equal());
    let other = answer(vec![vec![("a", ints(&[Some(2), None, Some(1), Some(1)]))]]);
    let found = multiset(&left, &other);
    assert_eq!((found.only_left, found.only_right), (1, 1));
    assert_eq!(
        found.render("datafusion", "staffa"),
        "different: datafusion has 4 rows, staffa has 4; 1 only in datafusion, 1 only in staffa\n  \
         only datafusion [row 3]: a=2\n  only staffa [row 3]: a=1"
    );
}

#[test]
fn null_is_not_zero_and_not_empty() {
    let left = answer(vec![vec![("a", ints(&[None])), ("s", strings(&[""]))]]);
    let right = answer(vec![vec![("a", ints(&[Some(0)])), ("s", strings(&[""]))]]);
    let found = multiset(&left, &right);
    let Difference::Row { side: Side::Left, index: 0, cells } = &found.differences[0] else {
        panic!("{found:?}")
    };
    assert_eq!(cells, "a=NULL, s=");
}

#[test]
fn types_names_and_nullability_count() {
    let left = answer(vec![vec![("a", ints(&[Some(1)]))]]);
    let narrow = answer(vec![vec![("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]]);
    assert_eq!(
        multiset(&left, &narrow).differences,
        [Difference::Schema("column 'a' has type Int64 against Int32".to_string())]
    );
    let renamed = answer(vec![vec![("b", ints(&[Some(1)]))]]);
    assert!(!multiset(&left, &renamed).is_equal());
    let mut strict = left.clone();
    strict.schema =
        Arc::new(Schema::new(vec![Field::new("a", arrow::datatypes::DataType::Int64, false)]));
    assert!(!multiset(&left, &strict).is_equal());
    let mut lying = left.clone();
    lying.batches = narrow.batches.clone();
    assert!(
        multiset(&left, &lying).render("l", "r").contains("declared as Int64 and comes as Int32")
    );
}

#[test]
fn floats_equal_within_the_tolerance_only() {
    let left = answer(vec![vec![("f", doubles(&[1.0, f64::NAN, -0.0, 3e18]))]]);
    let right = answer(vec![vec![("f", doubles(&[3e18 + 512.0, 0.0, 1.0 + 1e-12, -f64::NAN]))]]);
    assert!(multiset(&left, &right).is_equal());
    let found = with(&left, &right, Order::Any, Tolerance::EXACT);
    assert_eq!((found.only_left, found.only_right), (3, 3), "all but the NaN");
    let far = answer(vec![vec![("f", doubles(&[1.0 + 1e-7, f64::NAN, 0.0, 3e18]))]]);
    assert_eq!(multiset(&left, &far).only_left, 1);
    // Float32 is coarser than the tolerance: bit-identical or different.
    let single =
        |value: f32| answer(vec![vec![("f", Arc::new(Float32Array::from(vec![value])) as _)]]);
    assert!(!multiset(&single(1.0), &single(1.0 + f32::EPSILON)).is_equal());
}

#[test]
fn a_difference_in_one_float_column_may_reorder_another() {
    // Sorted by (x, y), the partners of these rows stand crosswise.
    let e = 1e-13;
    let left = answer(vec![vec![("x", doubles(&[1.0, 1.0 + e])), ("y", doubles(&[5.0, 3.0]))]]);
    let right = answer(vec![vec![("x", doubles(&[1.0, 1.0 + e])), ("y", doubles(&[3.0, 5.0]))]]);
    assert!(multiset(&left, &right).is_equal());
    // Sorted by x, the first rows pair up; only giving the first row's partner to the second, and
    // the last one to the first, pairs all.
    let tolerance = Tolerance { relative: 0.0, absolute: 1.0 };
    let pairs = |x: &[f64], y: &[f64]| answer(vec![vec![("x", doubles(x)), ("y", doubles(y))]]);
    let left = pairs(&[0.0, 0.1, 0.2], &[0.0, 1.9, 5.0]);
    let right = pairs(&[0.05, 0.15, 0.25], &[0.95, 5.5, -0.9]);
    assert!(with(&left, &right, Order::Any, tolerance).is_equal());
    let right = pairs(&[0.05, 0.15, 0.25], &[0.95, 5.5, -1.5]);
    assert_eq!(with(&left, &right, Order::Any, tolerance).only_left, 1);
}

#[test]
fn float_rows_need_the_same_exact_columns() {
    let left = answer(vec![vec![("k", strings(&["a", "b"])), ("f", doubles(&[1.0, 2.0]))]]);
    let close =
        answer(vec![vec![("k", strings(&["b", "a"])), ("f", doubles(&[2.0 + 1e-12, 1.0]))]]);
    assert!(multiset(&left, &close).is_equal());
    let swapped = answer(vec![vec![("k", strings(&["b", "a"])), ("f", doubles(&[1.0, 2.0]))]]);
    assert_eq!(multiset(&left, &swapped).only_right, 2);
}

#[test]
fn an_ordered_answer_may_permute_ties_only() {
    let by_k = || Order::Columns(vec![0]);
    let rows =
        |k: &[Option<i64>], s: &[&str]| answer(vec![vec![("k", ints(k)), ("s", strings(s))]]);
    let left = rows(&[Some(1), Some(1), Some(2)], &["a", "b", "c"]);
    let ties = rows(&[Some(1), Some(1), Some(2)], &["b", "a", "c"]);
    assert!(with(&left, &ties, by_k(), Tolerance::default()).is_equal());
    let wrong = rows(&[Some(1), Some(2), Some(1)], &["a", "c", "b"]);
    assert!(multiset(&left, &wrong).is_equal());
    let found = with(&left, &wrong, by_k(), Tolerance::default());
    assert_eq!(found.differences, [Difference::Order { index: 1, keys: "k".to_string() }]);
}

#[test]
fn keys_after_a_float_key_are_not_compared() {
    let rows = |f: &[f64], k: &[Option<i64>]| answer(vec![vec![("f", doubles(f)), ("k", ints(k))]]);
    let left = rows(&[1.0, 1.0 + 1e-14], &[Some(1), Some(2)]);
    let right = rows(&[1.0, 1.0 + 1e-14], &[Some(2), Some(1)]);
    let by_both = Order::Columns(vec![0, 1]);
    assert!(with(&left, &right, by_both.clone(), Tolerance::default()).is_equal());
    let reversed = rows(&[5.0, 1.0], &[Some(2), Some(1)]);
    let sorted = rows(&[1.0, 5.0], &[Some(1), Some(2)]);
    assert!(!with(&sorted, &reversed, by_both, Tolerance::default()).is_equal());
}

#[test]
fn dictionaries_compare_by_value() {
    let dictionary = |words: &[&str]| -> ArrayRef {
        Arc::new(words.iter().copied().collect::<DictionaryArray<Int32Type>>())
    };
    let left = answer(vec![vec![("d", dictionary(&["x", "y", "x"]))]]);
    let right = answer(vec![vec![("d", dictionary(&["y"]))], vec![("d", dictionary(&["x", "x"]))]]);
    assert!(multiset(&left, &right).is_equal());
    let other = answer(vec![vec![("d", dictionary(&["y", "z", "x"]))]]);
    assert!(!multiset(&left, &other).is_equal());
}

#[test]
fn a_million_rows_take_seconds_at_most() {
    let n = 1_000_000i64;
    let keys: Vec<Option<i64>> = (0..n).map(Some).collect();
    let reversed: Vec<Option<i64>> = (0..n).rev().map(Some).collect();
    let sums = |keys: &[Option<i64>], noise: f64| {
        doubles(&keys.iter().map(|k| k.unwrap() as f64 * (1.0 + noise)).collect::<Vec<_>>())
    };
    let left = answer(vec![vec![("k", ints(&keys)), ("f", sums(&keys, 0.0))]]);
    let right = answer(vec![vec![("k", ints(&reversed)), ("f", sums(&reversed, 1e-13))]]);
    let rules = Rules::default();
    assert!(compare(&left, &right, &rules).unwrap().is_equal());
}

#[test]
fn answers_without_columns_compare_their_row_counts() {
    let empty = |rows: usize| {
        let schema = Arc::new(Schema::empty());
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
        Answer { schema, batches: vec![batch] }
    };
    assert!(multiset(&empty(3), &empty(3)).is_equal());
    assert!(!multiset(&empty(3), &empty(4)).is_equal());
}
