//! What lowers, what is shared, what is refused. No device.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::AggregateUDF;
use datafusion_functions_aggregate::average::avg_udaf;
use datafusion_functions_aggregate::count::count_udaf;
use datafusion_functions_aggregate::median::median_udaf;
use datafusion_functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion_functions_aggregate::stddev::stddev_udaf;
use datafusion_functions_aggregate::sum::sum_udaf;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{col, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::aggregates::PhysicalGroupBy;
use staffa_common::{Reason, ReasonCode};

use super::{Grouping, lower};
use crate::plan::{AggregateSpec, AggregateStage};

type Expr = Arc<dyn PhysicalExpr>;

fn schema() -> SchemaRef {
    let list = DataType::new_list(DataType::Int64, true);
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8View, true),
        Field::new("v", DataType::Int64, true),
        Field::new("sure", DataType::Int64, false),
        Field::new("money", DataType::Decimal128(15, 2), true),
        Field::new("huge", DataType::Decimal128(38, 2), true),
        Field::new("f", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("list", list, true),
    ]))
}

fn column(name: &str) -> Expr {
    col(name, &schema()).unwrap()
}

fn call(function: &Arc<AggregateUDF>, argument: Expr) -> Arc<AggregateFunctionExpr> {
    let builder = AggregateExprBuilder::new(Arc::clone(function), vec![argument]);
    Arc::new(builder.schema(schema()).alias("x").build().unwrap())
}

fn spec(keys: &[&str], aggregates: Vec<Arc<AggregateFunctionExpr>>) -> AggregateSpec {
    let keys = keys.iter().map(|name| (column(name), (*name).to_string())).collect();
    AggregateSpec {
        stage: AggregateStage::Partial,
        group_by: Arc::new(PhysicalGroupBy::new_single(keys)),
        filters: vec![None; aggregates.len()],
        aggregates,
        input_schema: schema(),
        schema: schema(),
        limit: None,
        top: None,
        dynamic_filter: None,
    }
}

fn states(grouping: &Grouping) -> Vec<(usize, DataType, Option<usize>)> {
    let own = |(at, of, with): (usize, &DataType, Option<usize>)| (at, of.clone(), with);
    grouping.states().map(own).collect()
}

fn refused(spec: &AggregateSpec) -> Reason {
    lower(spec).map(drop).unwrap_err()
}

#[test]
fn functions_share_accumulators_and_columns() {
    let functions = vec![
        call(&sum_udaf(), column("money")),
        call(&avg_udaf(), column("money")),
        call(&count_udaf(), column("money")),
        call(&count_udaf(), lit(1_i64)),
        call(&count_udaf(), column("sure")),
    ];
    let grouping = lower(&spec(&["k"], functions)).unwrap();
    assert_eq!(grouping.columns(), &[column("k"), column("money")]);
    // The key, a sum, a count of values, a count of rows.
    assert_eq!(grouping.values(), 4);
    let expected = [
        (0, DataType::Decimal128(25, 2), None),
        // AVG's count is NULL where its sum is.
        (1, DataType::UInt64, Some(0)),
        (0, DataType::Decimal128(38, 2), None),
        (1, DataType::Int64, None),
        (2, DataType::Int64, None),
        (2, DataType::Int64, None),
    ];
    assert_eq!(states(&grouping), expected);
    let money = DataType::Decimal128(15, 2);
    grouping.check_types(&[DataType::Utf8View, money.clone()]).unwrap();
    grouping.check_types(&[DataType::Utf8, money]).unwrap_err();
    grouping.check_types(&[DataType::Utf8View, DataType::Float64]).unwrap_err();
    grouping.check_types(&[DataType::Utf8View]).unwrap_err();
}

#[test]
fn a_filter_makes_an_accumulator_another() {
    let both = vec![call(&sum_udaf(), column("v")), call(&sum_udaf(), column("v"))];
    let mut spec = spec(&[], both);
    spec.filters[1] = Some(column("flag"));
    let grouping = lower(&spec).unwrap();
    assert_eq!((grouping.values(), grouping.is_keyed()), (2, false));
    assert_eq!(grouping.columns(), &[column("v"), column("flag")]);
    grouping.check_types(&[DataType::Int64, DataType::Boolean]).unwrap();
    grouping.check_types(&[DataType::Int64, DataType::Int8]).unwrap_err();
}

#[test]
fn what_a_device_does_not_do_has_a_code() {
    let count = || vec![call(&count_udaf(), lit(1_i64))];
    let refusals = [
        (spec(&["list"], count()), ReasonCode::KeyType),
        (spec(&["k"], vec![call(&median_udaf(), column("f"))]), ReasonCode::Function),
        // Its sum is 256 bits wide.
        (spec(&["k"], vec![call(&avg_udaf(), column("huge"))]), ReasonCode::Function),
        // Without keys DataFusion has another rule for these.
        (spec(&[], vec![call(&min_udaf(), column("f"))]), ReasonCode::Function),
        (spec(&["k"], vec![call(&max_udaf(), column("list"))]), ReasonCode::Function),
        (AggregateSpec { limit: Some(3), ..spec(&["k"], count()) }, ReasonCode::AggregateOption),
        (
            AggregateSpec { stage: AggregateStage::Final, ..spec(&["k"], count()) },
            ReasonCode::AggregateOption,
        ),
    ];
    for (spec, code) in refusals {
        assert_eq!(refused(&spec).code, code, "{spec:?}");
    }
    let distinct = AggregateExprBuilder::new(count_udaf(), vec![column("v")]).distinct();
    let distinct = Arc::new(distinct.schema(schema()).alias("x").build().unwrap());
    assert_eq!(refused(&spec(&["k"], vec![distinct])).code, ReasonCode::AggregateOption);
    let keys = vec![(column("k"), "k".to_string())];
    let nulls = vec![(lit(datafusion_common::ScalarValue::Utf8View(None)), "k".to_string())];
    let sets = PhysicalGroupBy::new(keys, nulls, vec![vec![false], vec![true]], true);
    let sets = Arc::new(sets);
    let with = |function: Arc<AggregateUDF>| AggregateSpec {
        group_by: Arc::clone(&sets),
        ..spec(&["k"], vec![call(&function, column("f"))])
    };
    assert_eq!(lower(&with(count_udaf())).unwrap().sets().len(), 2);
    // Moments of several groups do not become those of one.
    assert_eq!(refused(&with(stddev_udaf())).code, ReasonCode::AggregateOption);
    assert!(lower(&spec(&["k"], vec![call(&min_udaf(), column("f"))])).is_ok());
}
