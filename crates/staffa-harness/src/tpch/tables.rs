//! The eight tables, and their rows as Arrow batches.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

/// A table of TPC-H.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// About 6 M rows per unit of scale.
    Lineitem,
    /// 1.5 M rows per unit of scale.
    Orders,
    /// 800 K rows per unit of scale.
    Partsupp,
    /// 200 K rows per unit of scale.
    Part,
    /// 150 K rows per unit of scale.
    Customer,
    /// 10 K rows per unit of scale.
    Supplier,
    /// 25 rows.
    Nation,
    /// 5 rows.
    Region,
}

/// The rows of one part of a table, in order.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Table {
    /// All tables, the largest first.
    pub const ALL: [Self; 8] = [
        Self::Lineitem,
        Self::Orders,
        Self::Partsupp,
        Self::Part,
        Self::Customer,
        Self::Supplier,
        Self::Nation,
        Self::Region,
    ];

    /// The name that queries use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lineitem => "lineitem",
            Self::Orders => "orders",
            Self::Partsupp => "partsupp",
            Self::Part => "part",
            Self::Customer => "customer",
            Self::Supplier => "supplier",
            Self::Nation => "nation",
            Self::Region => "region",
        }
    }

    /// Rows at a scale: exact but for lineitem, whose orders have 1 to 7 lines (4 on average).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "row counts of any scale that fits a disk are far below 2^53"
    )]
    pub fn rows(self, scale: f64) -> u64 {
        let per_unit = match self {
            Self::Lineitem => 6_001_215.0,
            Self::Orders => 1_500_000.0,
            Self::Partsupp => 800_000.0,
            Self::Part => 200_000.0,
            Self::Customer => 150_000.0,
            Self::Supplier => 10_000.0,
            Self::Nation => return 25,
            Self::Region => return 5,
        };
        (per_unit * scale) as u64
    }

    /// The schema that [`Self::batches`] yields.
    pub(super) fn schema(self) -> SchemaRef {
        match self {
            Self::Lineitem => LineItemArrow::schema_ref(),
            Self::Orders => OrderArrow::schema_ref(),
            Self::Partsupp => PartSuppArrow::schema_ref(),
            Self::Part => PartArrow::schema_ref(),
            Self::Customer => CustomerArrow::schema_ref(),
            Self::Supplier => SupplierArrow::schema_ref(),
            Self::Nation => NationArrow::schema_ref(),
            Self::Region => RegionArrow::schema_ref(),
        }
    }

    /// Part `part` (counted from 1) of `parts`; all parts in order make the table.
    pub(super) fn batches(self, scale: f64, part: i32, parts: i32) -> Batches {
        macro_rules! batches {
            ($arrow:ident, $generator:ident) => {
                Box::new($arrow::new($generator::new(scale, part, parts)))
            };
        }
        match self {
            Self::Lineitem => batches!(LineItemArrow, LineItemGenerator),
            Self::Orders => batches!(OrderArrow, OrderGenerator),
            Self::Partsupp => batches!(PartSuppArrow, PartSuppGenerator),
            Self::Part => batches!(PartArrow, PartGenerator),
            Self::Customer => batches!(CustomerArrow, CustomerGenerator),
            Self::Supplier => batches!(SupplierArrow, SupplierGenerator),
            Self::Nation => batches!(NationArrow, NationGenerator),
            Self::Region => batches!(RegionArrow, RegionGenerator),
        }
    }
}
