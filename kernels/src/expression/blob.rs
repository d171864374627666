//! What a program's blob holds: scalar constants, lists, bytes of strings.

use staffa_common::StaffaError;

use super::builder::Builder;

/// Most bytes of scalar constants a program may have; they lie in shared memory.
const CONSTANT_LIMIT: usize = 8 * 1024;

pub(super) fn list_too_long() -> StaffaError {
    StaffaError::unsupported("E005 the lists of the expression have 4 GiB or more")
}

impl Builder {
    /// A scalar's place among the constants; equal ones share it. Spans (`relocated`: their addresses are
    /// still to be moved) never share one with a number that happens to have the same bytes.
    pub(super) fn constant_bytes(
        &mut self,
        bytes: Vec<u8>,
        relocated: bool,
    ) -> Result<u32, StaffaError> {
        if let Some(offset) = self.known_constants.get(&(relocated, bytes.clone())) {
            return Ok(*offset);
        }
        let offset = self.constants.len().next_multiple_of(bytes.len().max(1));
        if offset + bytes.len() > CONSTANT_LIMIT {
            return Err(StaffaError::unsupported("E002 the expression has too many constants"));
        }
        self.constants.resize(offset, 0);
        self.constants.extend_from_slice(&bytes);
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        if relocated {
            self.spans.push((false, offset));
        }
        self.known_constants.insert((relocated, bytes), offset);
        Ok(offset)
    }

    /// A span whose address counts from the start of `self.bytes`; [`Builder::finish`] moves it.
    pub(super) fn relative_span(&mut self, bytes: &[u8]) -> Result<Vec<u8>, StaffaError> {
        let length = u32::try_from(bytes.len())
            .ok()
            .filter(|n| *n <= i32::MAX as u32)
            .ok_or_else(|| StaffaError::unsupported("E003 a string constant of 2 GiB or more"))?;
        let address = (self.bytes.len() as u64).to_le_bytes();
        self.bytes.extend_from_slice(bytes);
        let mut prefix = [0u8; 4];
        for (to, from) in prefix.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok([&address[..], &length.to_le_bytes(), &prefix].concat())
    }

    /// Appends a sorted list to the blob; its offset counts from the first list.
    pub(super) fn list(&mut self, entries: &[Vec<u8>], spans: bool) -> Result<u32, StaffaError> {
        self.lists.resize(self.lists.len().next_multiple_of(16), 0);
        let start = self.lists.len();
        for entry in entries {
            if spans {
                let at = u32::try_from(self.lists.len()).map_err(|_| list_too_long())?;
                let span = self.relative_span(entry)?;
                self.spans.push((true, at));
                self.lists.extend_from_slice(&span);
            } else {
                self.lists.extend_from_slice(entry);
            }
        }
        u32::try_from(start).map_err(|_| list_too_long())
    }
}
