//! From operators behind a scan to the steps of a chain: backwards, from what is wanted in the end to what the first
//! probe must be given.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DataFusionError, JoinSide, JoinType, NullEquality, internal_err};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, Literal,
};
use datafusion_physical_expr::split_conjunction;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use staffa_common::{Reason, ReasonCode};

use super::{Chain, Compute, Finds, From, Key, Probe, Residual, Step, Work};
use crate::bound::through;
use crate::cpu::join::kept_columns;
use crate::cuda::aggregate::key_rule;
use crate::cuda::expression::{self, storage};
use crate::plan::{JoinKind, JoinSpec, Op, OpKind};

type Expr = Arc<dyn PhysicalExpr>;

/// What is wanted of the rows behind the last operator.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// All columns.
    Rows,
    /// These expressions over them.
    Columns(&'a [Expr]),
}

/// Lowers a row of operators that begins with a probe.
///
/// # Errors
/// The first thing found that the device cannot do.
pub fn lower(ops: &[Op], end: End<'_>) -> Result<Chain, Reason> {
    let Some(last) = ops.last() else {
        return Err(Reason::new(ReasonCode::LoweringFault, "a chain without operators"));
    };
    let (lowering, types) = Lowering::of(ops, &last.schema, end)?;
    if !matches!(ops[0].kind, OpKind::Probe(..)) {
        return Err(Reason::new(ReasonCode::LoweringFault, "a chain that begins with no probe"));
    }
    Ok(lowering.chain(types, ops.len()))
}

/// Lowers a row of operators over rows of `input` that the host has: any operators, or none where the end asks for
/// columns.
///
/// # Errors
/// The first thing found that the device cannot do.
pub fn lower_lifted(ops: &[Op], input: &Schema, end: End<'_>) -> Result<Chain, Reason> {
    let last = ops.last().map_or(input, |op| &op.schema);
    let (mut lowering, types) = Lowering::of(ops, last, end)?;
    if lowering.filter.is_some() || !lowering.wanted.iter().all(|expr| expr.is::<Column>()) {
        let read = lowering.flush(input)?;
        lowering.wanted = read.iter().map(|&column| at_place(input, column)).collect();
    }
    for expr in &lowering.wanted {
        let of = expr.data_type(input).map_err(fault)?;
        if !goes_up(&of) {
            let what = format!("{of} has no device form");
            return Err(Reason::new(ReasonCode::DataType, what));
        }
    }
    Ok(lowering.chain(types, ops.len()))
}

/// All columns of a schema.
fn columns(schema: &Schema) -> Vec<Expr> {
    let fields = schema.fields().iter().enumerate();
    fields.map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Expr).collect()
}

fn fault(error: DataFusionError) -> Reason {
    Reason::new(ReasonCode::LoweringFault, error.strip_backtrace())
}

/// What is wanted of the rows at some place of the chain, and the steps behind that, last first.
struct Lowering {
    /// What rows must pass before `wanted` is computed.
    filter: Option<Expr>,
    /// Over the schema at this place.
    wanted: Vec<Expr>,
    /// Operators whose rows are those behind `filter`, and those whose rows are those before it.
    after: Vec<usize>,
    before: Vec<usize>,
    steps: Vec<Step>,
}

impl Lowering {
    /// The steps of operators, and the types of what is wanted behind them, over `last`.
    fn of(ops: &[Op], last: &Schema, end: End<'_>) -> Result<(Self, Vec<DataType>), Reason> {
        let wanted = match end {
            End::Rows => columns(last),
            End::Columns(exprs) => exprs.to_vec(),
        };
        let types = wanted.iter().map(|expr| expr.data_type(last));
        let types = types.collect::<Result<Vec<_>, _>>().map_err(fault)?;
        let mut lowering =
            Self { filter: None, wanted, after: vec![], before: vec![], steps: vec![] };
        for (at, op) in ops.iter().enumerate().rev() {
            match &op.kind {
                OpKind::Project(spec) => lowering.project(at, &spec.exprs)?,
                OpKind::Filter(spec) => {
                    lowering.filter(at, op, &spec.predicate, spec.projection.as_deref())?;
                }
                OpKind::Probe(spec, _, _) => {
                    let ends = at + 1 == ops.len() && matches!(end, End::Rows);
                    lowering.probe(at, op, spec, ends)?;
                }
                OpKind::Limit(_) => {
                    return Err(Reason::new(ReasonCode::ScanOption, "a limit stops early"));
                }
                OpKind::Window(_) => {
                    return Err(Reason::new(ReasonCode::NoTwin, "window functions on a device"));
                }
            }
        }
        Ok((lowering, types))
    }

    fn chain(self, types: Vec<DataType>, operators: usize) -> Chain {
        let Self { wanted: entry, mut steps, after: counts, .. } = self;
        steps.reverse();
        Chain { entry, counts, steps, types, operators }
    }

    fn project(&mut self, at: usize, exprs: &[Expr]) -> Result<(), Reason> {
        self.counts().push(at);
        for expr in self.wanted.iter_mut().chain(&mut self.filter) {
            *expr = through(expr, exprs).map_err(fault)?;
        }
        Ok(())
    }

    /// The operators whose rows are those at this place.
    fn counts(&mut self) -> &mut Vec<usize> {
        match self.filter {
            Some(_) => &mut self.before,
            None => &mut self.after,
        }
    }

    fn filter(
        &mut self,
        at: usize,
        op: &Op,
        predicate: &Expr,
        projection: Option<&[usize]>,
    ) -> Result<(), Reason> {
        let predicate = decided(predicate, &op.input);
        if self.filter.is_some() && predicate.is_some() {
            let read = self.flush(&op.schema)?;
            self.wanted = read.iter().map(|&column| at_place(&op.schema, column)).collect();
        }
        self.counts().push(at);
        if let Some(projection) = projection {
            let kept: Vec<Expr> =
                projection.iter().map(|&column| at_place(&op.input, column)).collect();
            for expr in self.wanted.iter_mut().chain(&mut self.filter) {
                *expr = through(expr, &kept).map_err(fault)?;
            }
        }
        if predicate.is_some() {
            self.filter = predicate;
        }
        Ok(())
    }

    /// Makes a step of what is wanted and the filter; the columns of `schema` that it reads, ascending.
    fn flush(&mut self, schema: &Schema) -> Result<Vec<usize>, Reason> {
        let read = read(self.wanted.iter().chain(&self.filter));
        let place = |column| read.binary_search(&column).ok();
        let narrow = schema.project(&read).map_err(|error| fault(error.into()))?;
        for expr in self.wanted.iter_mut().chain(&mut self.filter) {
            *expr = onto(expr, place)?;
        }
        let (filter, wanted) = (self.filter.take(), std::mem::take(&mut self.wanted));
        let work = work(filter.as_ref(), &wanted, &narrow)?;
        let counts = match filter {
            Some(_) => std::mem::replace(&mut self.after, std::mem::take(&mut self.before)),
            None => Vec::new(),
        };
        self.steps.push(Step::Compute(Compute { counts, work }));
        Ok(read)
    }

    fn probe(&mut self, at: usize, op: &Op, spec: &JoinSpec, ends: bool) -> Result<(), Reason> {
        let finds = finds(spec, ends)?;
        let mut sides = Sides::new(spec);
        let marks = matches!(
            spec.join_type,
            JoinType::Left
                | JoinType::Full
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark
        );
        let pairs = matches!(finds, Finds::Pairs { .. });
        // A condition on pairs filters the rows that go on, or says which rows have a match.
        let residual = match &spec.filter {
            Some(filter) if !pairs || marks => Some(Box::new(sides.residual(filter)?)),
            _ => None,
        };
        let gathers = match finds {
            Finds::Nothing => {
                self.wanted.clear();
                Vec::new()
            }
            _ => self.gather(at, op, spec, &mut sides, pairs)?,
        };
        // With a condition on pairs, the step that tests it leaves the probe's rows.
        let mut counts = Vec::new();
        if !(pairs && spec.filter.is_some()) {
            counts = std::mem::take(&mut self.after);
            counts.push(at);
        }
        let nulls_equal = spec.null_equality == NullEquality::NullEqualsNull;
        let keys = sides.keys(spec)?;
        self.wanted = sides.inputs;
        self.steps.push(Step::Probe(Box::new(Probe {
            operator: at,
            counts,
            keys,
            nulls_equal,
            finds,
            marks,
            residual,
            gathers,
        })));
        Ok(())
    }

    /// What is gathered behind a probe, whose condition on pairs becomes a filter of them.
    fn gather(
        &mut self,
        at: usize,
        op: &Op,
        spec: &JoinSpec,
        sides: &mut Sides,
        pairs: bool,
    ) -> Result<Vec<From>, Reason> {
        let condition = spec.filter.as_ref().filter(|_| pairs);
        // Over the join's output.
        let plain = self.filter.is_none()
            && condition.is_none()
            && self.wanted.iter().all(|e| e.is::<Column>());
        let read = match (plain, condition, &self.filter) {
            (true, _, _) => {
                let columns = self.wanted.iter().filter_map(|e| e.downcast_ref::<Column>());
                let columns: Vec<usize> = columns.map(Column::index).collect();
                self.wanted.clear();
                let from = columns.iter().map(|&column| sides.output(spec, column));
                return from.collect();
            }
            (_, Some(_), Some(_)) | (_, None, _) => self.flush(&op.schema)?,
            // The condition and the computation in one program.
            (_, Some(_), None) => read(self.wanted.iter()),
        };
        let mut gathers =
            read.iter().map(|&column| sides.output(spec, column)).collect::<Result<Vec<_>, _>>()?;
        let Some(condition) = condition else { return Ok(gathers) };
        let mut fields: Vec<Arc<Field>> =
            read.iter().map(|&column| Arc::clone(&op.schema.fields()[column])).collect();
        let merged = !self.wanted.is_empty();
        let wanted: Vec<Expr> = match merged {
            true => {
                let place = |column| read.binary_search(&column).ok();
                self.wanted.iter().map(|expr| onto(expr, place)).collect::<Result<_, _>>()?
            }
            false => (0..read.len()).map(column).collect(),
        };
        let mut places = Vec::with_capacity(condition.column_indices().len());
        for (index, field) in condition.column_indices().iter().zip(condition.schema().fields()) {
            let from = sides.from(index)?;
            let known = gathers.iter().position(|known| *known == from);
            places.push(known.unwrap_or(gathers.len()));
            if known.is_none() {
                gathers.push(from);
                fields.push(Arc::clone(field));
            }
        }
        let predicate = onto(condition.expression(), |column| places.get(column).copied())?;
        let work = work(Some(&predicate), &wanted, &Schema::new(fields))?;
        // The probe's own rows are those that meet the condition.
        let mut counts = std::mem::take(&mut self.after);
        counts.push(at);
        self.wanted.clear();
        self.steps.push(Step::Compute(Compute { counts, work }));
        Ok(gathers)
    }
}

/// What a device tests of a predicate. Dynamic filters are advisory: of what they say by now, that much as lowers.
fn decided(predicate: &Expr, input: &Schema) -> Option<Expr> {
    let mut kept: Vec<Expr> = Vec::new();
    for conjunct in split_conjunction(predicate) {
        let Some(dynamic) = conjunct.downcast_ref::<DynamicFilterPhysicalExpr>() else {
            kept.push(Arc::clone(conjunct));
            continue;
        };
        let Ok(current) = dynamic.current() else { continue };
        let lowers = |expr: &&Expr| {
            !expr.is::<Literal>() && expression::lower(Some(*expr), &[], input).is_ok()
        };
        kept.extend(split_conjunction(&current).into_iter().filter(lowers).cloned());
    }
    kept.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::And, b)))
}

/// The columns that some expressions read, ascending.
fn read<'a>(exprs: impl Iterator<Item = &'a Expr>) -> Vec<usize> {
    let mut columns: Vec<usize> = exprs.flat_map(collect_columns).map(|c| c.index()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn at_place(schema: &Schema, column: usize) -> Expr {
    let name = schema.fields().get(column).map_or("", |field| field.name().as_str());
    Arc::new(Column::new(name, column))
}

fn column(place: usize) -> Expr {
    Arc::new(Column::new("", place))
}

/// `expr` with each column where `place` says.
fn onto(expr: &Expr, place: impl Fn(usize) -> Option<usize>) -> Result<Expr, Reason> {
    let moved = Arc::clone(expr).transform_up(|node| match node.downcast_ref::<Column>() {
        Some(column) => match place(column.index()) {
            Some(at) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Expr)),
            None => internal_err!("column {column} has no place"),
        },
        None => Ok(Transformed::no(node)),
    });
    moved.data().map_err(fault)
}

/// How columns are made of those of `schema`.
fn work(filter: Option<&Expr>, wanted: &[Expr], schema: &Schema) -> Result<Work, Reason> {
    if filter.is_none() {
        let columns = wanted.iter().map(|expr| Some(expr.downcast_ref::<Column>()?.index()));
        if let Some(columns) = columns.collect::<Option<Vec<_>>>() {
            return Ok(Work::Columns(columns));
        }
    }
    let lowered = expression::lower(filter, wanted, schema)?;
    if lowered.columns().is_empty() {
        return Err(Reason::new(ReasonCode::ScanOption, "no column is read behind a join"));
    }
    Ok(Work::Program(Box::new(lowered)))
}

/// What a join type is on the device.
fn finds(spec: &JoinSpec, ends: bool) -> Result<Finds, Reason> {
    let option = |what: &str| Err(Reason::new(ReasonCode::JoinOption, what));
    if spec.kind == JoinKind::Loop || spec.on.is_empty() {
        return option("the device joins by keys only");
    }
    if spec.null_aware {
        return option("NOT IN, which NULLs decide, is joined on the CPU");
    }
    let outer = matches!(spec.join_type, JoinType::Right | JoinType::Full);
    if outer && spec.filter.is_some() {
        return option("a condition on the pairs of an outer probe side");
    }
    Ok(match spec.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            Finds::Pairs { outer }
        }
        JoinType::RightSemi => Finds::Rows { matched: true },
        JoinType::RightAnti => Finds::Rows { matched: false },
        JoinType::RightMark => Finds::Mark,
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark if ends => Finds::Nothing,
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            return option("the join below gives its rows at the end, on the CPU");
        }
    })
}

/// What a probe takes of either side.
struct Sides {
    kept: Vec<usize>,
    build: Vec<DataType>,
    /// Over the probe side's schema.
    inputs: Vec<Expr>,
    probe: Arc<Schema>,
}

impl Sides {
    fn new(spec: &JoinSpec) -> Self {
        let types = spec.build_schema.fields().iter().map(|field| field.data_type().clone());
        Self {
            kept: kept_columns(spec),
            build: types.collect(),
            inputs: Vec::new(),
            probe: Arc::clone(&spec.probe_schema),
        }
    }

    /// The number of an input.
    fn input(&mut self, expr: &Expr) -> usize {
        match self.inputs.iter().position(|known| known == expr) {
            Some(at) => at,
            None => {
                self.inputs.push(Arc::clone(expr));
                self.inputs.len() - 1
            }
        }
    }

    fn output(&mut self, spec: &JoinSpec, column: usize) -> Result<From, Reason> {
        match spec.output.get(column) {
            Some(index) => self.from(index),
            None => Err(Reason::new(ReasonCode::LoweringFault, format!("no column {column}"))),
        }
    }

    fn from(&mut self, index: &ColumnIndex) -> Result<From, Reason> {
        match index.side {
            JoinSide::None => Ok(From::Mark),
            JoinSide::Right => {
                let expr = at_place(&self.probe, index.index);
                Ok(From::Probe(self.input(&expr)))
            }
            JoinSide::Left => {
                let of = self.build.get(index.index);
                if !of.is_some_and(goes_up) {
                    let of = of.map(DataType::to_string).unwrap_or_default();
                    let what = format!("{of} of a build side has no device form");
                    return Err(Reason::new(ReasonCode::DataType, what));
                }
                let kept = self.kept.binary_search(&index.index).map_err(|_| {
                    Reason::new(ReasonCode::LoweringFault, "a column that is not kept")
                })?;
                Ok(From::Build(kept))
            }
        }
    }

    fn residual(&mut self, filter: &JoinFilter) -> Result<Residual, Reason> {
        let gathers = filter.column_indices().iter().map(|index| self.from(index));
        let gathers = gathers.collect::<Result<Vec<_>, _>>()?;
        let lowered = expression::lower(None, &[Arc::clone(filter.expression())], filter.schema())?;
        if lowered.columns().is_empty() || filter.expression().is::<Column>() {
            return Err(Reason::new(ReasonCode::JoinOption, "a condition that computes nothing"));
        }
        Ok(Residual { gathers, lowered })
    }

    /// The keys among the inputs.
    fn keys(&mut self, spec: &JoinSpec) -> Result<Vec<Key>, Reason> {
        let mut keys = Vec::with_capacity(spec.on.len());
        for (build, probe) in &spec.on {
            let of = build.data_type(&spec.build_schema).map_err(fault)?;
            let to = probe.data_type(&spec.probe_schema).map_err(fault)?;
            if !same_keys(&of, &to) {
                let what = format!("keys of types {of} and {to}");
                return Err(Reason::new(ReasonCode::KeyType, what));
            }
            let refused = |_| {
                let what = format!("the device does not join by {of}");
                Reason::new(ReasonCode::KeyType, what)
            };
            let rule = key_rule(&of).map_err(refused)?;
            keys.push(Key { column: self.input(probe), rule, build_type: of });
        }
        Ok(keys)
    }
}

/// Whether an array of this type has a form on the device.
fn goes_up(of: &DataType) -> bool {
    let codes = matches!(of, DataType::Dictionary(..));
    !codes
        && (storage(of).is_some()
            || matches!(of, DataType::Decimal256(..) | DataType::FixedSizeBinary(1..)))
}

/// Whether equal values of both types are the same bytes.
fn same_keys(a: &DataType, b: &DataType) -> bool {
    use DataType as D;
    let text = |of: &D| matches!(of, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let binary = |of: &D| matches!(of, D::Binary | D::LargeBinary | D::BinaryView);
    a == b || (text(a) && text(b)) || (binary(a) && binary(b))
}
