//! One program in the making: the walk over an expression's tree.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NegativeExpr, NotExpr, TryCastExpr,
};
use datafusion_physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Builder, Constant, Mask, OnError, Value};

use super::literal::literal;
use super::types::{plain, register, storage};
use super::{binary, case, cast, functions, list, strings};

/// An expression, shared.
pub(super) type Expr = Arc<dyn PhysicalExpr>;

/// Where the walk finds a column of the input schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The program's input.
    pub(super) input: usize,
}

/// A program under construction.
pub(super) struct Lowering<'a> {
    /// Makes the instructions.
    pub(super) builder: Builder,
    pub(super) schema: &'a Schema,
    /// By column of the schema.
    pub(super) places: &'a HashMap<usize, Place>,
    /// Expressions whose values over a dictionary's entries are an input of their own: the input, and the
    /// column of the schema whose codes select from it.
    pub(super) lookups: HashMap<Expr, (usize, usize)>,
    /// Whether scalar subqueries need not have run.
    pub(super) assumes: bool,
    /// Values by expression, innermost mask last. What an outer mask computed holds on inner rows too.
    known: Vec<HashMap<Expr, Value>>,
}

impl<'a> Lowering<'a> {
    /// An empty program.
    pub(super) fn new(
        builder: Builder,
        schema: &'a Schema,
        places: &'a HashMap<usize, Place>,
    ) -> Self {
        Self {
            builder,
            schema,
            places,
            lookups: HashMap::new(),
            assumes: false,
            known: vec![HashMap::new()],
        }
    }

    /// The type of an expression.
    ///
    /// # Errors
    /// `Expression` when DataFusion cannot tell.
    pub(super) fn type_of(&self, expr: &Expr) -> Result<DataType, Reason> {
        expr.data_type(self.schema)
            .map_err(|error| Reason::new(ReasonCode::Expression, format!("{expr}: {error}")))
    }

    /// An expression's value, computed once for each mask.
    ///
    /// # Errors
    /// Why the device cannot compute it.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, Reason> {
        if let Some(literal_) = expr.downcast_ref::<Literal>() {
            return literal(&mut self.builder, literal_.value());
        }
        if let Some(subquery) = expr.downcast_ref::<ScalarSubqueryExpr>() {
            return self.subquery(expr, subquery);
        }
        if let Some(value) = self.known.iter().find_map(|known| known.get(expr)) {
            return Ok(*value);
        }
        let value = match self.lookups.get(expr).copied() {
            Some((input, column)) => {
                let codes = self.codes(column)?;
                self.builder.gather(input, codes)?
            }
            None => self.compute(expr)?,
        };
        if let Some(known) = self.known.last_mut() {
            known.insert(Arc::clone(expr), value);
        }
        Ok(value)
    }

    /// An expression whose value must have the register of `of`; NULL without a type takes it.
    ///
    /// # Errors
    /// As [`Lowering::value`]; `Expression` when it has another type.
    pub(super) fn value_as(&mut self, expr: &Expr, of: &DataType) -> Result<Value, Reason> {
        let kind = register(of)?;
        if constant_of(expr).is_some_and(ScalarValue::is_null) {
            return Ok(self.builder.null(kind)?);
        }
        let given = self.type_of(expr)?;
        if !same_values(&given, of) {
            return Err(Reason::new(
                ReasonCode::Expression,
                format!("{expr} is of type {given}, not {of}"),
            ));
        }
        self.value(expr)
    }

    /// Lowers with `f` on the rows of a mask only.
    ///
    /// # Errors
    /// Those of `f`.
    pub(super) fn on<R>(
        &mut self,
        mask: Mask,
        f: impl FnOnce(&mut Self) -> Result<R, Reason>,
    ) -> Result<R, Reason> {
        let region = self.builder.enter(mask);
        self.known.push(HashMap::new());
        let result = f(self);
        self.known.pop();
        self.builder.leave(region);
        result
    }

    /// The codes of a column of the schema.
    ///
    /// # Errors
    /// `LoweringFault` for a column that is not an input.
    pub(super) fn codes(&mut self, column: usize) -> Result<Value, Reason> {
        let place = self.place(column)?;
        Ok(self.builder.codes(place.input)?)
    }

    fn place(&self, column: usize) -> Result<Place, Reason> {
        self.places.get(&column).copied().ok_or_else(|| {
            Reason::new(ReasonCode::LoweringFault, format!("column {column} is no input"))
        })
    }

    /// A column, whatever may be done with it.
    ///
    /// # Errors
    /// `DataType` when no register holds it.
    pub(super) fn column(&mut self, column: &Column) -> Result<Value, Reason> {
        let of = self.schema.fields().get(column.index()).map(|field| field.data_type());
        if of.and_then(storage).is_none() {
            let of = of.map(DataType::to_string).unwrap_or_default();
            return Err(Reason::new(
                ReasonCode::DataType,
                format!("{of} has no device arithmetic"),
            ));
        }
        let place = self.place(column.index())?;
        Ok(self.builder.column(place.input)?)
    }

    /// The value of a scalar subquery that has run, as a constant. One that has not may be any value of
    /// its type where only the possibility is asked for.
    fn subquery(&mut self, expr: &Expr, subquery: &ScalarSubqueryExpr) -> Result<Value, Reason> {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        match subquery.evaluate(&nothing) {
            Ok(ColumnarValue::Scalar(scalar)) => literal(&mut self.builder, &scalar),
            _ if self.assumes => {
                let kind = register(&self.type_of(expr)?)?;
                Ok(self.builder.constant(&Constant::integer(kind, 0))?)
            }
            _ => Err(Reason::new(ReasonCode::Expression, format!("{expr} has no value yet"))),
        }
    }

    fn compute(&mut self, expr: &Expr) -> Result<Value, Reason> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            register(&self.type_of(expr)?)?;
            return self.column(column);
        }
        if let Some(binary_) = expr.downcast_ref::<BinaryExpr>() {
            return binary::lower(self, expr, binary_);
        }
        if let Some(case_) = expr.downcast_ref::<CaseExpr>() {
            return case::lower(self, expr, case_);
        }
        if let Some(cast_) = expr.downcast_ref::<CastExpr>() {
            let on_error = if cast_.cast_options().safe { OnError::Null } else { OnError::Raise };
            return cast::lower(self, cast_.expr(), cast_.cast_type(), on_error);
        }
        if let Some(cast_) = expr.downcast_ref::<TryCastExpr>() {
            return cast::lower(self, cast_.expr(), cast_.cast_type(), OnError::Null);
        }
        if let Some(list_) = expr.downcast_ref::<InListExpr>() {
            return list::lower(self, list_);
        }
        if let Some(like) = expr.downcast_ref::<LikeExpr>() {
            return strings::like(
                self,
                like.expr(),
                like.pattern(),
                like.case_insensitive(),
                like.negated(),
            );
        }
        if let Some(not) = expr.downcast_ref::<NotExpr>() {
            let a = self.value_as(not.arg(), &DataType::Boolean)?;
            return Ok(self.builder.not(a)?);
        }
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            return binary::negate(self, negative.arg());
        }
        if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
            return self.null_test(null.arg(), false);
        }
        if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
            return self.null_test(null.arg(), true);
        }
        if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
            return functions::lower(self, expr, function);
        }
        Err(Reason::new(ReasonCode::Expression, expr.to_string()))
    }

    /// `IS [NOT] NULL`, also of columns with which nothing else can be done.
    fn null_test(&mut self, arg: &Expr, negated: bool) -> Result<Value, Reason> {
        let value = match arg.downcast_ref::<Column>() {
            Some(column) => self.column(column)?,
            None => self.value(arg)?,
        };
        Ok(self.builder.is_null(value, negated))
    }
}

/// The scalar, when the expression is a constant.
pub(super) fn constant_of(expr: &Expr) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

/// Whether two types differ in nothing that a register knows: dictionaries and layouts of strings.
pub(super) fn same_values(a: &DataType, b: &DataType) -> bool {
    let (a, b) = (plain(a), plain(b));
    a == b
        || super::types::is_text(a) && super::types::is_text(b)
        || super::types::is_binary(a) && super::types::is_binary(b)
}
