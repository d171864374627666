//! Columns cut into pages, placed in a buffer, and what must come out of them.

use staffa_cuda::{DeviceBuffer, DeviceSlice};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{Context, Levels, PageInput, PageLevels, PageSet, levels};

use crate::encode::{Runs, hybrid};
use crate::gpu::Gpu;
use crate::random::Random;

/// Sizes that meet every edge: words, tiles (2,048 rows), several tiles.
pub(crate) const SIZES: [usize; 8] = [0, 1, 31, 32, 33, 1000, 2049, 5000];

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 0: required.
    pub(crate) max_level: u8,
    /// Of the page headers.
    pub(crate) version: u8,
    pub(crate) runs: Runs,
    pub(crate) nulls: Nulls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    None,
    Some,
    All,
}

impl Layout {
    /// Required; nullable in both page versions; all NULL; a deeper level.
    pub(crate) const ALL: [Layout; 5] = [
        Layout { max_level: 0, version: 1, runs: Runs::Packed, nulls: Nulls::None },
        Layout { max_level: 1, version: 1, runs: Runs::Writer, nulls: Nulls::Some },
        Layout { max_level: 1, version: 2, runs: Runs::Mixed, nulls: Nulls::None },
        Layout { max_level: 1, version: 2, runs: Runs::Repeated, nulls: Nulls::All },
        Layout { max_level: 3, version: 2, runs: Runs::Truncated, nulls: Nulls::Some },
    ];

    pub(crate) fn nullable(&self) -> bool {
        self.max_level > 0
    }

    /// Which rows are valid.
    pub(crate) fn validity(&self, rows: usize, random: &mut Random) -> Vec<bool> {
        let mut streak = 0;
        let mut valid = true;
        (0..rows)
            .map(|_| match self.nulls {
                Nulls::None => true,
                Nulls::All => false,
                Nulls::Some => {
                    if streak == 0 {
                        streak = 1 + random.below(if random.one_in(3) { 200 } else { 5 });
                        valid = !valid;
                    }
                    streak -= 1;
                    valid
                }
            })
            .collect()
    }
}

/// A column's pages in device memory.
pub(crate) struct Placed {
    pub(crate) buffers: Vec<DeviceSlice<u8>>,
    pub(crate) inputs: Vec<PageInput>,
    pub(crate) rows: usize,
}

/// Cuts rows into pages, encodes them with `encode` (the values' numbers, all non-null), and places the
/// pages at odd addresses in one buffer, with junk between them.
pub(crate) fn place(
    gpu: &Gpu,
    layout: &Layout,
    validity: &[bool],
    random: &mut Random,
    mut encode: impl FnMut(std::ops::Range<usize>, &mut Random) -> Vec<u8>,
) -> Placed {
    let mut bytes = Vec::new();
    let mut inputs = Vec::new();
    let mut row = 0;
    let mut value = 0;
    let mut first = true;
    while row < validity.len() || first {
        first = false;
        let left = validity.len() - row;
        let rows = if random.one_in(2) { left } else { random.below(left + 1) };
        let part = &validity[row..row + rows];
        let valid = part.iter().filter(|v| **v).count();
        let mut body = Vec::new();
        let mut page_levels = PageLevels::None;
        if layout.nullable() {
            let max = u32::from(layout.max_level);
            let stored: Vec<u32> = part
                .iter()
                .map(|v| if *v { max } else { random.below(max as usize) as u32 })
                .collect();
            let section = hybrid(&stored, 32 - max.leading_zeros(), layout.runs, random);
            if layout.version == 1 {
                body.extend((section.len() as u32).to_le_bytes());
                page_levels = PageLevels::Prefixed;
            } else {
                // Repetition levels of a flat column are empty; some writers store junk of a length.
                let offset = random.below(3) as u32;
                body.extend(random.bytes(offset as usize));
                page_levels = PageLevels::At { offset, bytes: section.len() as u32 };
            }
            body.extend(section);
        }
        body.extend(encode(value..value + valid, random));
        let gap = random.below(7);
        bytes.extend(random.bytes(gap));
        inputs.push(PageInput {
            buffer: 0,
            offset: bytes.len() as u64,
            bytes: body.len() as u32,
            rows: rows as u32,
            first_row: row as i32,
            ordinal: inputs.len() as u32,
            levels: page_levels,
            max_level: layout.max_level,
        });
        bytes.extend(body);
        row += rows;
        value += valid;
    }
    Placed { buffers: vec![gpu.upload(&bytes)], inputs, rows: validity.len() }
}

/// A page set with its levels decoded.
pub(crate) struct Opened {
    pub(crate) set: PageSet,
    pub(crate) validity: Option<DeviceBuffer<u32>>,
    pub(crate) nulls: Option<DeviceBuffer<u64>>,
}

pub(crate) fn open(gpu: &Gpu, context: &Context<'_>, placed: &Placed) -> Opened {
    let mut set =
        PageSet::new(context, &placed.buffers, &placed.inputs, placed.rows as u32).unwrap();
    if placed.inputs.iter().all(|page| page.max_level == 0) {
        levels(context, &mut set, Levels::Skip).unwrap();
        return Opened { set, validity: None, nulls: None };
    }
    let mut validity = gpu.zeroed(placed.rows.div_ceil(32));
    let mut nulls = gpu.zeroed(1);
    levels(context, &mut set, Levels::Decode { validity: &mut validity, nulls: &mut nulls })
        .unwrap();
    Opened { set, validity: Some(validity), nulls: Some(nulls) }
}

/// The bitmap of some rows; bits behind the last are zero.
pub(crate) fn bitmap(bits: &[bool]) -> Vec<u32> {
    bits.chunks(32)
        .map(|chunk| chunk.iter().enumerate().map(|(i, bit)| u32::from(*bit) << i).sum())
        .collect()
}

/// Validity, the count of NULLs and the error slot are as they must be.
pub(crate) fn check_opened(
    gpu: &Gpu,
    opened: &Opened,
    validity: &[bool],
    error: &DeviceBuffer<ErrorSlot>,
    what: &str,
) {
    assert_eq!(gpu.read(error)[0], ErrorSlot::default(), "{what}");
    if let (Some(words), Some(nulls)) = (&opened.validity, &opened.nulls) {
        assert_eq!(gpu.read(words), bitmap(validity), "validity of {what}");
        assert_eq!(
            gpu.read(nulls)[0] as usize,
            validity.iter().filter(|v| !**v).count(),
            "NULLs of {what}"
        );
    }
}

/// Compares rows of `width` bytes and names the first that differs.
pub(crate) fn check_rows(found: &[u8], expected: &[u8], width: usize, what: &str) {
    assert!(found.len() >= expected.len(), "{what}");
    if found[..expected.len()] == *expected {
        return;
    }
    let row = (0..expected.len()).find(|i| found[*i] != expected[*i]).unwrap() / width;
    let part = row * width..(row + 1) * width;
    panic!("row {row} of {what}: {:?}, not {:?}", &found[part.clone()], &expected[part]);
}
