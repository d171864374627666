//! A page's header, parsed and checked on its own; the table checks it against its chunk.

use parquet::basic::Encoding;

use crate::error::{Flaw, Flawed};
use crate::page::thrift::Reader;

/// Longer headers are refused. Page statistics may hold two values; arrow-rs writes them cut to 64
/// bytes, other writers whole.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// What a page is, with the fields that only its kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// A dictionary's entries.
    Dictionary,
    /// Levels and values, compressed together.
    DataV1 {
        /// Encoding of the definition levels.
        levels: Encoding,
    },
    /// Levels as they are, then values compressed or not.
    DataV2 {
        /// Bytes of repetition levels in front.
        repetition_bytes: u32,
        /// Bytes of definition levels behind them.
        definition_bytes: u32,
        /// Rows without a value.
        nulls: u32,
        /// Whether the chunk's codec was applied to the values.
        compressed: bool,
    },
    /// An index page, which nobody reads.
    Index,
}

/// A page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// What the page is.
    pub kind: PageKind,
    /// Encoding of the values.
    pub encoding: Encoding,
    /// Values including NULLs; entries of a dictionary.
    pub values: u32,
    /// Bytes of the page behind the header.
    pub compressed_bytes: u32,
    /// Bytes once decompressed, levels included.
    pub uncompressed_bytes: u32,
    /// CRC-32 of the bytes behind the header.
    pub crc: Option<u32>,
    /// Bytes of the header.
    pub header_bytes: u32,
}

#[derive(Default)]
struct Raw {
    kind: Option<i32>,
    uncompressed: Option<i32>,
    compressed: Option<i32>,
    crc: Option<i32>,
    v1: Option<Data>,
    dictionary: Option<Data>,
    v2: Option<Data>,
}

/// The three kinds' fields by their numbers; which number means what differs.
#[derive(Default)]
struct Data {
    ints: [Option<i32>; 7],
    compressed: Option<bool>,
}

impl Data {
    fn get(&self, id: usize) -> Flawed<i32> {
        self.ints[id].ok_or_else(|| Flaw::bad(format!("field {id} is missing in a page header")))
    }
}

impl PageHeader {
    /// Parses the header at the front of `data`.
    ///
    /// # Errors
    /// When bytes end inside it, a field is missing or out of range, or an encoding is unknown.
    pub(crate) fn parse(data: &[u8]) -> Flawed<Self> {
        let mut reader = Reader::new(&data[..data.len().min(MAX_HEADER_BYTES)]);
        let raw = raw(&mut reader)?;
        let kind = raw.kind.ok_or_else(|| Flaw::bad("page header without a type"))?;
        let header_bytes = u32::try_from(reader.position()).map_err(|_| Flaw::bad("header"))?;
        let compressed_bytes = size(raw.compressed, "compressed size of a page")?;
        let uncompressed_bytes = size(raw.uncompressed, "uncompressed size of a page")?;
        let crc = raw.crc.map(i32::cast_unsigned);
        let missing = || Flaw::bad("page header without the part of its type");
        let (kind, encoding, values) = match kind {
            0 => {
                let d = raw.v1.ok_or_else(missing)?;
                (PageKind::DataV1 { levels: encoding(d.get(3)?)? }, d.get(2)?, d.get(1)?)
            }
            1 => (PageKind::Index, 0, 0),
            2 => {
                let d = raw.dictionary.ok_or_else(missing)?;
                (PageKind::Dictionary, d.get(2)?, d.get(1)?)
            }
            3 => {
                let d = raw.v2.ok_or_else(missing)?;
                let kind = PageKind::DataV2 {
                    repetition_bytes: size(Some(d.get(6)?), "bytes of repetition levels")?,
                    definition_bytes: size(Some(d.get(5)?), "bytes of definition levels")?,
                    nulls: size(Some(d.get(2)?), "number of NULLs")?,
                    compressed: d.compressed.unwrap_or(true),
                };
                (kind, d.get(4)?, d.get(1)?)
            }
            other => return Err(Flaw::bad(format!("page of type {other}"))),
        };
        let values = size(Some(values), "number of values")?;
        if let PageKind::DataV2 { repetition_bytes, definition_bytes, nulls, .. } = kind {
            let levels = u64::from(repetition_bytes) + u64::from(definition_bytes);
            if levels > u64::from(uncompressed_bytes) || levels > u64::from(compressed_bytes) {
                return Err(Flaw::bad("levels take more bytes than their page has"));
            }
            if nulls > values {
                return Err(Flaw::bad("page with more NULLs than values"));
            }
        }
        let encoding = self::encoding(encoding)?;
        Ok(Self { kind, encoding, values, compressed_bytes, uncompressed_bytes, crc, header_bytes })
    }
}

fn raw(reader: &mut Reader<'_>) -> Flawed<Raw> {
    let mut raw = Raw::default();
    let mut last = 0;
    while let Some(f) = reader.field(last)? {
        last = f.id;
        match f.id {
            1 => raw.kind = Some(reader.i32(&f)?),
            2 => raw.uncompressed = Some(reader.i32(&f)?),
            3 => raw.compressed = Some(reader.i32(&f)?),
            4 => raw.crc = Some(reader.i32(&f)?),
            5 => {
                reader.open_struct(&f)?;
                raw.v1 = Some(data(reader, 4)?);
            }
            7 => {
                reader.open_struct(&f)?;
                raw.dictionary = Some(data(reader, 2)?);
            }
            8 => {
                reader.open_struct(&f)?;
                raw.v2 = Some(data(reader, 6)?);
            }
            _ => reader.skip(f.kind)?,
        }
    }
    Ok(raw)
}

/// Reads a struct whose fields up to `ints` are `i32`. Field 7 of a v2 header is `is_compressed`.
fn data(reader: &mut Reader<'_>, ints: i16) -> Flawed<Data> {
    let mut data = Data::default();
    let mut last = 0;
    while let Some(f) = reader.field(last)? {
        last = f.id;
        match usize::try_from(f.id) {
            Ok(id @ 1..=6) if f.id <= ints => data.ints[id] = Some(reader.i32(&f)?),
            Ok(7) if ints == 6 => data.compressed = Some(reader.bool(&f)?),
            _ => reader.skip(f.kind)?,
        }
    }
    Ok(data)
}

fn size(v: Option<i32>, what: &'static str) -> Flawed<u32> {
    let v = v.ok_or_else(|| Flaw::bad(format!("page header without {what}")))?;
    u32::try_from(v).map_err(|_| Flaw::bad(format!("{what} is {v}")))
}

fn encoding(v: i32) -> Flawed<Encoding> {
    Ok(match v {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        #[expect(deprecated, reason = "old files name it for levels that they do not have")]
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        other => return Err(Flaw::bad(format!("encoding {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// type 0, uncompressed 20, compressed 10, v1 { 5 values, PLAIN, RLE, RLE }.
    const V1: [u8; 17] =
        [0x15, 0, 0x15, 40, 0x15, 20, 0x2c, 0x15, 10, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0];

    #[test]
    fn version_1() {
        let h = PageHeader::parse(&V1).unwrap();
        assert_eq!(h.kind, PageKind::DataV1 { levels: Encoding::RLE });
        assert_eq!((h.values, h.compressed_bytes, h.uncompressed_bytes), (5, 10, 20));
        assert_eq!((h.encoding, h.header_bytes), (Encoding::PLAIN, 17));
    }

    #[test]
    fn every_cut_and_flip_is_an_answer() {
        for n in 0..V1.len() {
            assert!(PageHeader::parse(&V1[..n]).is_err(), "cut at {n}");
        }
        for i in 0..V1.len() {
            for b in 0..=255 {
                let mut bytes = V1;
                bytes[i] = b;
                let _ = PageHeader::parse(&bytes);
            }
        }
        // Lists in lists, to any depth.
        let mut deep = vec![0x15, 0, 0x49];
        deep.extend(std::iter::repeat_n(0x19, 100_000));
        assert!(PageHeader::parse(&deep).is_err());
    }
}
