//! Why a node stays with DataFusion: a closed list of codes, from which the docs are generated.

use std::fmt;

use crate::{FaultClass, StaffaError};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal),+ $(,)?) => {
        /// A coded reason why a node was not given to a Staffa engine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ReasonCode { $($(#[doc = $doc])+ $name),+ }

        impl ReasonCode {
            /// Every code, in order.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name),+];

            /// The stable code, e.g. `A001`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What the code means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

reasons! {
    /// No Staffa operator replaces this DataFusion operator yet.
    NoTwin = "A001",
    /// The input never ends, and the operator's twin needs its end.
    Unbounded = "A002",
    /// An expression is volatile: evaluating it again or elsewhere could change the answer.
    Volatile = "A003",
    /// An expression awaits something outside the query (an async function).
    AsyncFunction = "A004",
    /// The plan is part of a recursive query.
    Recursive = "A005",
    /// An order that the operator declares is used above, and its twin does not keep it.
    OrderUsed = "A006",
    /// The operator reads a source; the region above takes its batches.
    Source = "A007",
    /// The operator only waits for scalar subqueries and passes batches through.
    ScalarSubqueryWrapper = "A008",
    /// The aggregate needs its input in a given order.
    OrderedAggregate = "A009",
    /// A join type or option that the twin does not have.
    JoinOption = "A010",
    /// A partitioning scheme that the twin does not have.
    Partitioning = "A011",
    /// A key type that the twin cannot hash or compare.
    KeyType = "A012",
    /// The plan reads fewer rows than `staffa.min_rows`.
    TooFewRows = "A013",
    /// Leaving the operator where it is was measured or estimated to be faster.
    NotFaster = "A014",
    /// No GPU engine can be used here.
    NoGpu = "A015",
    /// The operator writes, or has another effect that must happen once.
    SideEffect = "A016",
    /// A data type that the twin does not handle.
    DataType = "A017",
    /// A way of reading files that Staffa's scan does not have.
    ScanOption = "A018",
    /// An expression that the device's interpreter has no program for.
    Expression = "A019",
    /// A function that the device does not have.
    Function = "A020",
    /// A cast that the device does not have.
    Cast = "A021",
    /// Rules of a time zone other than UTC, which are the host's.
    TimeZone = "A022",
    /// An operand that would have to be constant for the device.
    NotConstant = "A023",
    /// An expression that needs more than a tile of the interpreter has.
    ExpressionSize = "A024",
    /// Lowering the expression failed by a fault of Staffa's own.
    LoweringFault = "A025",
    /// An option of an aggregation that the device does not have.
    AggregateOption = "A026",
    /// A window function or an order of its input that the twin does not have.
    WindowOption = "A027",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A code with the particulars of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// What exactly: the operator's, function's or type's name.
    pub detail: String,
}

impl Reason {
    /// A reason with its particulars.
    pub fn new(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// What the builder of device programs refuses, as a reason.
impl From<StaffaError> for Reason {
    fn from(error: StaffaError) -> Self {
        let code = match error.class() {
            FaultClass::Unsupported => ReasonCode::ExpressionSize,
            _ => ReasonCode::LoweringFault,
        };
        Self::new(code, error.message())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.detail)
    }
}
