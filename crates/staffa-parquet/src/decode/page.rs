//! Opens a page: decompresses it, reads its levels, and turns its values into a body.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Encoding, Type as Physical};

use crate::codec::{Codec, Decompressor};
use crate::decode::body::{Body, Values};
use crate::decode::target::LeafType;
use crate::encoding::bitmap::Bitmap;
use crate::encoding::hybrid::HybridReader;
use crate::encoding::{delta, delta_bytes, levels, stream_split};
use crate::error::{Flaw, Flawed};
use crate::limits::Limits;
use crate::page::{PageHeader, PageKind};

/// A page that is being read.
#[derive(Debug)]
pub(crate) struct OpenPage {
    /// Rows taken or passed over so far.
    pub(crate) row: usize,
    /// Which rows have a value, unless all have.
    pub(crate) validity: Option<Bitmap>,
    pub(crate) body: Body,
    /// The decompressed bytes, kept so that their memory can be used again.
    whole: Bytes,
}

thread_local! {
    /// Memory of pages of the last chunks: a chunk would clear some new one otherwise. As many chunks are read at a
    /// time as there are columns.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A thread keeps no larger buffer than this between chunks, and no more than so many bytes in all.
const SPARE_BYTES: usize = 4 << 20;
const SPARES_BYTES: usize = 12 << 20;
/// Pages of more bytes than this are not decompressed ahead of their turn.
const AHEAD_BYTES: usize = 1 << 20;

/// Memory of a page of an earlier chunk, if there is any.
fn spare() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

impl Drop for Opener {
    fn drop(&mut self) {
        let ahead = self.ahead.take().map(|(_, bytes)| bytes);
        SPARE.with_borrow_mut(|spares| {
            let mut held: usize = spares.iter().map(Vec::capacity).sum();
            for spare in self.spare.drain(..).chain(ahead) {
                if (1..=SPARE_BYTES).contains(&spare.capacity())
                    && held + spare.capacity() <= SPARES_BYTES
                {
                    held += spare.capacity();
                    spares.push(spare);
                }
            }
        });
    }
}

/// Opens the pages of one chunk, and keeps what can be used again.
pub(crate) struct Opener {
    pub(crate) leaf: LeafType,
    pub(crate) decompressor: Decompressor,
    pub(crate) limits: Limits,
    /// Memory of up to two earlier pages that nothing points to any more.
    spare: Vec<Vec<u8>>,
    /// The number of a page whose turn comes next, and its bytes, decompressed.
    ahead: Option<(usize, Vec<u8>)>,
    spare_bits: Bitmap,
    spare_words: Vec<u64>,
}

impl Opener {
    pub(crate) fn new(leaf: LeafType, codec: Codec, limits: Limits) -> Self {
        let decompressor = Decompressor::new(codec);
        Self {
            leaf,
            decompressor,
            limits,
            spare: vec![spare()],
            ahead: None,
            spare_bits: Bitmap::default(),
            spare_words: vec![],
        }
    }

    /// Takes back a page's memory, if no array shares it.
    pub(crate) fn close(&mut self, page: OpenPage) {
        if let Some(bits) = page.validity {
            self.spare_bits = bits;
        }
        // The body shares the page's bytes: it must be gone before they can be taken back.
        match page.body {
            Body::Fixed { values: Values::Words(words), .. } => self.spare_words = words,
            other => drop(other),
        }
        self.take_back(page.whole);
    }

    /// Takes back memory that was given out, if nobody shares it.
    pub(crate) fn take_back(&mut self, bytes: Bytes) {
        if let Ok(bytes) = bytes.try_into_mut()
            && self.spare.len() < 2
        {
            self.spare.push(bytes.into());
        }
    }

    /// The bytes of a dictionary page, decompressed.
    pub(crate) fn dictionary(&mut self, header: &PageHeader, body: Bytes) -> Flawed<Bytes> {
        self.check_crc(header, &body)?;
        let plain = [Encoding::PLAIN, Encoding::PLAIN_DICTIONARY, Encoding::RLE_DICTIONARY];
        if !plain.contains(&header.encoding) {
            return Err(Flaw::unsupported(format!("dictionary in {}", header.encoding)));
        }
        if header.uncompressed_bytes == 0 || self.decompressor.codec() == Codec::Uncompressed {
            return Ok(body);
        }
        self.expand(&body, header.uncompressed_bytes as usize, None)
    }

    /// Opens the data page of this number, whose bytes behind the header are `body`. Where the next page is likely to
    /// be wanted too, it may be decompressed along with this one.
    pub(crate) fn open(
        &mut self,
        number: usize,
        header: &PageHeader,
        body: Bytes,
        next: Option<(&PageHeader, Bytes)>,
        has_dictionary: bool,
    ) -> Flawed<OpenPage> {
        let turn = Turn { number, next: next.and_then(|(header, body)| packed(header, body)) };
        self.check_crc(header, &body)?;
        let rows = header.values as usize;
        let (levels, values, whole) = match header.kind {
            PageKind::DataV1 { levels } => self.split_v1(header, body, levels, turn)?,
            PageKind::DataV2 { repetition_bytes, definition_bytes, compressed, .. } => {
                let (r, d) = (repetition_bytes as usize, definition_bytes as usize);
                self.split_v2(header, body, r..r + d, compressed, turn)?
            }
            PageKind::Dictionary | PageKind::Index => return Err(Flaw::bug("no data page")),
        };
        let mut valid = rows;
        let mut validity = None;
        if self.leaf.nullable {
            let mut bits = std::mem::take(&mut self.spare_bits);
            valid = levels::read_validity(&levels, rows, &mut bits)?;
            if valid < rows {
                validity = Some(bits);
            } else {
                self.spare_bits = bits;
            }
        }
        let body = body_of(
            &self.leaf,
            header.encoding,
            values,
            valid,
            has_dictionary,
            &mut self.spare_words,
            &self.limits,
        )?;
        Ok(OpenPage { row: 0, validity, body, whole })
    }

    /// Levels, values, and the allocation that both lie in.
    fn split_v1(
        &mut self,
        header: &PageHeader,
        body: Bytes,
        encoding: Encoding,
        turn: Turn,
    ) -> Flawed<(Bytes, Bytes, Bytes)> {
        let whole = if self.decompressor.codec() == Codec::Uncompressed {
            body
        } else {
            self.expand(&body, header.uncompressed_bytes as usize, Some(turn))?
        };
        if !self.leaf.nullable {
            return Ok((Bytes::new(), whole.clone(), whole));
        }
        if encoding != Encoding::RLE {
            return Err(Flaw::unsupported(format!("definition levels in {encoding}")));
        }
        let (size, rest) = whole
            .split_first_chunk::<4>()
            .ok_or_else(|| Flaw::bad("page without definition levels"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() {
            return Err(Flaw::bad("definition levels go beyond their page"));
        }
        Ok((whole.slice(4..4 + size), whole.slice(4 + size..), whole))
    }

    fn split_v2(
        &mut self,
        header: &PageHeader,
        body: Bytes,
        definition: Range<usize>,
        compressed: bool,
        turn: Turn,
    ) -> Flawed<(Bytes, Bytes, Bytes)> {
        // The header's checks made sure that levels of both kinds lie inside the body.
        let levels = body.slice(definition.clone());
        let values = body.slice(definition.end..);
        let size = header.uncompressed_bytes as usize - definition.end;
        if !compressed || self.decompressor.codec() == Codec::Uncompressed {
            return Ok((levels, values, body));
        }
        if size == 0 {
            // A page of NULLs has nothing to decompress.
            return Ok((levels, Bytes::new(), body));
        }
        let whole = self.expand(&values, size, Some(turn))?;
        Ok((levels, whole.clone(), whole))
    }

    /// Decompresses a page's bytes, unless that was done ahead of its turn.
    fn expand(&mut self, input: &[u8], size: usize, turn: Option<Turn>) -> Flawed<Bytes> {
        let number = turn.as_ref().map(|turn| turn.number);
        if let Some((_, bytes)) = self.ahead.take_if(|(ahead, _)| number == Some(*ahead)) {
            return Ok(Bytes::from(bytes));
        }
        let mut out = self.spare.pop().unwrap_or_default();
        let (Some(number), Some((packed, ahead))) = (number, turn.and_then(|turn| turn.next))
        else {
            self.decompressor.decompress(input, size, &mut out)?;
            return Ok(Bytes::from(out));
        };
        // What was decompressed ahead was passed over.
        let passed = self.ahead.take().map(|(_, bytes)| bytes);
        let mut second = passed.or_else(|| self.spare.pop()).unwrap_or_else(spare);
        let pages = ((input, size, &mut out), (&packed[..], ahead, &mut second));
        if self.decompressor.decompress_two(pages.0, pages.1)? {
            self.ahead = Some((number + 1, second));
        } else {
            // If it is wrong, its turn will tell.
            self.spare.push(second);
        }
        Ok(Bytes::from(out))
    }

    fn check_crc(&self, header: &PageHeader, body: &[u8]) -> Flawed<()> {
        match header.crc {
            Some(crc) if self.limits.check_crc && crc != crc32(body) => {
                Err(Flaw::bad("the page's checksum differs from its bytes"))
            }
            _ => Ok(()),
        }
    }
}

/// Which page is being opened, and the compressed bytes of the one behind it with how many they stand for.
struct Turn {
    number: usize,
    next: Option<(Bytes, usize)>,
}

/// The compressed bytes of a data page that is worth decompressing ahead of its turn, and how many they stand for.
fn packed(header: &PageHeader, body: Bytes) -> Option<(Bytes, usize)> {
    let size = header.uncompressed_bytes as usize;
    let levels = match header.kind {
        PageKind::DataV1 { .. } => 0,
        PageKind::DataV2 { repetition_bytes, definition_bytes, compressed: true, .. } => {
            repetition_bytes as usize + definition_bytes as usize
        }
        _ => return None,
    };
    let size = size.checked_sub(levels).filter(|size| (1..=AHEAD_BYTES).contains(size))?;
    (levels <= body.len()).then(|| (body.slice(levels..), size))
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Decodes DELTA_BINARY_PACKED into `words`, whose memory is used again from page to page.
fn delta<T: delta::DeltaInt>(
    data: &[u8],
    valid: usize,
    mut words: Vec<u64>,
    limits: &Limits,
) -> Flawed<Body> {
    let width = size_of::<T>();
    // A few bytes can stand for any number of equal differences.
    if valid.checked_mul(width).is_none_or(|n| n > limits.page_bytes) {
        return Err(Flaw::too_large(format!("a page of {valid} values")));
    }
    words.resize((valid * width).div_ceil(8), 0);
    let out: &mut [T] = bytemuck::cast_slice_mut(&mut words);
    let out = out.get_mut(..valid).ok_or_else(|| Flaw::bug("words"))?;
    delta::decode_into(data, out)?;
    Ok(Body::Fixed { values: Values::Words(words), width, at: 0 })
}

fn body_of(
    leaf: &LeafType,
    encoding: Encoding,
    values: Bytes,
    valid: usize,
    has_dictionary: bool,
    words: &mut Vec<u64>,
    limits: &Limits,
) -> Flawed<Body> {
    if valid == 0 {
        return Ok(Body::Empty);
    }
    let width = leaf.width;
    let fixed = |bytes: Bytes| {
        if bytes.len() / width < valid {
            return Err(Flaw::bad(format!("page of {} bytes for {valid} values", bytes.len())));
        }
        Ok(Body::Fixed { values: Values::Page(bytes), width, at: 0 })
    };
    let lengths = |l: delta_bytes::Lengths| Body::Lengths {
        bytes: l.data,
        lengths: l.lengths,
        next: 0,
        at: 0,
    };
    match (encoding, leaf.physical) {
        (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, p) if p != Physical::BOOLEAN => {
            if !has_dictionary {
                return Err(Flaw::bad("page of codes in a chunk without a dictionary"));
            }
            let bits = *values.first().ok_or_else(|| Flaw::bad("page of codes without a width"))?;
            Ok(Body::Codes { reader: HybridReader::new(values.slice(1..), bits)? })
        }
        (Encoding::PLAIN, Physical::BOOLEAN) => {
            let mut bits = Bitmap::default();
            bits.append_packed(&values, valid)?;
            Ok(Body::Bits { bits, at: 0 })
        }
        (Encoding::RLE, Physical::BOOLEAN) => {
            let size = values.first_chunk::<4>().map(|c| u32::from_le_bytes(*c) as usize);
            let size = size.filter(|s| *s <= values.len() - 4);
            let size = size.ok_or_else(|| Flaw::bad("RLE booleans go beyond their page"))?;
            let mut bits = Bitmap::default();
            HybridReader::new(values.slice(4..4 + size), 1)?.read_bits(&mut bits, valid)?;
            Ok(Body::Bits { bits, at: 0 })
        }
        (Encoding::PLAIN, Physical::BYTE_ARRAY) => Ok(Body::Prefixed { bytes: values, at: 0 }),
        (Encoding::PLAIN, _) => fixed(values),
        (Encoding::BYTE_STREAM_SPLIT, p)
            if !matches!(p, Physical::BOOLEAN | Physical::BYTE_ARRAY | Physical::INT96) =>
        {
            fixed(Bytes::from(stream_split::join(&values, width, valid)?))
        }
        (Encoding::DELTA_BINARY_PACKED, Physical::INT32) => {
            delta::<i32>(&values, valid, std::mem::take(words), limits)
        }
        (Encoding::DELTA_BINARY_PACKED, Physical::INT64) => {
            delta::<i64>(&values, valid, std::mem::take(words), limits)
        }
        (Encoding::DELTA_LENGTH_BYTE_ARRAY, Physical::BYTE_ARRAY) => {
            Ok(lengths(delta_bytes::delta_length(&values, valid)?))
        }
        (Encoding::DELTA_BYTE_ARRAY, Physical::BYTE_ARRAY) => {
            Ok(lengths(delta_bytes::delta_byte_array(&values, valid, limits.page_bytes)?))
        }
        (Encoding::DELTA_BYTE_ARRAY, Physical::FIXED_LEN_BYTE_ARRAY) => {
            let l = delta_bytes::delta_byte_array(&values, valid, limits.page_bytes)?;
            if l.lengths.iter().any(|n| *n as usize != width) {
                return Err(Flaw::bad("a value of another length than its type"));
            }
            fixed(l.data)
        }
        (e, p) => Err(Flaw::unsupported(Cow::Owned(format!("{p} in {e}")))),
    }
}
