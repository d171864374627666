use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{JoinSide, JoinType, NullEquality};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, binary, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::joins::utils::{ColumnIndex, JoinFilter, build_join_schema};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use staffa_common::ReasonCode;

use super::{End, Finds, From, Step, Work, lower, lower_lifted};
use crate::plan::{FilterSpec, JoinKind, JoinSpec, Op, OpKind, ProjectSpec, Scope};

type Expr = Arc<dyn PhysicalExpr>;

fn schema(names: &[&str]) -> SchemaRef {
    let fields = names.iter().map(|name| match *name {
        "list" => Field::new_list("list", Field::new_list_field(DataType::Int64, true), true),
        name => Field::new(name, DataType::Int64, true),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn column(schema: &Schema, name: &str) -> Expr {
    Arc::new(Column::new_with_schema(name, schema).unwrap())
}

/// A join of `build` and `probe` by their first columns, of which these columns come out.
fn join(
    join_type: JoinType,
    build: &SchemaRef,
    probe: &SchemaRef,
    columns: Option<&[usize]>,
) -> JoinSpec {
    let (schema, output) = build_join_schema(build, probe, &join_type);
    let all: Vec<usize> = (0..output.len()).collect();
    let columns = columns.unwrap_or(&all);
    let on = (column(build, build.field(0).name()), column(probe, probe.field(0).name()));
    JoinSpec {
        kind: JoinKind::Hash,
        on: vec![on],
        filter: None,
        join_type,
        null_equality: NullEquality::NullEqualsNothing,
        null_aware: false,
        partitioned: false,
        build_schema: Arc::clone(build),
        probe_schema: Arc::clone(probe),
        output: columns.iter().map(|&at| output[at].clone()).collect(),
        schema: Arc::new(schema.project(columns).unwrap()),
        fetch: None,
        dynamic_filter: None,
        sideways: Vec::new(),
        for_device: true,
    }
}

fn op(kind: OpKind, input: &SchemaRef, schema: &SchemaRef) -> Op {
    let (input, schema) = (Arc::clone(input), Arc::clone(schema));
    Op { kind, input, schema, metrics: ExecutionPlanMetricsSet::new() }
}

fn probe(spec: JoinSpec) -> Op {
    let (input, schema) = (Arc::clone(&spec.probe_schema), Arc::clone(&spec.schema));
    op(OpKind::Probe(Arc::new(spec), 0, Scope::Shared), &input, &schema)
}

/// `a + b > 5`, of a build and a probe column.
fn condition(build: usize, probe: usize) -> JoinFilter {
    let schema = schema(&["x", "y"]);
    let sum = binary(column(&schema, "x"), Operator::Plus, column(&schema, "y"), &schema).unwrap();
    let more = binary(sum, Operator::Gt, lit(5_i64), &schema).unwrap();
    let sides = [(build, JoinSide::Left), (probe, JoinSide::Right)];
    let columns = sides.map(|(index, side)| ColumnIndex { index, side }).to_vec();
    JoinFilter::new(more, columns, schema)
}

#[test]
fn only_what_is_read_is_gathered() {
    let (build, rows) = (schema(&["k", "a", "b"]), schema(&["f", "v", "w"]));
    let spec = join(JoinType::Inner, &build, &rows, None);
    let wanted = column(&spec.schema, "w");
    let chain = lower(&[probe(spec)], End::Columns(&[wanted])).unwrap();
    let Step::Probe(found) = &chain.steps[0] else { panic!("{chain:?}") };
    // The key, and the one column that is wanted: the first probe is given no more.
    assert_eq!((chain.entry.len(), chain.steps.len()), (2, 1));
    assert_eq!(found.gathers.len(), 1);
    assert!(matches!(found.gathers[0], From::Probe(_)) && found.build_columns().is_empty());
    assert_eq!((found.finds, found.marks), (Finds::Pairs { outer: false }, false));
    assert_eq!((found.counts.as_slice(), chain.operators), (&[0][..], 1));
    assert_eq!(chain.types, [DataType::Int64]);
}

#[test]
fn every_operator_counts_the_rows_of_one_step() {
    let (build, rows) = (schema(&["k", "a"]), schema(&["f", "v"]));
    let first =
        JoinSpec { filter: Some(condition(1, 1)), ..join(JoinType::Inner, &build, &rows, None) };
    let joined = Arc::clone(&first.schema);
    let sum = binary(column(&joined, "a"), Operator::Plus, column(&joined, "v"), &joined).unwrap();
    let exprs = vec![sum, column(&joined, "f")];
    let summed = schema(&["s", "f"]);
    let more = binary(column(&summed, "s"), Operator::Gt, lit(7_i64), &summed).unwrap();
    let filter = FilterSpec { predicate: more, projection: Some(vec![1]), fetch: None };
    let left = schema(&["f"]);
    let ops = [
        probe(first),
        op(OpKind::Project(Arc::new(ProjectSpec { exprs })), &joined, &summed),
        op(OpKind::Filter(Arc::new(filter)), &summed, &left),
        probe(join(JoinType::RightAnti, &build, &left, None)),
    ];
    let chain = lower(&ops, End::Rows).unwrap();
    let counts: Vec<Vec<usize>> = chain
        .steps
        .iter()
        .map(|step| match step {
            Step::Probe(probe) => probe.counts.clone(),
            Step::Compute(compute) => compute.counts.clone(),
        })
        .collect();
    // The pairs, those that meet the condition, those that the filter leaves, those without a match.
    assert_eq!(counts.len(), 4, "{chain:?}");
    assert!(counts[0].is_empty());
    assert_eq!(counts[1], [1, 0]);
    assert_eq!(counts[2], [2]);
    assert_eq!(counts[3], [3]);
    assert!(matches!(&chain.steps[2], Step::Compute(c) if matches!(c.work, Work::Program(_))));
    assert_eq!(chain.probes().map(|probe| probe.operator).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn what_the_device_does_not_join_has_a_code() {
    let (build, rows) = (schema(&["k", "a", "list"]), schema(&["f", "v"]));
    let of = |join_type| join(join_type, &build, &rows, None);
    let pair = |spec: JoinSpec| JoinSpec { filter: Some(condition(1, 1)), ..spec };
    let narrow = |join_type| join(join_type, &build, &rows, Some(&[0]));
    let by_list = JoinSpec {
        on: vec![(column(&build, "list"), column(&build, "list"))],
        ..join(JoinType::RightSemi, &build, &build, None)
    };
    for (spec, code) in [
        (of(JoinType::Inner), ReasonCode::DataType),
        (pair(narrow(JoinType::Right)), ReasonCode::JoinOption),
        (pair(narrow(JoinType::Full)), ReasonCode::JoinOption),
        (JoinSpec { null_aware: true, ..narrow(JoinType::LeftAnti) }, ReasonCode::JoinOption),
        (JoinSpec { kind: JoinKind::Loop, ..narrow(JoinType::Inner) }, ReasonCode::JoinOption),
        (by_list, ReasonCode::KeyType),
    ] {
        let what = format!("{spec:?}");
        assert_eq!(lower(&[probe(spec)], End::Rows).unwrap_err().code, code, "{what}");
    }
    // A join that gives its rows at the end can only be the last.
    let marks = of(JoinType::LeftSemi);
    let filter = FilterSpec { predicate: lit(true), projection: None, fetch: None };
    let schema = Arc::clone(&marks.schema);
    let ops = [probe(marks), op(OpKind::Filter(Arc::new(filter)), &schema, &schema)];
    assert_eq!(lower(&ops, End::Rows).unwrap_err().code, ReasonCode::JoinOption);
    assert!(lower(&ops[..1], End::Rows).is_ok());
    assert_eq!(lower(&ops[1..], End::Rows).unwrap_err().code, ReasonCode::LoweringFault);
}

fn more_than_seven(schema: &Schema, name: &str) -> Expr {
    binary(column(schema, name), Operator::Gt, lit(7_i64), schema).unwrap()
}

#[test]
fn the_hosts_rows_enter_any_chain_as_columns() {
    let rows = schema(&["f", "v", "w"]);
    let sum = binary(column(&rows, "f"), Operator::Plus, column(&rows, "v"), &rows).unwrap();
    let summed = schema(&["s"]);
    let filter =
        FilterSpec { predicate: more_than_seven(&summed, "s"), projection: None, fetch: None };
    let ops = [
        op(
            OpKind::Project(Arc::new(ProjectSpec { exprs: vec![Arc::clone(&sum)] })),
            &rows,
            &summed,
        ),
        op(OpKind::Filter(Arc::new(filter)), &summed, &summed),
    ];
    let chain = lower_lifted(&ops, &rows, End::Rows).unwrap();
    // Two columns of three, and the projection lets all rows pass that enter.
    assert_eq!((chain.entry.len(), chain.steps.len(), chain.operators), (2, 1, 2));
    assert!(chain.entry.iter().all(|expr| expr.is::<Column>()), "{chain:?}");
    assert_eq!(chain.counts, [0]);
    assert!(matches!(&chain.steps[0], Step::Compute(step) if step.counts == [1]), "{chain:?}");
    // No operator: what an aggregation reads.
    let chain = lower_lifted(&[], &rows, End::Columns(&[sum])).unwrap();
    assert_eq!((chain.entry.len(), chain.steps.len(), chain.operators), (2, 1, 0));
    let lists = schema(&["f", "list"]);
    let refused = lower_lifted(&[], &lists, End::Rows).unwrap_err();
    assert_eq!(refused.code, ReasonCode::DataType);
}

#[test]
fn dynamic_filters_are_tested_as_far_as_they_say_something() {
    let rows = schema(&["f", "v"]);
    let dynamic = DynamicFilterPhysicalExpr::new(vec![column(&rows, "f")], lit(true));
    let dynamic = Arc::new(dynamic);
    let predicate: Expr = Arc::clone(&dynamic) as Expr;
    let filter = FilterSpec { predicate, projection: Some(vec![1]), fetch: None };
    let ops = [op(OpKind::Filter(Arc::new(filter)), &rows, &schema(&["v"]))];
    let chain = lower_lifted(&ops, &rows, End::Rows).unwrap();
    assert!(chain.steps.is_empty() && chain.counts == [0], "{chain:?}");
    assert_eq!(chain.entry.len(), 1);
    dynamic.update(more_than_seven(&rows, "f")).unwrap();
    let chain = lower_lifted(&ops, &rows, End::Rows).unwrap();
    assert!(matches!(&chain.steps[0], Step::Compute(step) if step.counts == [0]), "{chain:?}");
    assert_eq!(chain.entry.len(), 2);
}
