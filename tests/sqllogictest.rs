//! Sqllogictest files on stock DataFusion and on Staffa: DataFusion's own (60 of the 504 in CI,
//! all with `STAFFA_SLT=all`, some with `STAFFA_SLT=joins.slt,union.slt`), and ours in tests/slt.

#![expect(clippy::expect_used, reason = "a helper of tests fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use staffa_testkit::slt::{Report, Workplace, compare_file, compare_files, own_files};

/// What CI runs of DataFusion's files: everything about joins, aggregates, order, limits, set
/// operations, subqueries and types, without the slow and the purely syntactic ones.
const IN_CI: [&str; 60] = [
    "agg_func_substitute.slt",
    "aggregate.slt",
    "aggregate_any_value.slt",
    "aggregate_repartition.slt",
    "aggregates_simplify.slt",
    "aggregates_topk.slt",
    "array_agg.slt",
    "binary.slt",
    "binary_view.slt",
    "case.slt",
    "coalesce.slt",
    "count_star_rule.slt",
    "cse.slt",
    "cte.slt",
    "decimal.slt",
    "dictionary.slt",
    "dictionary_struct.slt",
    "distinct_on.slt",
    "eliminate_outer_join.slt",
    "filter_without_sort_exec.slt",
    "first_last_nested.slt",
    "functional_dependencies.slt",
    "group.slt",
    "group_by.slt",
    "grouping.slt",
    "grouping_set_repartition.slt",
    "in_list.slt",
    "intersection.slt",
    "join_disable_repartition_joins.slt",
    "join_is_not_distinct_from.slt",
    "join_limit_pushdown.slt",
    "join_lists.slt",
    "join_only.slt",
    "joins.slt",
    "lateral_join.slt",
    "limit.slt",
    "limit_single_row_batches.slt",
    "negative_zero.slt",
    "null_aware_anti_join.slt",
    "optimizer_group_by_constant.slt",
    "order.slt",
    "parquet.slt",
    "predicates.slt",
    "projection.slt",
    "propagate_empty_relation_outer_join.slt",
    "push_down_filter_outer_joins.slt",
    "push_down_topk_through_join.slt",
    "pwmj.slt",
    "qualify.slt",
    "repartition.slt",
    "same_column_name_cross_join.slt",
    "select.slt",
    "sort_merge_join.slt",
    "struct.slt",
    "subquery.slt",
    "subquery_sort.slt",
    "topk.slt",
    "type_coercion.slt",
    "union.slt",
    "unnest.slt",
];

fn runtime() -> tokio::runtime::Runtime {
    // Deep plans recurse: DataFusion's runner has its main thread's 8 MiB, workers get as much.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(8 << 20)
        .build()
        .expect("a runtime")
}

fn chosen(workplace: &Workplace) -> Vec<PathBuf> {
    let every = workplace.files().expect("the package's files");
    let wanted: Vec<String> = match std::env::var("STAFFA_SLT") {
        Ok(all) if all == "all" => {
            assert!(every.len() >= 504, "only {} files in the package", every.len());
            return every;
        }
        Ok(list) => list.split(',').map(str::to_string).collect(),
        Err(_) => IN_CI.map(str::to_string).to_vec(),
    };
    for file in &wanted {
        assert!(every.contains(&PathBuf::from(file)), "the package has no {file}");
    }
    every.into_iter().filter(|f| wanted.iter().any(|w| f == Path::new(w))).collect()
}

fn assert_same(report: &Report) {
    let failures = report.failures().len();
    assert_eq!(failures, 0, "{failures} records pass on stock and fail with Staffa");
    assert!(report.pass_on_stock() > 0, "no record passes on stock: nothing was compared");
    assert!(report.accelerated() > 0, "no Staffa node ran: nothing was compared");
}

#[test]
fn datafusions_files_pass_as_on_stock() {
    let workplace = Arc::new(Workplace::new().expect("the package in the cargo registry"));
    // The files name their data relative to the working directory.
    std::env::set_current_dir(workplace.folder()).expect("the workplace");
    let files = chosen(&workplace);
    let start = Instant::now();
    let mut report =
        runtime().block_on(compare_files(&workplace, &files)).expect("files that parse");
    report.elapsed = start.elapsed();
    println!("{}", report.text());
    assert_same(&report);
}

#[test]
fn our_files_pass_on_stock_and_with_staffa() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let files = own_files(&folder).expect("our files");
    assert!(files.len() >= 8, "only {} files of ours", files.len());
    let mut report = Report::default();
    let runtime = runtime();
    for file in &files {
        let name = Path::new(file.file_name().expect("a file"));
        let result =
            runtime.block_on(compare_file(file, name, || Ok(()))).expect("a file that parses");
        assert_eq!(
            result.records,
            result.pass_on_stock + result.explains,
            "{} expects what DataFusion does not answer: {:?}",
            result.name,
            result.stock_complaints
        );
        assert!(result.accelerated > 0, "{}: no Staffa node ran", result.name);
        report.files.push(result);
    }
    println!("{}", report.text());
    assert_same(&report);
}
