//! Columns in device memory, as `docs/design/columns.md` lays them out.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{Column, ColumnKind};

use crate::error::{Flaw, Place, Result};

/// A column's dictionary: entries without NULLs, on the device and, where asked for, on the host.
#[derive(Clone)]
pub struct DeviceDictionary {
    /// The entries, `entries * width` bytes; at least one entry's bytes, even without entries.
    pub values: DeviceSlice<u8>,
    /// How many there are.
    pub entries: u32,
    /// The same entries as an array, of the column's type: what codes that leave the device point into.
    pub host: Option<ArrayRef>,
}

/// A column of a morsel. Cheap to clone: its memory is shared.
#[derive(Clone)]
pub struct DeviceColumn {
    /// Its Arrow type.
    pub data_type: DataType,
    /// How values are stored.
    pub kind: ColumnKind,
    /// Bytes a value (of the dictionary's for codes); 0 for bits.
    pub width: u32,
    /// Rows.
    pub rows: u32,
    /// Slots for `rows` rows: `width` bytes each, 4 for codes; words of 32 bits for bits.
    pub values: DeviceSlice<u8>,
    /// A bit a row in words of 32; absent: no row is NULL.
    pub validity: Option<DeviceSlice<u8>>,
    /// Of codes.
    pub dictionary: Option<DeviceDictionary>,
    /// What spans point into: the rows', or the dictionary's.
    pub pointed: Vec<DeviceSlice<u8>>,
}

impl DeviceColumn {
    /// A column that a kernel wrote, from its descriptor and the buffers that hold it. Codes find the
    /// dictionary on the host in the column of `sources` that they were read from.
    ///
    /// # Errors
    /// `Bug` when an address lies in none of the buffers, or codes belong to none of the columns.
    pub fn of_parts(
        data_type: &DataType,
        descriptor: &Column,
        buffers: &[DeviceSlice<u8>],
        sources: &[DeviceColumn],
    ) -> Result<Self> {
        let bug = |what: &str| Flaw::bug(what.to_owned()).at(Place::default());
        let starting = |address: u64| buffers.iter().find(|buffer| buffer.address() == address);
        let kind = [
            ColumnKind::Fixed,
            ColumnKind::Bits,
            ColumnKind::Bytes,
            ColumnKind::Spans,
            ColumnKind::Codes,
        ];
        let kind = kind.into_iter().find(|kind| *kind as u8 == descriptor.kind);
        let kind = kind.ok_or_else(|| bug("a column of no kind"))?;
        let values = match starting(descriptor.values) {
            Some(values) => values.clone(),
            None => match (descriptor.rows, buffers.first()) {
                (0, Some(any)) => any.clone(),
                _ => return Err(bug("a column's values lie in none of its buffers")),
            },
        };
        let validity = match descriptor.validity {
            0 => None,
            address => Some(
                starting(address)
                    .cloned()
                    .ok_or_else(|| bug("a column's validity lies in none of its buffers"))?,
            ),
        };
        let dictionary = match kind {
            ColumnKind::Codes => {
                let known = sources.iter().filter_map(|source| source.dictionary.as_ref());
                let found = known.into_iter().find(|d| d.values.address() == descriptor.dictionary);
                Some(found.cloned().ok_or_else(|| bug("codes of no column's dictionary"))?)
            }
            _ => None,
        };
        let pointed = match kind {
            ColumnKind::Spans => buffers
                .iter()
                .filter(|b| ![descriptor.values, descriptor.validity].contains(&b.address()))
                .cloned()
                .collect(),
            _ => Vec::new(),
        };
        let (width, rows) = (descriptor.width, descriptor.rows);
        let data_type = data_type.clone();
        Ok(Self { data_type, kind, width, rows, values, validity, dictionary, pointed })
    }

    /// What kernels receive. Valid as long as [`DeviceColumn::buffers`] are kept.
    pub fn descriptor(&self) -> Column {
        let (dictionary_kind, dictionary, dictionary_rows) = match &self.dictionary {
            Some(entries) => {
                let kind = match &self.data_type {
                    of if crate::is_byte_string(of) => ColumnKind::Spans,
                    DataType::FixedSizeBinary(_) => ColumnKind::Bytes,
                    _ => ColumnKind::Fixed,
                };
                (kind as u8, entries.values.address(), entries.entries)
            }
            None => (0, 0, 0),
        };
        Column {
            values: if self.rows == 0 { 0 } else { self.values.address() },
            validity: self.validity.as_ref().map_or(0, DeviceSlice::address),
            dictionary,
            rows: self.rows,
            dictionary_rows,
            kind: self.kind as u8,
            dictionary_kind,
            width: self.width,
            ..Column::default()
        }
    }

    /// Every buffer that the descriptor, or a span, points into.
    pub fn buffers(&self) -> Vec<DeviceSlice<u8>> {
        let mut buffers = vec![self.values.clone()];
        buffers.extend(self.validity.clone());
        buffers.extend(self.dictionary.iter().map(|dictionary| dictionary.values.clone()));
        buffers.extend(self.pointed.iter().cloned());
        buffers
    }

    /// The codes of a dictionary column as numbers: a column of 4 bytes a row that kernels copy like any
    /// other. `None` for other columns.
    pub fn codes(&self) -> Option<Self> {
        self.dictionary.as_ref()?;
        Some(Self {
            data_type: DataType::UInt32,
            kind: ColumnKind::Fixed,
            width: 4,
            dictionary: None,
            pointed: Vec::new(),
            ..self.clone()
        })
    }

    /// Bytes of the values of so many rows.
    pub(super) fn value_bytes(&self, rows: u32) -> usize {
        let rows = rows as usize;
        match self.kind {
            ColumnKind::Bits => rows.div_ceil(32) * 4,
            ColumnKind::Codes => rows * 4,
            _ => rows * self.width as usize,
        }
    }
}
