//! The parts of a table that outlive a morsel: keys of the groups in either form, their columns, slots.

use staffa_cuda::{CudaError, DeviceBuffer, Launch, Result};

use super::table::GroupKeys;
use crate::abi::{Column, ColumnKind, HashArgs, KeyRule, KeySet, PackArgs, RowsAbi};
use crate::columns::GatheredColumn;
use crate::columns::rows::bitmap_words;
use crate::keys::{
    PackedAs, Packing, launch_hash, launch_pack, mappable_storage, pack_fields, upload,
};
use crate::parquet::Context;

/// Fills `made` with packed keys or hashes of a list's rows. `stop` becomes set at a key that does not fit.
pub(super) fn fill_keys(
    context: &Context<'_>,
    keys: &GroupKeys,
    columns: &[Column],
    set: KeySet,
    list: RowsAbi,
    stop: u64,
    made: DeviceBuffer<u8>,
    using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
) -> Result<DeviceBuffer<u8>> {
    match keys {
        GroupKeys::Hashed => {
            let mut hashes = made.cast::<u64>()?;
            let args =
                HashArgs { list, keys: set, hashes: hashes.address(), ..HashArgs::default() };
            launch_hash(context, &args, &mut hashes, using)?;
            hashes.cast()
        }
        GroupKeys::Direct(packing) | GroupKeys::Packed(packing) => {
            let mut made = made;
            let fields = upload(context, &pack_fields(packing, columns.iter().copied())?)?;
            let args = PackArgs {
                list,
                fields: fields.address(),
                keys: made.address(),
                outside: stop,
                count: set.count,
                ..PackArgs::default()
            };
            launch_pack(context, &args, packing.key_bytes(), &mut made, |launch| {
                using(launch).using_read(&fields)
            })?;
            Ok(made)
        }
    }
}

/// A copy with room for more rows.
pub(super) fn enlarged(
    context: &Context<'_>,
    column: &mut GatheredColumn,
    capacity: u32,
) -> Result<GatheredColumn> {
    let mut new = GatheredColumn::new(context, column.kind, column.width, capacity)?;
    let rows = capacity.min(column.capacity);
    let bits = column.kind == ColumnKind::Bits as u8;
    let values = if bits { 4 * bitmap_words(rows) } else { rows as usize * column.width as usize };
    copy(context, &mut column.values, &mut new.values, values)?;
    copy(context, &mut column.validity, &mut new.validity, bitmap_words(rows))?;
    Ok(new)
}

/// Copies the front of a buffer, which stays its owner's.
pub(super) fn copy<T: bytemuck::Pod>(
    context: &Context<'_>,
    from: &mut DeviceBuffer<T>,
    to: &mut DeviceBuffer<T>,
    len: usize,
) -> Result<()> {
    let empty = context.memory.buffer(0, context.stream)?;
    let source = std::mem::replace(from, empty).freeze();
    let copied = source.slice(0..len).and_then(|front| to.copy_from(&front, context.stream));
    *from = source
        .thaw()
        .map_err(|_| CudaError::Misuse("a column of the table is shared with somebody".into()))?;
    copied
}

/// How a table packs keys, if it does.
pub(super) fn key_packing(keys: &GroupKeys) -> Option<&Packing> {
    match keys {
        GroupKeys::Direct(packing) | GroupKeys::Packed(packing) => Some(packing),
        GroupKeys::Hashed => None,
    }
}

/// Whether a table packs keys.
pub(super) fn packs(keys: &GroupKeys) -> bool {
    key_packing(keys).is_some()
}

/// Whether keys can be packed from these columns: as many ranges, of values that pack.
pub(super) fn check_packing(
    keys: &GroupKeys,
    columns: &[GatheredColumn],
    rules: &[KeyRule],
    packed_as: &[PackedAs],
) -> Result<()> {
    let Some(packing) = key_packing(keys) else { return Ok(()) };
    if packing.ranges().len() != columns.len() {
        return Err(CudaError::Misuse("packed keys of other columns".into()));
    }
    for ((column, rule), packed_as) in columns.iter().zip(rules).zip(packed_as) {
        if matches!(packed_as, PackedAs::Values) {
            mappable_storage(column.kind, column.width, *rule)?;
        }
    }
    Ok(())
}

/// Bytes of a packed key; 0 for hashes.
pub(super) fn key_bytes(keys: &GroupKeys) -> u32 {
    key_packing(keys).map_or(0, Packing::key_bytes)
}

/// Slots of a table: one a key of a direct one, else twice the groups, rounded up to a power of two.
pub(super) fn slots_for(keys: &GroupKeys, groups: u32) -> Result<usize> {
    match keys {
        GroupKeys::Direct(packing) => u32::try_from(packing.keys())
            .ok()
            .filter(|&keys| keys <= 1 << 30)
            .map(|keys| keys as usize)
            .ok_or_else(|| {
                CudaError::Misuse(format!("{} keys as slots of a table", packing.keys()))
            }),
        _ => Ok((2 * groups as usize).next_power_of_two()),
    }
}
