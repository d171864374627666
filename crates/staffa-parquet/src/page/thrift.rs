//! Thrift's compact protocol, as far as page headers need it, for bytes that nobody vouches for.

use crate::encoding::varint::{uleb, unzigzag};
use crate::error::{Flaw, Flawed};

/// Structs and lists may nest this deep in a field that is passed over.
const MAX_DEPTH: u32 = 16;

pub(crate) mod wire {
    //! Type tags of the compact protocol.
    pub(crate) const TRUE: u8 = 1;
    pub(crate) const FALSE: u8 = 2;
    pub(crate) const BYTE: u8 = 3;
    pub(crate) const I16: u8 = 4;
    pub(crate) const I32: u8 = 5;
    pub(crate) const I64: u8 = 6;
    pub(crate) const DOUBLE: u8 = 7;
    pub(crate) const BINARY: u8 = 8;
    pub(crate) const LIST: u8 = 9;
    pub(crate) const SET: u8 = 10;
    pub(crate) const MAP: u8 = 11;
    pub(crate) const STRUCT: u8 = 12;
    pub(crate) const UUID: u8 = 13;
}

/// A field's number and type tag.
pub(crate) struct Field {
    pub(crate) id: i16,
    pub(crate) kind: u8,
}

/// Reads from the front of a slice; every length is checked against what is left.
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    fn byte(&mut self) -> Flawed<u8> {
        let b = *self.data.get(self.pos).ok_or_else(|| Flaw::bad("bytes end inside a header"))?;
        self.pos += 1;
        Ok(b)
    }

    fn advance(&mut self, n: u64) -> Flawed<()> {
        let left = (self.data.len() - self.pos) as u64;
        if n > left {
            return Err(Flaw::bad("a length in a header goes beyond the bytes there are"));
        }
        self.pos += n as usize;
        Ok(())
    }

    /// The next field of a struct, or `None` at its end. `last` is the previous field's number.
    pub(crate) fn field(&mut self, last: i16) -> Flawed<Option<Field>> {
        let b = self.byte()?;
        if b == 0 {
            return Ok(None);
        }
        let kind = b & 0x0f;
        let delta = i16::from(b >> 4);
        let id = if delta == 0 {
            i16::try_from(unzigzag(uleb(self.data, &mut self.pos)?))
                .map_err(|_| Flaw::bad("field number in a header"))?
        } else {
            last.checked_add(delta).ok_or_else(|| Flaw::bad("field number in a header"))?
        };
        Ok(Some(Field { id, kind }))
    }

    /// An `i32` field's value.
    pub(crate) fn i32(&mut self, field: &Field) -> Flawed<i32> {
        // All widths of integers look the same on the wire; other readers take them too.
        if !matches!(field.kind, wire::I16 | wire::I32 | wire::I64) {
            return Err(Flaw::bad(format!("field {} of a header is no integer", field.id)));
        }
        i32::try_from(unzigzag(uleb(self.data, &mut self.pos)?))
            .map_err(|_| Flaw::bad(format!("field {} of a header is above 32 bits", field.id)))
    }

    /// A boolean field's value, which lies in its tag.
    pub(crate) fn bool(&self, field: &Field) -> Flawed<bool> {
        match field.kind {
            wire::TRUE => Ok(true),
            wire::FALSE => Ok(false),
            _ => Err(Flaw::bad(format!("field {} of a header is no bool", field.id))),
        }
    }

    /// Checks that a field is a struct.
    pub(crate) fn open_struct(&self, field: &Field) -> Flawed<()> {
        if field.kind != wire::STRUCT {
            return Err(Flaw::bad(format!("field {} of a header is no struct", field.id)));
        }
        Ok(())
    }

    /// Passes over a field's value.
    pub(crate) fn skip(&mut self, kind: u8) -> Flawed<()> {
        self.skip_nested(kind, 0, false)
    }

    fn skip_nested(&mut self, kind: u8, depth: u32, element: bool) -> Flawed<()> {
        if depth > MAX_DEPTH {
            return Err(Flaw::bad("a header nests too deep"));
        }
        match kind {
            wire::TRUE | wire::FALSE if element => self.advance(1),
            wire::TRUE | wire::FALSE => Ok(()),
            wire::BYTE => self.advance(1),
            wire::I16 | wire::I32 | wire::I64 => uleb(self.data, &mut self.pos).map(drop),
            wire::DOUBLE => self.advance(8),
            wire::UUID => self.advance(16),
            wire::BINARY => {
                let n = uleb(self.data, &mut self.pos)?;
                self.advance(n)
            }
            wire::LIST | wire::SET => {
                let b = self.byte()?;
                let n = match b >> 4 {
                    15 => uleb(self.data, &mut self.pos)?,
                    n => u64::from(n),
                };
                self.skip_many(n, &[b & 0x0f], depth)
            }
            wire::MAP => {
                let n = uleb(self.data, &mut self.pos)?;
                if n == 0 {
                    return Ok(());
                }
                let b = self.byte()?;
                self.skip_many(n, &[b >> 4, b & 0x0f], depth)
            }
            wire::STRUCT => {
                let mut last = 0;
                while let Some(f) = self.field(last)? {
                    self.skip_nested(f.kind, depth + 1, false)?;
                    last = f.id;
                }
                Ok(())
            }
            _ => Err(Flaw::bad(format!("type tag {kind} in a header"))),
        }
    }

    /// Every element takes at least a byte, so `n` above the bytes left is refused at once.
    fn skip_many(&mut self, n: u64, kinds: &[u8], depth: u32) -> Flawed<()> {
        if n > (self.data.len() - self.pos) as u64 {
            return Err(Flaw::bad("a list in a header is longer than the bytes there are"));
        }
        for _ in 0..n {
            for kind in kinds {
                self.skip_nested(*kind, depth + 1, true)?;
            }
        }
        Ok(())
    }
}
