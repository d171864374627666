//! Dynamic filters as tests of rows: what a join's build side or a top-K knows by now keeps rows out before
//! their other columns are decoded. Advisory: where it does not pay, or errs, rows pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use parking_lot::Mutex;
use staffa_engine::cpu::join::row_test;
use staffa_engine::cpu::predicate::{Predicate, infallible};

use super::left::{Left, SPARSE};
use super::open::OpenFile;

type Expr = Arc<dyn PhysicalExpr>;

/// Rows after which it is known whether the filters pay.
const TRIAL_ROWS: u64 = 1 << 16;
/// They pay when they keep out one row in so many: testing a row costs less than decoding it, and much
/// less than what the operators behind do with it.
const WORTH: u64 = 16;
/// Where they do not pay, one row group in so many tries again: filters get stricter.
const TRY_AGAIN: u64 = 8;

/// What has come of a scan's dynamic filters, for all lanes.
pub(super) struct Advice {
    /// In the order in which the predicate names them; grows as filters are seen.
    records: Mutex<Vec<Arc<Record>>>,
    /// What has come of the tests that stand in the plan.
    tests: Record,
    pruned: Count,
}

/// What has come of one filter.
#[derive(Default)]
struct Record {
    tested: AtomicU64,
    passed: AtomicU64,
    row_groups: AtomicU64,
}

impl Advice {
    /// Nothing yet.
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        Self {
            records: Mutex::default(),
            tests: Record::default(),
            pruned: MetricBuilder::new(metrics).global_counter("dynamic_filter_rows_pruned"),
        }
    }

    /// Notes how many of a morsel's rows passed the tests that stand in the plan.
    pub(super) fn learn_tests(&self, tested: usize, passed: usize) {
        self.tests.learn(tested, passed);
    }

    fn record(&self, number: usize) -> Arc<Record> {
        let mut records = self.records.lock();
        let needed = records.len().max(number + 1);
        records.resize_with(needed, Arc::default);
        Arc::clone(&records[number])
    }
}

impl Record {
    fn counts(&self) -> (u64, u64) {
        (self.tested.load(Ordering::Relaxed), self.passed.load(Ordering::Relaxed))
    }

    fn pays(&self) -> bool {
        let (tested, passed) = self.counts();
        tested < TRIAL_ROWS || tested.saturating_sub(passed) >= tested / WORTH
    }

    /// Rows that pass among 1,024, as far as is known.
    fn passing(&self) -> u64 {
        let (tested, passed) = self.counts();
        (passed * 1024).checked_div(tested).unwrap_or(0)
    }

    /// Whether less than one row in `part` passes; `None` while that is not known.
    fn passes_less(&self, part: u64) -> Option<bool> {
        let (tested, passed) = self.counts();
        (tested >= TRIAL_ROWS).then(|| passed < tested / part)
    }

    fn begins_row_group(&self) -> bool {
        let number = self.row_groups.fetch_add(1, Ordering::Relaxed);
        if self.pays() {
            return true;
        }
        if !number.is_multiple_of(TRY_AGAIN) {
            return false;
        }
        self.tested.store(0, Ordering::Relaxed);
        self.passed.store(0, Ordering::Relaxed);
        true
    }

    fn learn(&self, tested: usize, passed: usize) {
        self.tested.fetch_add(tested as u64, Ordering::Relaxed);
        self.passed.fetch_add(passed as u64, Ordering::Relaxed);
    }
}

/// A dynamic filter, and its number among the conjuncts of the scan's predicate.
pub(super) type Numbered = (usize, Expr);

/// The dynamic filters of the scan's predicate that rows are tested by, over the file's columns: those that
/// know something by now, may pay, and read nothing but `columns`.
pub(super) fn filters(file: &OpenFile, columns: &[usize]) -> Vec<Numbered> {
    // Tested anyway, or counted by a limit.
    if file.row_predicate().is_some() || !file.opener.advised {
        return Vec::new();
    }
    let Some(predicate) = &file.predicate else {
        return Vec::new();
    };
    let own = |filter: &Expr| {
        let read = collect_columns(filter);
        !read.is_empty() && read.iter().all(|column| columns.contains(&column.index()))
    };
    let conjuncts = split_conjunction(predicate).into_iter().cloned().enumerate();
    let knowing = conjuncts.filter(|(_, filter)| own(filter) && test_of(filter).is_some());
    knowing.filter(|(at, _)| file.opener.advice.record(*at).begins_row_group()).collect()
}

/// What a dynamic filter asks of a row now; `None` where it is none, knows nothing or could raise an error.
fn test_of(filter: &Expr) -> Option<Expr> {
    let now = filter.downcast_ref::<DynamicFilterPhysicalExpr>()?.current().ok()?;
    let test = row_test(&now);
    (!test.is::<Literal>() && infallible(&test)).then_some(test)
}

/// Dynamic filters as a lane tests them.
pub(super) struct Advisory {
    watched: Vec<Watched>,
    schema: SchemaRef,
    advice: Arc<Advice>,
}

struct Watched {
    filter: Expr,
    record: Arc<Record>,
    /// The filter as it stood at this generation.
    generation: Option<u64>,
    test: Option<Predicate>,
}

impl Advisory {
    /// `filters` over `schema`.
    pub(super) fn new(filters: Vec<Numbered>, schema: SchemaRef, advice: &Arc<Advice>) -> Self {
        let watched = filters.into_iter().map(|(at, filter)| Watched {
            filter,
            record: advice.record(at),
            generation: None,
            test: None,
        });
        Self { watched: watched.collect(), schema, advice: Arc::clone(advice) }
    }

    /// Whether the filters had better be tested before the tests that stand in the plan: these let most rows pass,
    /// and a filter so few that other columns are decoded for these only.
    pub(super) fn comes_first(&self) -> bool {
        let sparse = |watched: &Watched| watched.record.passes_less(SPARSE as u64) == Some(true);
        self.advice.tests.passes_less(2) == Some(false) && self.watched.iter().any(sparse)
    }

    /// Whether there is any filter.
    pub(super) fn watches(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Keeps the rows that pass, by the strictest filters first.
    ///
    /// # Errors
    /// Internal ones only: what could raise others is not tested.
    pub(super) fn narrow(&mut self, left: &mut Left) -> Result<()> {
        self.watched.sort_by_key(|watched| watched.record.passing());
        for watched in &mut self.watched {
            if !watched.record.pays() {
                continue;
            }
            if !left.any() {
                break;
            }
            watched.follow(&self.schema)?;
            let Some(test) = &watched.test else {
                continue;
            };
            let (tested, passed) = left.test(|morsel| test.mask(morsel))?;
            watched.record.learn(tested, passed);
            self.advice.pruned.add(tested - passed);
        }
        Ok(())
    }
}

impl Watched {
    /// Takes the filter as it is now.
    fn follow(&mut self, schema: &SchemaRef) -> Result<()> {
        let now = Some(snapshot_generation(&self.filter));
        if now == self.generation {
            return Ok(());
        }
        self.generation = now;
        self.test = match test_of(&self.filter) {
            Some(test) => Some(Predicate::new(&test, schema)?),
            None => None,
        };
        Ok(())
    }
}
