//! The filters, projections and aggregates' arguments of TPC-H's plans: all of them lower.

use std::sync::Arc;

use datafusion::execution::context::SessionContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use staffa_engine::cuda::expression::{Lowered, lower};

/// Part of the binary, which also runs where there are no sources (scripts/gpu-suite.sh).
macro_rules! queries {
    ($($number:literal)*) => {
        [$(include_str!(concat!("../../../staffa-harness/src/tpch/queries/q", $number, ".sql"))),*]
    };
}

const QUERIES: [&str; 22] = queries! {
    "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11"
    "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22"
};

const TABLES: [&str; 8] = [
    "nation (n_nationkey INT, n_name VARCHAR, n_regionkey INT, n_comment VARCHAR)",
    "region (r_regionkey INT, r_name VARCHAR, r_comment VARCHAR)",
    "part (p_partkey BIGINT, p_name VARCHAR, p_mfgr VARCHAR, p_brand VARCHAR, p_type VARCHAR, p_size INT, \
     p_container VARCHAR, p_retailprice DECIMAL(15,2), p_comment VARCHAR)",
    "supplier (s_suppkey BIGINT, s_name VARCHAR, s_address VARCHAR, s_nationkey INT, s_phone VARCHAR, \
     s_acctbal DECIMAL(15,2), s_comment VARCHAR)",
    "partsupp (ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty INT, ps_supplycost DECIMAL(15,2), \
     ps_comment VARCHAR)",
    "customer (c_custkey BIGINT, c_name VARCHAR, c_address VARCHAR, c_nationkey INT, c_phone VARCHAR, \
     c_acctbal DECIMAL(15,2), c_mktsegment VARCHAR, c_comment VARCHAR)",
    "orders (o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus VARCHAR, o_totalprice DECIMAL(15,2), \
     o_orderdate DATE, o_orderpriority VARCHAR, o_clerk VARCHAR, o_shippriority INT, o_comment VARCHAR)",
    "lineitem (l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT, \
     l_quantity DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), \
     l_tax DECIMAL(15,2), l_returnflag VARCHAR, l_linestatus VARCHAR, l_shipdate DATE, l_commitdate DATE, \
     l_receiptdate DATE, l_shipinstruct VARCHAR, l_shipmode VARCHAR, l_comment VARCHAR)",
];

/// Prints what the program needs of a tile; it has none before its subqueries have run.
fn report(what: &str, lowered: &Lowered) {
    let Ok(compiled) = lowered.compile(&lowered.general(false)) else { return };
    let Some(program) = compiled.program else { return };
    let threads = program.block_threads().unwrap();
    println!(
        "{what}: {:?}, {} instructions, {} bytes a row, {threads} threads a block",
        program.variant(),
        program.instructions().len(),
        program.row_bytes()
    );
    assert!(threads >= 128, "{what}: {program}");
}

/// What a plan computes per row, by node: filter, outputs.
fn walk(
    plan: &Arc<dyn ExecutionPlan>,
    what: &str,
    counts: &mut [usize; 2],
    missing: &mut Vec<String>,
) {
    let mut of = |filter: Option<&Arc<dyn PhysicalExpr>>, outputs: &[Arc<dyn PhysicalExpr>]| {
        let input = plan.children()[0].schema();
        counts[0] += 1;
        match lower(filter, outputs, &input) {
            Ok(lowered) => report(what, &lowered),
            Err(reason) => {
                missing.push(format!("{what}: {reason}"));
                counts[1] += 1;
            }
        }
    };
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        of(Some(filter.predicate()), &[]);
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let outputs: Vec<_> = projection.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
        of(None, &outputs);
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let arguments: Vec<_> =
            aggregate.aggr_expr().iter().flat_map(|function| function.expressions()).collect();
        if aggregate.input().schema() == aggregate.input_schema() {
            of(None, &arguments);
        }
    }
    for child in plan.children() {
        walk(child, what, counts, missing);
    }
}

#[tokio::test]
async fn every_filter_and_projection_of_tpch_lowers() {
    let context = SessionContext::new();
    for table in TABLES {
        context.sql(&format!("CREATE TABLE {table}")).await.unwrap();
    }
    let (mut counts, mut missing, mut queries) = ([0, 0], Vec::new(), 0);
    for (number, sql) in (1..).zip(QUERIES) {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        walk(&plan, &format!("q{number}"), &mut counts, &mut missing);
        queries += 1;
    }
    println!("{queries} queries, {} nodes, {} do not lower: {missing:#?}", counts[0], counts[1]);
    assert!(counts[0] > 60);
    assert!(missing.is_empty(), "{missing:#?}");
}
