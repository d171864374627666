//! Rows dealt to partitions: read in the order in which they lie, and written to as many places as there are
//! partitions. (Gathered one partition after the other, each row's strings came from somewhere else in memory.)

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, UInt32Array,
    downcast_primitive,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use datafusion_common::Result;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use super::keys::text;
use super::partition::Column;

/// Not DataFusion's seed for exchanges: the rows of one of its partitions share hash bits.
const SEED: RandomState = RandomState::with_seed(0x57AF_FA00_A66E_6A7E);

/// Where rows go.
pub(super) struct Deal {
    /// Per row its partition.
    partitions: Vec<u16>,
    /// Per row its place among all.
    places: Vec<u32>,
    /// Where each partition starts, and the end.
    pub(super) offsets: Vec<u32>,
}

impl Deal {
    /// Deals the rows of `pieces` to `partitions` (a power of two, 2^16 at most) partitions by the hash of the first
    /// `key_width` columns. Keeps the order of rows within a partition.
    ///
    /// # Errors
    /// DataFusion's, for types without a hash.
    pub(super) fn new(
        pieces: &[Vec<ArrayRef>],
        key_width: usize,
        partitions: usize,
    ) -> Result<Self> {
        let rows_of = |piece: &Vec<ArrayRef>| piece.first().map_or(0, |column| column.len());
        let rows = pieces.iter().map(rows_of).sum();
        let mut hashes = vec![0; rows];
        let mut rest = hashes.as_mut_slice();
        for piece in pieces {
            let (own, others) = rest.split_at_mut(rows_of(piece));
            create_hashes(&piece[..key_width], &SEED, own)?;
            rest = others;
        }
        let shift = 64 - partitions.trailing_zeros();
        // Multiplying brings all bits of the hash to bear on the top ones.
        let of = |hash: u64| {
            hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).checked_shr(shift).unwrap_or(0) as u16
        };
        let of_rows: Vec<u16> = hashes.iter().map(|&hash| of(hash)).collect();
        let mut offsets = vec![0_u32; partitions + 1];
        for &partition in &of_rows {
            offsets[usize::from(partition) + 1] += 1;
        }
        for at in 0..partitions {
            offsets[at + 1] += offsets[at];
        }
        let mut next = offsets.clone();
        let place = |&partition: &u16| {
            let next = &mut next[usize::from(partition)];
            *next += 1;
            *next - 1
        };
        let places = of_rows.iter().map(place).collect();
        Ok(Self { partitions: of_rows, places, offsets })
    }

    fn rows(&self) -> usize {
        self.places.len()
    }

    /// One column of all rows, from that of every piece.
    ///
    /// # Errors
    /// Arrow's, where it is too large for one array.
    pub(super) fn column(&self, pieces: &[&dyn Array]) -> Result<Column> {
        let Some(first) = pieces.first() else { return Ok(Column::Parts(Vec::new())) };
        macro_rules! numbers {
            ($t:ty) => {
                Ok(Column::Whole(self.numbers::<$t>(pieces, first.data_type())))
            };
        }
        downcast_primitive! {
            first.data_type() => (numbers),
            DataType::Boolean => Ok(Column::Whole(self.booleans(pieces))),
            DataType::Utf8View => self.views::<StringViewType>(pieces, first.data_type()),
            DataType::BinaryView => self.views::<BinaryViewType>(pieces, first.data_type()),
            _ => {
                let mut order = vec![0; self.rows()];
                for (&place, row) in self.places.iter().zip(0_u32..) {
                    order[place as usize] = row;
                }
                let order = UInt32Array::from(order);
                match pieces {
                    [piece] => Ok(Column::Whole(take(*piece, &order, None)?)),
                    pieces => Ok(Column::Whole(take(&concat(pieces)?, &order, None)?)),
                }
            }
        }
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        pieces: &[&dyn Array],
        data_type: &DataType,
    ) -> ArrayRef {
        let mut values = vec![T::Native::default(); self.rows()];
        let mut places = self.places.iter();
        for piece in pieces {
            for (&value, &place) in piece.as_primitive::<T>().values().iter().zip(places.by_ref()) {
                values[place as usize] = value;
            }
        }
        let array = PrimitiveArray::<T>::new(values.into(), self.nulls(pieces));
        Arc::new(array.with_data_type(data_type.clone()))
    }

    fn booleans(&self, pieces: &[&dyn Array]) -> ArrayRef {
        let values = self.bits(pieces.iter().map(|piece| piece.as_boolean().values()));
        Arc::new(BooleanArray::new(values, self.nulls(pieces)))
    }

    /// None where no piece has NULLs.
    fn nulls(&self, pieces: &[&dyn Array]) -> Option<NullBuffer> {
        if pieces.iter().all(|piece| piece.null_count() == 0) {
            return None;
        }
        // Pieces without NULLs have no bits, but rows.
        let ones: Vec<BooleanBuffer> =
            pieces.iter().map(|piece| BooleanBuffer::new_set(piece.len())).collect();
        let valid = pieces.iter().zip(&ones);
        let valid = valid.map(|(piece, ones)| piece.nulls().map_or(ones, NullBuffer::inner));
        Some(NullBuffer::new(self.bits(valid)))
    }

    fn bits<'a>(&self, pieces: impl Iterator<Item = &'a BooleanBuffer>) -> BooleanBuffer {
        let mut bits = vec![0_u8; self.rows().div_ceil(8)];
        let mut places = self.places.iter();
        for piece in pieces {
            for (bit, &place) in piece.iter().zip(places.by_ref()) {
                bits[place as usize / 8] |= u8::from(bit) << (place % 8);
            }
        }
        BooleanBuffer::new(Buffer::from_vec(bits), 0, self.rows())
    }

    /// Strings by partition, with the bytes of just its strings: whoever reads a partition then reads memory in
    /// order, and holds no more than that.
    fn views<T: ByteViewType>(
        &self,
        pieces: &[&dyn Array],
        data_type: &DataType,
    ) -> Result<Column> {
        let rows = self.offsets.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        let mut views: Vec<Vec<u128>> = rows.map(Vec::with_capacity).collect();
        let mut bytes = vec![0; views.len()];
        let mut partitions = self.partitions.iter();
        for piece in pieces {
            for (view, &partition) in views_of::<T>(*piece).zip(partitions.by_ref()) {
                if !text::is_short(view) {
                    bytes[usize::from(partition)] += view as u32 as usize;
                }
            }
        }
        let mut blocks: Vec<Vec<Vec<u8>>> = bytes.into_iter().map(first_block).collect();
        let mut partitions = self.partitions.iter();
        for piece in pieces {
            let buffers = piece.as_byte_view::<T>().data_buffers();
            for (view, &partition) in views_of::<T>(*piece).zip(partitions.by_ref()) {
                let partition = usize::from(partition);
                views[partition].push(match text::is_short(view) {
                    true => view,
                    false => copied(text::long_value(view, buffers), &mut blocks[partition]),
                });
            }
        }
        let nulls = self.nulls(pieces);
        let ends = self.offsets.windows(2).map(|ends| (ends[0] as usize, ends[1] as usize));
        let parts =
            views.into_iter().zip(blocks).zip(ends).map(|((views, blocks), (start, end))| {
                let nulls = nulls.as_ref().map(|nulls| nulls.slice(start, end - start));
                text::array(data_type, views, blocks, nulls.filter(|nulls| nulls.null_count() > 0))
            });
        Ok(Column::Parts(parts.collect::<Result<_>>()?))
    }
}

/// Bytes of a block of a partition's strings at most: a view says in 32 bits where a value begins.
const BLOCK: usize = 1 << 30;

fn first_block(bytes: usize) -> Vec<Vec<u8>> {
    match bytes {
        0 => Vec::new(),
        bytes => vec![Vec::with_capacity(bytes.min(BLOCK))],
    }
}

/// Copies a long value into the last of these blocks, or into a new one where that is full. Its view.
#[inline(always)]
fn copied(value: &[u8], blocks: &mut Vec<Vec<u8>>) -> u128 {
    let full = |block: &Vec<u8>| !block.is_empty() && block.len() + value.len() > BLOCK;
    if blocks.last().is_none_or(full) {
        blocks.push(Vec::with_capacity(value.len()));
    }
    let at = blocks.len() - 1;
    let view = text::long_view(value, at, blocks[at].len());
    blocks[at].extend_from_slice(value);
    view
}

/// An array's views; NULLs, under which may be anything, as empty strings.
fn views_of<T: ByteViewType>(array: &dyn Array) -> impl Iterator<Item = u128> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let views = array.as_byte_view::<T>().views().iter().enumerate();
    views.map(move |(row, &view)| match nulls.is_some_and(|nulls| nulls.is_null(row)) {
        true => 0,
        false => view,
    })
}
