//! Which types a device groups by, and in which form.

use arrow::datatypes::DataType;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::abi::KeyRule;
use staffa_kernels::group_by::GroupKeys;
use staffa_kernels::keys::{FieldRange, Packing};

/// Keys that may be slots of a table: so many words are cleared per table, and fit any cache.
const DIRECT_KEYS: u128 = 1 << 12;

/// How values of a type compare.
///
/// # Errors
/// `KeyType` for types that a device does not group by.
pub(crate) fn rule(of: &DataType) -> Result<KeyRule, Reason> {
    use DataType as D;
    Ok(match of {
        D::Float16 => KeyRule::Float16,
        D::Float32 => KeyRule::Float32,
        D::Float64 => KeyRule::Float64,
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Date32 | D::Date64 => KeyRule::Signed,
        D::Time32(_) | D::Time64(_) | D::Timestamp(..) | D::Duration(_) => KeyRule::Signed,
        D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
            KeyRule::Signed
        }
        D::Boolean | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 | D::FixedSizeBinary(_) => {
            KeyRule::Bits
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View => KeyRule::Bits,
        D::Binary | D::LargeBinary | D::BinaryView => KeyRule::Bits,
        other => {
            let what = format!("the device does not group by {other}");
            return Err(Reason::new(ReasonCode::KeyType, what));
        }
    })
}

/// All values of a type in the mapped form of `kernels/keys/pack.cu`, NULL included; `None` for types that do not
/// fit 64 bits or whose values are not their bits.
fn range(of: &DataType) -> Option<FieldRange> {
    let rule = rule(of).ok()?;
    let bits = match of {
        DataType::Boolean => 1,
        DataType::FixedSizeBinary(_) => return None,
        other => 8 * u32::try_from(other.primitive_width()?).ok()?,
    };
    let (low, high) = match (bits, rule) {
        (1..=64, KeyRule::Signed) => {
            let (middle, half) = (1_u64 << 63, 1_u64 << (bits - 1));
            (middle - half, middle + (half - 1))
        }
        (1..=64, _) => (0, u64::MAX >> (64 - bits)),
        _ => return None,
    };
    Some(FieldRange { low, high, nullable: true })
}

/// How keys of these types are found. Ranges are those of the types, so that no key is outside of them and no
/// morsel has to be looked at first.
pub(super) fn form<'a>(types: impl Iterator<Item = &'a DataType>) -> GroupKeys {
    let ranges: Option<Vec<FieldRange>> = types.map(range).collect();
    match ranges.filter(|ranges| !ranges.is_empty()).and_then(Packing::new) {
        Some(packing) if packing.keys() <= DIRECT_KEYS => GroupKeys::Direct(packing),
        Some(packing) => GroupKeys::Packed(packing),
        None => GroupKeys::Hashed,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn narrow_keys_are_slots_and_wide_ones_are_hashed() {
        let of = |types: &[DataType]| form(types.iter());
        let keys = |form: &GroupKeys| match form {
            GroupKeys::Direct(packing) | GroupKeys::Packed(packing) => packing.keys(),
            GroupKeys::Hashed => 0,
        };
        let direct = of(&[DataType::Boolean, DataType::Int8]);
        assert!(matches!(direct, GroupKeys::Direct(_)) && keys(&direct) == 3 * 257);
        let packed = of(&[DataType::Int32, DataType::Date32, DataType::UInt16]);
        assert!(matches!(packed, GroupKeys::Packed(_)), "{packed:?}");
        assert_eq!(keys(&of(&[DataType::Int64])), (1 << 64) + 1);
        assert_eq!(keys(&of(&[DataType::Float32])), (1 << 32) + 1);
        for wide in [
            &[DataType::Utf8][..],
            &[DataType::Int8, DataType::Utf8View],
            &[DataType::Decimal128(10, 2)],
            &[DataType::Int64, DataType::Timestamp(TimeUnit::Second, None)],
            &[DataType::FixedSizeBinary(4)],
        ] {
            assert_eq!(of(wide), GroupKeys::Hashed);
        }
    }

    #[test]
    fn ranges_hold_the_ends_of_a_type() {
        let mapped = |value: i64| (value as u64) ^ 1 << 63;
        let of = range(&DataType::Int16).unwrap();
        assert_eq!((of.low, of.high), (mapped(-32768), mapped(32767)));
        let of = range(&DataType::Int64).unwrap();
        assert_eq!((of.low, of.high), (0, u64::MAX));
        let of = range(&DataType::UInt8).unwrap();
        assert_eq!((of.low, of.high), (0, 255));
        let of = range(&DataType::Boolean).unwrap();
        assert_eq!((of.low, of.high), (0, 1));
    }
}
