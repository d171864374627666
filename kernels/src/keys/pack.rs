//! Packed keys (`kernels/keys/pack.cu`): several columns as one number.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::{KeyColumn, upload};
use crate::abi::{BLOCK, ColumnKind, KeyRange, KeyRule, PackArgs, PackField, RangeArgs};
use crate::columns::RowList;
use crate::columns::rows::{bitmap_words, using_column};
use crate::expression::InputColumn;
use crate::parquet::Context;

const MODULE: &str = "keys/pack";

/// The values that a column may have: a mapped range (see [`KeyRange`]), and NULL or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRange {
    /// Least mapped value.
    pub low: u64,
    /// Greatest mapped value.
    pub high: u64,
    /// Whether NULLs are a value too.
    pub nullable: bool,
}

impl FieldRange {
    /// What a kernel found; `None` if a value was too wide.
    pub fn from_found(found: &KeyRange) -> Option<Self> {
        let empty = found.low > found.high;
        let (low, high) = if empty { (0, 0) } else { (found.low, found.high) };
        (found.wide == 0).then_some(Self { low, high, nullable: found.nulls != 0 })
    }

    /// The range that holds both.
    pub fn with(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            nullable: self.nullable || other.nullable,
        }
    }

    fn values(self) -> Option<u128> {
        let span = u128::from(self.high.checked_sub(self.low)?);
        Some(span + 1 + u128::from(self.nullable))
    }
}

/// How columns become one number: mixed radix, the first column lowest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    ranges: Vec<FieldRange>,
    strides: Vec<u128>,
    keys: u128,
}

impl Packing {
    /// `None` when the keys do not fit 128 bits, or a range has no value.
    pub fn new(ranges: Vec<FieldRange>) -> Option<Self> {
        let mut keys: u128 = 1;
        let mut strides = Vec::with_capacity(ranges.len());
        for range in &ranges {
            strides.push(keys);
            keys = keys.checked_mul(range.values()?)?;
        }
        Some(Self { ranges, strides, keys })
    }

    /// How many keys there can be: all are below this number.
    pub fn keys(&self) -> u128 {
        self.keys
    }

    /// Bytes of a key: 8 or 16.
    pub fn key_bytes(&self) -> u32 {
        if self.keys <= 1 << 64 { 8 } else { 16 }
    }

    /// The ranges it was made for.
    pub fn ranges(&self) -> &[FieldRange] {
        &self.ranges
    }
}

/// Whether values of this column can be mapped to 64 bits.
pub(crate) fn mappable(key: &KeyColumn) -> Result<()> {
    let c = &key.column.descriptor;
    if c.kind != ColumnKind::Codes as u8 {
        mappable_storage(c.kind, c.width, key.rule)?;
    }
    key.check()
}

/// The same of values that are not codes.
pub(crate) fn mappable_storage(kind: u8, width: u32, rule: KeyRule) -> Result<()> {
    let bits = kind == ColumnKind::Bits as u8;
    let fixed = kind == ColumnKind::Fixed as u8;
    let fits = width <= 8 || (width == 16 && rule == KeyRule::Signed);
    if bits || (fixed && fits) {
        return Ok(());
    }
    Err(CudaError::Misuse(format!("values of kind {kind}, {width} bytes, do not pack")))
}

/// What stands in a packed key for a column: its values, or the codes of one dictionary. The codes of another
/// dictionary, or values where codes are meant, fit the ranges too, and would be other keys.
#[derive(Clone)]
pub(crate) enum PackedAs {
    /// The values.
    Values,
    /// Codes, of the dictionary in this column. It is kept, so that no other can come to stand there.
    Codes(Box<InputColumn>),
}

impl PackedAs {
    /// What packing this column packs.
    pub(crate) fn of(key: &KeyColumn) -> Self {
        if key.column.descriptor.kind == ColumnKind::Codes as u8 {
            Self::Codes(Box::new(key.column.clone()))
        } else {
            Self::Values
        }
    }

    /// Whether packing `key` packs the same.
    pub(crate) fn check(&self, key: &KeyColumn) -> Result<()> {
        let c = &key.column.descriptor;
        let codes = c.kind == ColumnKind::Codes as u8;
        let same = match self {
            Self::Values => !codes,
            Self::Codes(first) => {
                let first = &first.descriptor;
                let dictionary = |c: &crate::abi::Column| (c.dictionary, c.dictionary_rows);
                codes && dictionary(first) == dictionary(c)
            }
        };
        if same {
            return Ok(());
        }
        Err(CudaError::Misuse(format!("{c:?} packed as values, or codes, of another column")))
    }
}

/// Least and greatest value of a column, as `ranges[number]`. A column of codes has the codes' range: use it for
/// one dictionary without duplicates only.
///
/// # Errors
/// [`CudaError::Misuse`] for kinds that do not pack (strings, more than 16 bytes); what the driver says.
pub fn range(
    context: &Context<'_>,
    key: &KeyColumn,
    list: RowList<'_>,
) -> Result<DeviceBuffer<KeyRange>> {
    mappable(key)?;
    list.check(key.column.descriptor.rows)?;
    let mut found = context.memory.buffer::<KeyRange>(1, context.stream)?;
    found.write(
        0,
        &[KeyRange { low: u64::MAX, ..KeyRange::default() }],
        context.ring,
        context.stream,
    )?;
    let args = RangeArgs { list: list.abi(0)?, values: key.descriptor(), range: found.address() };
    let function = context.kernels.function(MODULE, "keys_range")?;
    let launch = Launch::new(&function).value(&args).using_write(&mut found);
    let launch = using_column(list.using(launch), &key.column);
    let blocks = list.rows.div_ceil(8 * BLOCK).min(1024);
    // SAFETY: the parameter is the kernel's; it reads the list's rows of a column in its buffers (checked above) and
    // writes one range.
    unsafe { launch.run(Grid::linear(blocks, BLOCK), context.stream) }?;
    Ok(found)
}

/// Keys as numbers, by position.
pub struct PackedKeys {
    /// Keys of 8 or 16 bytes.
    pub keys: DeviceSlice<u8>,
    /// The row fits the ranges and, where NULLs differ, has none.
    pub matchable: DeviceSlice<u32>,
    /// 8 or 16.
    pub key_bytes: u32,
}

/// Packs the keys of a list's rows. A row that does not fit the ranges has key 0 and is not matchable. With
/// `nulls_differ` neither is a row with a NULL.
///
/// # Errors
/// [`CudaError::Misuse`] when the columns are not those of the packing; what the driver says.
pub fn pack(
    context: &Context<'_>,
    packing: &Packing,
    keys: &[KeyColumn],
    list: RowList<'_>,
    nulls_differ: bool,
) -> Result<PackedKeys> {
    for key in keys {
        mappable(key)?;
        list.check(key.column.descriptor.rows)?;
    }
    let fields = upload(context, &fields(packing, keys.iter().map(KeyColumn::descriptor))?)?;
    let key_bytes = packing.key_bytes();
    let bytes = list.rows as usize * key_bytes as usize;
    let mut packed = context.memory.buffer::<u8>(bytes, context.stream)?;
    let mut matchable = context.memory.buffer::<u32>(bitmap_words(list.rows), context.stream)?;
    let args = PackArgs {
        list: list.abi(0)?,
        fields: fields.address(),
        keys: packed.address(),
        matchable: matchable.address(),
        outside: 0,
        count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
        nulls_differ: u32::from(nulls_differ),
    };
    launch(context, &args, key_bytes, &mut packed, |launch| {
        let launch = list.using(launch).using_read(&fields).using_write(&mut matchable);
        keys.iter().fold(launch, |launch, key| using_column(launch, &key.column))
    })?;
    Ok(PackedKeys { keys: packed.freeze(), matchable: matchable.freeze(), key_bytes })
}

/// The fields of a packing over columns given by their descriptors, rules included.
pub(crate) fn fields(
    packing: &Packing,
    columns: impl ExactSizeIterator<Item = crate::abi::Column>,
) -> Result<Vec<PackField>> {
    if columns.len() != packing.ranges.len() {
        return Err(CudaError::Misuse(format!(
            "{} columns packed as {}",
            columns.len(),
            packing.ranges.len()
        )));
    }
    let parts = packing.ranges.iter().zip(&packing.strides);
    Ok(columns
        .zip(parts)
        .map(|(values, (range, stride))| PackField {
            values,
            low: range.low,
            high: range.high,
            stride_low: *stride as u64,
            stride_high: (*stride >> 64) as u64,
            nullable: u32::from(range.nullable),
            ..PackField::default()
        })
        .collect())
}

/// The launch behind [`pack`]; the caller checked the columns and names the memory in `args`.
pub(crate) fn launch(
    context: &Context<'_>,
    args: &PackArgs,
    key_bytes: u32,
    packed: &mut DeviceBuffer<u8>,
    using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
) -> Result<()> {
    let symbol = if key_bytes == 8 { "keys_pack_64" } else { "keys_pack_128" };
    let function = context.kernels.function(MODULE, symbol)?;
    let launch = using(Launch::new(&function).value(args).using_write(packed));
    let grid = Grid::covering(u64::from(args.list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the list's rows of columns that lie in their buffers and as
    // many fields as it is told, and writes a key, and a bit, per position, for which there is room.
    unsafe { launch.run(grid, context.stream) }
}
