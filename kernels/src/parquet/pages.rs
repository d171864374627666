//! Pages in device memory, as all page kernels take them.

use staffa_cuda::{
    CudaError, DeviceBuffer, DeviceSlice, Launch, Reservation, Result, StagingRing, Stream,
};

use crate::Kernels;
use crate::abi::{self, ErrorSlot, LEVELS_PREFIXED, Page, PageState, TILE_ROWS, TILE_WORDS};

/// What every launcher needs. `error` is one slot, zeroed; launches of a morsel may share it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The kernels.
    pub kernels: &'a Kernels,
    /// Where work is queued.
    pub stream: &'a Stream,
    /// Where scratch comes from.
    pub memory: &'a Reservation,
    /// Through which descriptors are uploaded.
    pub ring: &'a StagingRing,
    /// Where kernels report bad input.
    pub error: &'a DeviceBuffer<ErrorSlot>,
}

impl Context<'_> {
    /// A buffer with these values.
    pub(super) fn upload<T: bytemuck::Pod>(&self, values: &[T]) -> Result<DeviceSlice<T>> {
        let mut buffer = self.memory.buffer(values.len(), self.stream)?;
        buffer.write(0, values, self.ring, self.stream)?;
        Ok(buffer.freeze())
    }
}

/// Where a page's definition levels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLevels {
    /// The column is required.
    None,
    /// Version 1: behind their length in 4 bytes, at the start of the body.
    Prefixed,
    /// Version 2: `bytes` at `offset` in the body (behind the repetition levels, which are not read).
    At {
        /// Bytes of repetition levels in front.
        offset: u32,
        /// Bytes of definition levels.
        bytes: u32,
    },
}

/// A data page, decompressed, as the host knows it from its header.
#[derive(Debug, Clone, Copy)]
pub struct PageInput {
    /// Which of the buffers holds the body.
    pub buffer: usize,
    /// Where the body starts there, in bytes.
    pub offset: u64,
    /// Bytes of the body.
    pub bytes: u32,
    /// Rows: levels of a nullable column, values of a required one.
    pub rows: u32,
    /// Row of the column where its first goes. Rows outside the column are decoded and not stored, so
    /// that a page may stand across the edge of a morsel.
    pub first_row: i32,
    /// What errors name.
    pub ordinal: u32,
    /// Where the definition levels are.
    pub levels: PageLevels,
    /// The column's highest definition level; below it a row is NULL. 0: required.
    pub max_level: u8,
}

/// Pages of one column in one morsel, with the scratch that their decoding shares.
pub struct PageSet {
    buffers: Vec<DeviceSlice<u8>>,
    pages: DeviceSlice<Page>,
    host: Vec<Page>,
    pub(super) states: DeviceBuffer<PageState>,
    pub(super) words: Option<DeviceBuffer<u32>>,
    pub(super) tile_valid: DeviceBuffer<u32>,
    rows: u32,
    tiles: u32,
    has_levels: bool,
    /// Whether `levels` ran, and whether rows may be NULL.
    pub(super) nullable: Option<bool>,
}

impl PageSet {
    /// Pages of a column of `rows` rows.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if a page lies outside its buffer, its levels outside the page, or there
    /// are 2^31 rows or more; what the driver says.
    pub fn new(
        context: &Context<'_>,
        buffers: &[DeviceSlice<u8>],
        pages: &[PageInput],
        rows: u32,
    ) -> Result<Self> {
        let mut host = Vec::with_capacity(pages.len());
        let mut tiles = 0u32;
        let mut total = 0u64;
        for input in pages {
            let page = describe(buffers, input, tiles)?;
            tiles = tiles.saturating_add(input.rows.div_ceil(TILE_ROWS));
            total += u64::from(input.rows);
            host.push(page);
        }
        if total > i32::MAX as u64 || rows > i32::MAX as u32 || pages.len() > i32::MAX as usize {
            return Err(CudaError::Misuse(format!(
                "{total} rows in {} pages are more than a morsel",
                pages.len()
            )));
        }
        Ok(Self {
            buffers: buffers.to_vec(),
            pages: context.upload(&host)?,
            states: context.memory.buffer(pages.len(), context.stream)?,
            words: None,
            tile_valid: context.memory.buffer(tiles as usize, context.stream)?,
            rows,
            tiles,
            has_levels: host.iter().any(|page| page.max_level != 0),
            nullable: None,
            host,
        })
    }

    /// Rows of the column.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Pages.
    pub fn pages(&self) -> u32 {
        // At most 2^31 - 1: checked when it was made.
        self.host.len() as u32
    }

    /// Tiles of all pages: blocks of most launches, and what slots are counted in.
    pub fn tiles(&self) -> u32 {
        self.tiles
    }

    /// Slots of compact scratch: `tiles * TILE_ROWS`.
    pub fn slots(&self) -> usize {
        self.tiles as usize * TILE_ROWS as usize
    }

    /// The memory that holds the bodies: what spans point into.
    pub fn buffers(&self) -> &[DeviceSlice<u8>] {
        &self.buffers
    }

    /// What the kernels found out about the pages; reads it back, so only for tests and for
    /// [`super::DeltaBytes`].
    pub fn states(&self) -> &DeviceBuffer<PageState> {
        &self.states
    }

    /// Whether rows may be NULL; `None` before [`levels`](super::levels()) ran.
    pub fn is_nullable(&self) -> Option<bool> {
        self.nullable
    }

    /// Row of the column of each page's first, rows and ordinal.
    pub fn placed(&self) -> impl Iterator<Item = (i32, u32, u32)> + '_ {
        self.host.iter().map(|page| (page.first_row, page.rows, page.ordinal))
    }

    pub(super) fn has_levels(&self) -> bool {
        self.has_levels
    }

    pub(super) fn word_count(&self) -> usize {
        self.tiles as usize * TILE_WORDS as usize
    }

    /// Whether rows may be NULL.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] before `levels` ran.
    pub(super) fn nullable(&self) -> Result<bool> {
        self.nullable.ok_or_else(|| {
            CudaError::Misuse("the levels of this page set were not decoded yet".into())
        })
    }

    /// The same pages with heaps for their strings.
    pub(super) fn with_heaps(
        &mut self,
        context: &Context<'_>,
        heap: u64,
        sizes: impl Iterator<Item = u64>,
    ) -> Result<()> {
        let mut next = heap;
        for (page, bytes) in self.host.iter_mut().zip(sizes) {
            (page.heap, page.heap_bytes) = (next, bytes);
            next += bytes;
        }
        self.pages = context.upload(&self.host)?;
        Ok(())
    }

    pub(super) fn abi(&self, context: &Context<'_>) -> abi::PageSet {
        abi::PageSet {
            pages: self.pages.address(),
            states: self.states.address(),
            words: self.words.as_ref().map_or(0, DeviceBuffer::address),
            tile_valid: self.tile_valid.address(),
            error: context.error.address(),
            count: self.pages(),
            tiles: self.tiles,
        }
    }

    /// Notes what a value kernel uses of the set: everything is only read but the states, which the
    /// delta kernels move on.
    pub(super) fn used<'a>(&self, context: &Context<'_>, mut launch: Launch<'a>) -> Launch<'a> {
        launch =
            launch.using_read(&self.pages).using_shared(context.error).using_shared(&self.states);
        launch = launch.using_shared(&self.tile_valid);
        if let Some(words) = &self.words {
            launch = launch.using_shared(words);
        }
        for buffer in &self.buffers {
            launch = launch.using_read(buffer);
        }
        launch
    }
}

/// The descriptor of a page, whose ranges are checked here.
fn describe(buffers: &[DeviceSlice<u8>], input: &PageInput, first_tile: u32) -> Result<Page> {
    let wrong =
        |what: &str| CudaError::Misuse(format!("page {}: {what}: {input:?}", input.ordinal));
    let buffer = buffers.get(input.buffer).ok_or_else(|| wrong("no such buffer"))?;
    let end = input.offset.checked_add(u64::from(input.bytes));
    if end.is_none_or(|end| end > buffer.bytes()) {
        return Err(wrong("it is not inside its buffer"));
    }
    let (levels_offset, levels_bytes) = match input.levels {
        PageLevels::None => (0, 0),
        PageLevels::Prefixed => (0, LEVELS_PREFIXED),
        PageLevels::At { offset, bytes } => (offset, bytes),
    };
    if levels_bytes != LEVELS_PREFIXED
        && levels_offset.checked_add(levels_bytes).is_none_or(|levels_end| levels_end > input.bytes)
    {
        return Err(wrong("its levels are longer than it is"));
    }
    if input.max_level != 0 && input.levels == PageLevels::None {
        return Err(wrong("a nullable column has levels"));
    }
    // Bits that hold max_level, which is what writers use.
    let level_width = (u8::BITS - input.max_level.leading_zeros()) as u8;
    Ok(Page {
        body: buffer.address() + input.offset,
        body_bytes: input.bytes,
        rows: input.rows,
        first_row: input.first_row,
        first_tile,
        ordinal: input.ordinal,
        levels_offset,
        levels_bytes,
        max_level: input.max_level,
        level_width,
        reserved0: 0,
        heap: 0,
        heap_bytes: 0,
    })
}
