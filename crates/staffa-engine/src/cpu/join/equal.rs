//! Equality of key values, for keys that have no exact code.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, make_comparator};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::error::ArrowError;
use datafusion_common::utils::normalize_float_zero;
use datafusion_common::{NullEquality, Result};

use super::keys::codes;

/// One side's key columns, ready to be compared.
pub(super) struct Side {
    columns: Vec<SideColumn>,
}

struct SideColumn {
    /// With -0.0 as 0.0: DataFusion's comparator orders floats totally.
    array: ArrayRef,
    values: Values,
    nulls: bool,
}

/// Values that compare without a virtual call.
#[derive(Clone)]
enum Values {
    Bytes(OffsetBuffer<i32>, Buffer),
    LargeBytes(OffsetBuffer<i64>, Buffer),
    Views(BinaryViewArray),
    Wide(ScalarBuffer<i128>),
    Codes(Arc<[u64]>),
    Other,
}

impl Side {
    /// Of these key arrays.
    pub(super) fn new(keys: &[ArrayRef]) -> Self {
        let columns = keys
            .iter()
            .map(|key| {
                let array = normalize_float_zero(key);
                SideColumn {
                    values: Values::new(&array),
                    nulls: array.logical_null_count() > 0,
                    array,
                }
            })
            .collect();
        Self { columns }
    }

    /// Bytes that it holds beside the key arrays.
    pub(super) fn bytes(&self) -> usize {
        self.columns
            .iter()
            .map(|column| match &column.values {
                Values::Codes(codes) => codes.len() * 8,
                _ => 0,
            })
            .sum()
    }
}

impl Values {
    fn new(array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                Self::Bytes(array.offsets().clone(), array.values().clone())
            }
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                Self::Bytes(array.offsets().clone(), array.values().clone())
            }
            DataType::LargeUtf8 => {
                let array = array.as_string::<i64>();
                Self::LargeBytes(array.offsets().clone(), array.values().clone())
            }
            DataType::LargeBinary => {
                let array = array.as_binary::<i64>();
                Self::LargeBytes(array.offsets().clone(), array.values().clone())
            }
            DataType::Utf8View => Self::Views(array.as_string_view().clone().to_binary_view()),
            DataType::BinaryView => Self::Views(array.as_binary_view().clone()),
            DataType::Decimal128(..) => {
                Self::Wide(array.as_primitive::<Decimal128Type>().values().clone())
            }
            _ => match codes(array.as_ref()) {
                Some(codes) => Self::Codes(codes.into()),
                None => Self::Other,
            },
        }
    }
}

/// Compares rows of a left side with rows of a right side.
pub(super) struct Equal {
    columns: Vec<ColumnEqual>,
}

enum ColumnEqual {
    Bytes(OffsetBuffer<i32>, Buffer, OffsetBuffer<i32>, Buffer),
    LargeBytes(OffsetBuffer<i64>, Buffer, OffsetBuffer<i64>, Buffer),
    Views(BinaryViewArray, BinaryViewArray),
    Wide(ScalarBuffer<i128>, ScalarBuffer<i128>),
    Codes(Arc<[u64]>, Arc<[u64]>),
    Other(Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>),
}

impl Equal {
    /// Compares `left` with `right`. Where NULLs match nothing, rows that have one must not be
    /// compared.
    pub(super) fn new(left: &Side, right: &Side, null_equality: NullEquality) -> Result<Self> {
        let columns = left
            .columns
            .iter()
            .zip(&right.columns)
            .map(|(left, right)| {
                let nulls =
                    null_equality == NullEquality::NullEqualsNull && (left.nulls || right.nulls);
                ColumnEqual::new(left, right, nulls)
            })
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self { columns })
    }

    /// Whether the keys of two rows are equal.
    #[inline]
    pub(super) fn equal(&self, left: usize, right: usize) -> bool {
        self.columns.iter().all(|column| column.equal(left, right))
    }

    /// Clears `equal` where the rows' keys differ.
    pub(super) fn check(&self, left: &[u32], right: &[u32], equal: &mut [bool]) {
        for column in &self.columns {
            column.check(left, right, equal);
        }
    }
}

#[inline]
fn bytes_at<'a, O: arrow::array::OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    values: &'a [u8],
    row: usize,
) -> &'a [u8] {
    &values[offsets[row].as_usize()..offsets[row + 1].as_usize()]
}

#[inline]
fn views_equal(left: &BinaryViewArray, l: usize, right: &BinaryViewArray, r: usize) -> bool {
    let (lv, rv) = (left.views()[l], right.views()[r]);
    // The low half holds the length and the first four bytes.
    if lv as u64 != rv as u64 {
        return false;
    }
    if lv as u32 <= 12 {
        return lv == rv;
    }
    left.value(l) == right.value(r)
}

impl ColumnEqual {
    fn new(left: &SideColumn, right: &SideColumn, nulls: bool) -> Result<Self, ArrowError> {
        if !nulls {
            match (&left.values, &right.values) {
                (Values::Bytes(lo, lv), Values::Bytes(ro, rv)) => {
                    return Ok(Self::Bytes(lo.clone(), lv.clone(), ro.clone(), rv.clone()));
                }
                (Values::LargeBytes(lo, lv), Values::LargeBytes(ro, rv)) => {
                    return Ok(Self::LargeBytes(lo.clone(), lv.clone(), ro.clone(), rv.clone()));
                }
                (Values::Views(l), Values::Views(r)) => {
                    return Ok(Self::Views(l.clone(), r.clone()));
                }
                (Values::Wide(l), Values::Wide(r)) => return Ok(Self::Wide(l.clone(), r.clone())),
                (Values::Codes(l), Values::Codes(r)) => {
                    return Ok(Self::Codes(Arc::clone(l), Arc::clone(r)));
                }
                _ => {}
            }
        }
        if matches!(left.array.data_type(), DataType::Null) {
            return Ok(Self::Other(Box::new(|_, _| Ordering::Equal)));
        }
        let options = SortOptions::default();
        Ok(Self::Other(make_comparator(left.array.as_ref(), right.array.as_ref(), options)?))
    }

    #[inline]
    fn equal(&self, l: usize, r: usize) -> bool {
        match self {
            Self::Bytes(lo, lv, ro, rv) => bytes_at(lo, lv, l) == bytes_at(ro, rv, r),
            Self::LargeBytes(lo, lv, ro, rv) => bytes_at(lo, lv, l) == bytes_at(ro, rv, r),
            Self::Views(left, right) => views_equal(left, l, right, r),
            Self::Wide(left, right) => left[l] == right[r],
            Self::Codes(left, right) => left[l] == right[r],
            Self::Other(compare) => compare(l, r) == Ordering::Equal,
        }
    }

    fn check(&self, left: &[u32], right: &[u32], equal: &mut [bool]) {
        fn each(
            left: &[u32],
            right: &[u32],
            equal: &mut [bool],
            test: impl Fn(usize, usize) -> bool,
        ) {
            for ((&l, &r), equal) in left.iter().zip(right).zip(equal) {
                *equal = *equal && test(l as usize, r as usize);
            }
        }
        match self {
            Self::Bytes(lo, lv, ro, rv) => {
                each(left, right, equal, |l, r| bytes_at(lo, lv, l) == bytes_at(ro, rv, r))
            }
            Self::LargeBytes(lo, lv, ro, rv) => {
                each(left, right, equal, |l, r| bytes_at(lo, lv, l) == bytes_at(ro, rv, r))
            }
            Self::Views(lv, rv) => each(left, right, equal, |l, r| views_equal(lv, l, rv, r)),
            Self::Wide(lv, rv) => each(left, right, equal, |l, r| lv[l] == rv[r]),
            Self::Codes(lv, rv) => each(left, right, equal, |l, r| lv[l] == rv[r]),
            Self::Other(compare) => {
                each(left, right, equal, |l, r| compare(l, r) == Ordering::Equal)
            }
        }
    }
}
