//! Single cases: what must be refused, what must not grow, what only passes through.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, FixedSizeBinaryArray, Float32Array, Int32Array, RecordBatch,
    StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::physical_planning_context::{ScalarSubqueryResults, SubqueryIndex};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::{BinaryExpr, col};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use staffa_common::ReasonCode;
use staffa_engine::cuda::expression::{OutputFrom, lower};

use crate::check::{check, check_rows, plan};
use crate::device::{Answer, machine};
use crate::matrix::batch_of;

/// A user's function under the name of one of DataFusion's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Upper(Signature);

impl ScalarUDFImpl for Upper {
    fn name(&self) -> &str {
        "upper"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}

#[test]
fn a_users_function_of_a_known_name_is_refused() {
    let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
    let own = Upper(Signature::exact(vec![DataType::Utf8], Volatility::Immutable));
    let call = |function: ScalarUDF| -> Arc<dyn PhysicalExpr> {
        Arc::new(ScalarFunctionExpr::new(
            "upper",
            Arc::new(function),
            vec![col("a", &schema).unwrap()],
            Arc::new(Field::new("upper", DataType::Utf8, true)),
            Arc::default(),
        ))
    };
    let reason = lower(None, &[call(ScalarUDF::new_from_impl(own))], &schema).unwrap_err();
    assert_eq!(reason.code, ReasonCode::Function);
    let built_in = datafusion::functions::string::upper();
    lower(None, &[call(built_in.as_ref().clone())], &schema).unwrap();
}

#[test]
fn a_case_of_many_branches_fits_a_tile() {
    let branches: Vec<String> =
        (0..80).map(|n| format!("WHEN a > {} THEN b * {n} + a", 1_000 - n * 10)).collect();
    let sql = format!("CASE {} ELSE b END", branches.join(" "));
    let batch = batch_of(&DataType::Int64, &DataType::Int64);
    let expr = plan(&sql, batch.schema_ref()).unwrap();
    let verdict = check("a long CASE", &expr, &batch, false);
    assert!(verdict.refused.is_none(), "{:?}", verdict.refused);
    assert_eq!(verdict.reruns, 0);
}

#[test]
fn a_common_subexpression_is_computed_once() {
    let batch = batch_of(&DataType::Int64, &DataType::Int64);
    let schema = batch.schema_ref();
    let products = |sql: &str| {
        let expr = plan(sql, schema).unwrap();
        let lowered = lower(Some(&expr), &[plan("a * b + 1", schema).unwrap()], schema).unwrap();
        let program = lowered.compile(&lowered.general(false)).unwrap().program.unwrap();
        program.to_string().matches("= multiply").count()
    };
    assert_eq!(products("a * b > 5 AND a * b < 50 AND (a * b) % 2 = 0"), 1);
    // What is computed under a mask is not known outside of it.
    assert_eq!(products("CASE WHEN a > 0 THEN a * b ELSE a * b - 5 END > 3"), 3);
}

#[test]
fn types_without_arithmetic_pass_through_a_filter() {
    let keys = Int32Array::from_iter((0..40).map(|n| (n % 7 != 0).then_some(n)));
    let bytes = |width: i32| -> ArrayRef {
        let values = (0..40u8).map(|n| (n % 5 != 0).then(|| vec![n; width as usize]));
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width).unwrap())
    };
    let floats = Float32Array::from_iter((0..40).map(|n| (n % 3 != 0).then_some(n as f32 / 3.0)));
    let decimals = Decimal128Array::from_iter((0..40).map(|n| (n % 4 != 0).then_some(n * 7)));
    let decimals = decimals.with_precision_and_scale(9, 2).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(keys)),
        ("half", cast(&floats, &DataType::Float16).unwrap()),
        ("d32", cast(&decimals, &DataType::Decimal32(9, 2)).unwrap()),
        ("d64", cast(&decimals, &DataType::Decimal64(18, 2)).unwrap()),
        ("b2", bytes(2)),
        ("uuid", bytes(16)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema = batch.schema_ref();
    let outputs: Vec<Arc<dyn PhysicalExpr>> =
        schema.fields().iter().map(|f| col(f.name(), schema).unwrap()).collect();
    let filter = plan("k % 2 = 0 AND uuid IS NOT NULL", schema).unwrap();
    let lowered = lower(Some(&filter), &outputs, schema).unwrap();
    assert!(lowered.takes_selection());
    check_rows("types without arithmetic", Some(&filter), &outputs, &batch, false);
    // They are not computed with.
    for sql in ["half + half", "d32 * 2", "d64 > 1", "uuid IN (b2)"] {
        if let Ok(expr) = plan(sql, schema) {
            let reason = lower(None, &[expr], schema);
            assert!(reason.is_err(), "{sql} lowers");
        }
    }
}

#[test]
fn dictionaries_are_tested_once_per_entry() {
    let texts = StringArray::from_iter((0..200).map(|n| Some(["ab", "abc", "x", ""][n % 4])));
    let numbers = Int32Array::from_iter_values(0..200);
    let batch = RecordBatch::try_from_iter(vec![
        ("s", Arc::new(texts) as ArrayRef),
        ("n", Arc::new(numbers) as ArrayRef),
    ])
    .unwrap();
    let schema = batch.schema_ref();
    let filter = plan("s LIKE 'ab%' AND s <> 'abc' AND n > 3 OR s IS NULL", schema).unwrap();
    let outputs = vec![
        col("s", schema).unwrap(),
        plan("upper(s)", schema).unwrap(),
        col("n", schema).unwrap(),
    ];
    let lowered = lower(Some(&filter), &outputs, schema).unwrap();
    let mut shape = lowered.general(true);
    shape.columns[0].codes = true;
    shape.columns[0].lookup = true;
    let compiled = lowered.compile(&shape).unwrap();
    assert_eq!(compiled.entries.len(), 1);
    let text = compiled.program.as_ref().unwrap().to_string();
    assert!(!text.contains("like") && !text.contains("to_upper"), "left per row:\n{text}");
    assert_eq!(compiled.outputs[0], OutputFrom::Codes { output: 0, column: 0 });
    check_rows("a dictionary", Some(&filter), &outputs, &batch, true);
}

#[test]
fn nothing_is_launched_for_columns_alone() {
    let batch = batch_of(&DataType::Int64, &DataType::Utf8);
    let schema = batch.schema_ref();
    let outputs = [col("b", schema).unwrap(), col("a", schema).unwrap()];
    let lowered = lower(None, &outputs, schema).unwrap();
    let compiled = lowered.compile(&lowered.general(false)).unwrap();
    assert!(compiled.program.is_none());
    assert_eq!(compiled.outputs, [OutputFrom::Column(1), OutputFrom::Column(0)]);
    check_rows("columns over a selection", None, &outputs, &batch.slice(0, batch.num_rows()), true);
}

#[test]
fn overflow_is_an_error_where_it_is_asked_for() {
    let batch = batch_of(&DataType::Int32, &DataType::Int32);
    let schema = batch.schema_ref();
    for op in [Operator::Plus, Operator::Minus, Operator::Multiply] {
        let wraps = BinaryExpr::new(col("a", schema).unwrap(), op, col("b", schema).unwrap());
        let errs: Arc<dyn PhysicalExpr> = Arc::new(wraps.clone().with_fail_on_overflow(true));
        let wraps: Arc<dyn PhysicalExpr> = Arc::new(wraps);
        assert_eq!(check("wraps", &wraps, &batch, false).errors, 0);
        assert!(check("errs", &errs, &batch, false).errors > 0);
    }
}

#[test]
fn a_dictionary_may_be_empty() {
    let Some(machine) = machine() else { return };
    let schema = Schema::new(vec![Field::new("s", DataType::Utf8, true)]);
    let outputs = [plan("upper(s)", &schema).unwrap(), col("s", &schema).unwrap()];
    let filter = plan("s = 'a' OR s IS NULL", &schema).unwrap();
    let lowered = lower(Some(&filter), &outputs, &schema).unwrap();
    let nulls = arrow::array::new_null_array(&DataType::Utf8, 70);
    let mut column = machine.column(nulls.as_ref(), true);
    column.descriptor.dictionary = 0;
    column.descriptor.dictionary_rows = 0;
    let answer = machine.run(&lowered, &[column], 70, None);
    assert_eq!(answer, Answer::Done(vec![vec![None; 70], vec![None; 70]]));
}

#[test]
fn a_heap_that_was_too_small_says_how_much_is_needed() {
    let batch = batch_of(&DataType::Utf8, &DataType::Utf8);
    let schema = batch.schema_ref();
    let lowered = lower(None, &[plan("concat(a, b)", schema).unwrap()], schema).unwrap();
    assert!(lowered.makes_strings());
    assert!(
        !lower(None, &[plan("substr(a, 2)", schema).unwrap()], schema).unwrap().makes_strings()
    );
    let Some(machine) = machine() else { return };
    let columns: Vec<_> =
        batch.columns().iter().map(|c| machine.column(c.as_ref(), false)).collect();
    let mut bytes = 16;
    let mut tries = 0;
    loop {
        match machine.run_within(&lowered, &columns, batch.num_rows(), None, bytes) {
            Answer::HeapFull(used) => {
                assert!(used[0] > bytes as u64, "{used:?} in {bytes}");
                bytes = (used[0] as usize).max(bytes * 2);
                tries += 1;
                assert!(tries < 20);
            }
            Answer::Done(outputs) => {
                assert_eq!(outputs[0].len(), batch.num_rows());
                break;
            }
            Answer::Rerun => panic!("nothing here is the host's"),
        }
    }
    assert!(tries > 0);
}

#[test]
fn a_scalar_subquery_is_a_constant_once_it_has_run() {
    let batch = batch_of(&DataType::Int64, &DataType::Int64);
    let schema = batch.schema_ref();
    let results = ScalarSubqueryResults::new(1);
    let index = SubqueryIndex::new(0);
    let subquery = ScalarSubqueryExpr::new(DataType::Int64, true, index, results.clone());
    let less: Arc<dyn PhysicalExpr> =
        Arc::new(BinaryExpr::new(col("a", schema).unwrap(), Operator::Lt, Arc::new(subquery)));
    let lowered = lower(None, std::slice::from_ref(&less), schema).unwrap();
    let early = lowered.compile(&lowered.general(false)).unwrap_err();
    assert_eq!(early.code, ReasonCode::Expression);
    results.set(index, ScalarValue::Int64(Some(7))).unwrap();
    assert!(lowered.compile(&lowered.general(false)).is_ok());
    assert_eq!(check("a subquery", &less, &batch, false).reruns, 0);
}

#[test]
fn what_is_missing_has_a_reason() {
    let batch = batch_of(&DataType::Utf8, &DataType::Utf8);
    let schema = batch.schema_ref();
    let expected = [
        ("a LIKE b", ReasonCode::NotConstant),
        ("btrim(a, b)", ReasonCode::NotConstant),
        ("md5(a)", ReasonCode::Function),
        ("a ~ 'x+'", ReasonCode::Expression),
        ("CAST(a AS INT)", ReasonCode::Cast),
        ("reverse(a)", ReasonCode::Function),
        ("CAST(CAST('2020-01-01' || a AS TIMESTAMP) AS DATE)", ReasonCode::Cast),
        ("a ILIKE '%É%'", ReasonCode::ExpressionSize),
    ];
    for (sql, code) in expected {
        let expr = plan(sql, schema).unwrap();
        let reason = lower(None, &[expr], schema).unwrap_err();
        assert_eq!(reason.code, code, "{sql}: {reason}");
        assert_eq!(reason.to_string(), format!("{} {}", code.code(), reason.detail));
    }
    assert!(batch.column(0).len() > 1);
}
