//! From pages in device memory to a column: levels, then each encoding's kernels.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use parquet::basic::{Encoding, Type as Physical};
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice};
use staffa_kernels::abi::{ColumnKind, Span};
use staffa_kernels::parquet::{
    Conversion, Dictionary, Levels, PageInput, PageLevels, PageSet, Slots, Stored, booleans_plain,
    booleans_rle, delta, dictionary_codes, dictionary_values, fixed, index, levels, utf8,
};

use super::column::{DeviceColumn, DeviceDictionary};
use super::decode::{ColumnPages, PlacedPage};
use super::pages::DeviceChunk;
use super::stage::Staged;
use super::strings::{Strings, decimals_of_spans, fixed_of_spans, spans_into};
use super::target::DeviceTarget;
use super::{DecodeContext, at};
use crate::error::{Flaw, Flawed, Result};

/// How a page's values are stored, apart from their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Codes,
    Plain,
    Split,
    Delta,
    DeltaLength,
    DeltaBytes,
    Rle,
}

fn form(encoding: Encoding, physical: Physical) -> Flawed<Form> {
    use Physical::{BOOLEAN, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, INT32, INT64, INT96};
    Ok(match (encoding, physical) {
        (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, p) if p != BOOLEAN => Form::Codes,
        (Encoding::PLAIN, _) => Form::Plain,
        (Encoding::RLE, BOOLEAN) => Form::Rle,
        (Encoding::BYTE_STREAM_SPLIT, p) if !matches!(p, BOOLEAN | BYTE_ARRAY | INT96) => {
            Form::Split
        }
        (Encoding::DELTA_BINARY_PACKED, INT32 | INT64) => Form::Delta,
        (Encoding::DELTA_LENGTH_BYTE_ARRAY, BYTE_ARRAY) => Form::DeltaLength,
        (Encoding::DELTA_BYTE_ARRAY, BYTE_ARRAY | FIXED_LEN_BYTE_ARRAY) => Form::DeltaBytes,
        (e, p) => return Err(Flaw::unsupported(format!("{p} in {e}"))),
    })
}

/// What values are written to.
pub(super) enum Output {
    Bits(DeviceBuffer<u32>),
    Bytes(DeviceBuffer<u8>),
    Spans(DeviceBuffer<Span>),
}

impl Output {
    fn new(context: &DecodeContext<'_>, target: DeviceTarget, rows: u32) -> Outcome<Self> {
        let (memory, stream) = (context.kernels.memory, context.kernels.stream);
        Ok(match target {
            DeviceTarget::Bits => {
                let mut words = memory.buffer(rows.div_ceil(32) as usize, stream)?;
                words.zero(stream)?;
                Self::Bits(words)
            }
            DeviceTarget::Spans { .. } => Self::Spans(memory.buffer(rows as usize, stream)?),
            DeviceTarget::Fixed(_) | DeviceTarget::Decimals { .. } => {
                let bytes = u64::from(rows) * u64::from(target.row_bytes());
                let bytes = usize::try_from(bytes)
                    .map_err(|_| CudaError::OverBudget(format!("{bytes} bytes of a column")))?;
                Self::Bytes(memory.buffer(bytes, stream)?)
            }
        })
    }

    fn freeze(self) -> Outcome<DeviceSlice<u8>> {
        match self {
            Self::Bits(words) => words.freeze().cast(),
            Self::Bytes(bytes) => Ok(bytes.freeze()),
            Self::Spans(spans) => spans.freeze().cast(),
        }
    }
}

type Outcome<T> = staffa_cuda::Result<T>;

/// Queues the decoding of one column.
pub(super) fn column(
    context: &DecodeContext<'_>,
    chunk: &mut DeviceChunk,
    pages: &ColumnPages,
    staged: &Staged,
    rows: u32,
) -> Result<DeviceColumn> {
    let place = chunk.chunk.place();
    let mut forms: BTreeMap<Form, Vec<PageInput>> = BTreeMap::new();
    for page in &pages.pages {
        let form = form(page.header.encoding, chunk.chunk.leaf.physical)
            .map_err(chunk.error(page.number))?;
        let input = input(chunk, page, staged).map_err(chunk.error(page.number))?;
        forms.entry(form).or_default().push(input);
    }
    let only_codes = forms.len() == 1 && forms.contains_key(&Form::Codes);
    let host = match chunk.codes && only_codes && pages.dictionary.is_some() {
        true => chunk.host_dictionary()?,
        false => None,
    };
    let dictionary = match &pages.dictionary {
        Some(page) => {
            let bytes = u64::from(staged.places.get(page.body).map_or(0, |place| place.bytes));
            let entries = chunk.entries(&page.header, bytes).map_err(chunk.error(None))?;
            Some(entries)
        }
        None => None,
    };
    let work = Work { context, chunk, pages, staged };
    let mut column = work.column(&forms, dictionary, host.is_some(), rows).map_err(at(place))?;
    if let Some(dictionary) = &mut column.dictionary {
        dictionary.host = host;
    }
    Ok(column)
}

fn input(chunk: &DeviceChunk, page: &PlacedPage, staged: &Staged) -> Flawed<PageInput> {
    let place = staged.places.get(page.body).ok_or_else(|| Flaw::bug("a page without a body"))?;
    let first_row = i32::try_from(page.first_row)
        .map_err(|_| Flaw::unsupported("a page of 2^31 rows or more"))?;
    Ok(PageInput {
        buffer: place.buffer,
        offset: place.offset,
        bytes: place.bytes,
        rows: page.rows,
        first_row,
        ordinal: page.ordinal,
        levels: chunk.levels(&page.header),
        max_level: u8::from(chunk.chunk.leaf.nullable),
    })
}

/// A column being decoded.
pub(super) struct Work<'a> {
    pub(super) context: &'a DecodeContext<'a>,
    pub(super) chunk: &'a DeviceChunk,
    pages: &'a ColumnPages,
    staged: &'a Staged,
}

impl Work<'_> {
    fn column(
        &self,
        forms: &BTreeMap<Form, Vec<PageInput>>,
        entries: Option<u32>,
        codes: bool,
        rows: u32,
    ) -> Outcome<DeviceColumn> {
        let kernels = &self.context.kernels;
        let target = self.chunk.target;
        let mut pointed = self.pointed(target)?;
        let dictionary = self.dictionary(entries, &mut pointed, codes)?;
        let mut validity = match self.chunk.chunk.leaf.nullable {
            true => {
                let mut bits = kernels.memory.buffer(rows.div_ceil(32) as usize, kernels.stream)?;
                bits.zero(kernels.stream)?;
                let mut nulls = kernels.memory.buffer::<u64>(1, kernels.stream)?;
                nulls.zero(kernels.stream)?;
                Some((bits, nulls))
            }
            false => None,
        };
        let mut output = match codes {
            true => Output::Bytes(kernels.memory.buffer(rows as usize * 4, kernels.stream)?),
            false => Output::new(self.context, target, rows)?,
        };
        for (&form, inputs) in forms {
            let mut set = PageSet::new(kernels, &self.staged.buffers, inputs, rows)?;
            match &mut validity {
                Some((validity, nulls)) => {
                    levels(kernels, &mut set, Levels::Decode { validity, nulls })?;
                }
                None => levels(kernels, &mut set, Levels::Skip)?,
            }
            if codes {
                output = self.codes(&set, &dictionary, output)?;
            } else {
                output = self.values(form, &mut set, &dictionary, output, &mut pointed)?;
            }
        }
        let validity = match validity {
            Some((bits, _)) => Some(bits.freeze().cast()?),
            None => None,
        };
        let values = self.checked(output, forms, rows, &pointed)?;
        let kind = if codes { ColumnKind::Codes } else { kind(target, &self.chunk.data_type) };
        Ok(DeviceColumn {
            data_type: self.chunk.data_type.clone(),
            kind,
            width: target.row_bytes(),
            rows,
            values,
            validity,
            dictionary: dictionary.filter(|_| codes),
            pointed,
        })
    }

    /// The values' memory, with strings that did not come from the dictionary checked as UTF-8.
    fn checked(
        &self,
        output: Output,
        forms: &BTreeMap<Form, Vec<PageInput>>,
        rows: u32,
        pointed: &[DeviceSlice<u8>],
    ) -> Outcome<DeviceSlice<u8>> {
        let checks = self.chunk.target == DeviceTarget::Spans { utf8: true }
            && forms.keys().any(|form| *form != Form::Codes);
        match output {
            Output::Spans(spans) if checks => {
                let spans = spans.freeze();
                utf8(&self.context.kernels, &spans, rows, self.pages.ordinal, pointed)?;
                spans.cast()
            }
            output => output.freeze(),
        }
    }

    /// The parts of the bodies' memory that spans of this column may point into.
    fn pointed(&self, target: DeviceTarget) -> Outcome<Vec<DeviceSlice<u8>>> {
        if !matches!(target, DeviceTarget::Spans { .. }) {
            return Ok(Vec::new());
        }
        let mut ranges: [Option<(u64, u64)>; 2] = [None; 2];
        for place in self.pages.places(self.staged) {
            let end = place.offset + u64::from(place.bytes);
            let range = &mut ranges[place.buffer];
            *range =
                Some(range.map_or((place.offset, end), |(from, to)| {
                    (from.min(place.offset), to.max(end))
                }));
        }
        let mut pointed = Vec::new();
        for (buffer, range) in self.staged.buffers.iter().zip(ranges) {
            if let Some((from, to)) = range {
                // Inside of a buffer, whose length is a usize.
                pointed.push(buffer.slice(from as usize..to as usize)?);
            }
        }
        Ok(pointed)
    }

    /// The dictionary's entries as values of the column. With codes that stay codes, the host checks
    /// that its strings are UTF-8.
    fn dictionary(
        &self,
        entries: Option<u32>,
        pointed: &mut Vec<DeviceSlice<u8>>,
        codes: bool,
    ) -> Outcome<Option<DeviceDictionary>> {
        let kernels = &self.context.kernels;
        let target = self.chunk.target;
        let (Some(page), Some(entries)) = (&self.pages.dictionary, entries.filter(|n| *n > 0))
        else {
            // No code is right; one entry keeps the harmless code 0 inside.
            let mut values =
                kernels.memory.buffer::<u8>(target.row_bytes().max(16) as usize, kernels.stream)?;
            values.zero(kernels.stream)?;
            return Ok(Some(DeviceDictionary { values: values.freeze(), entries: 0, host: None }));
        };
        let place = self.staged.places.get(page.body).copied();
        let place = place.ok_or_else(|| CudaError::Misuse("a page without a body".into()))?;
        let input = PageInput {
            buffer: place.buffer,
            offset: place.offset,
            bytes: place.bytes,
            rows: entries,
            first_row: 0,
            ordinal: page.ordinal,
            levels: PageLevels::None,
            max_level: 0,
        };
        let mut set = PageSet::new(kernels, &self.staged.buffers, &[input], entries)?;
        levels(kernels, &mut set, Levels::Skip)?;
        let output = Output::new(self.context, target, entries)?;
        let output = self.values(Form::Plain, &mut set, &None, output, pointed)?;
        let values = match output {
            Output::Spans(spans) => {
                let spans = spans.freeze();
                if target == (DeviceTarget::Spans { utf8: true }) && !codes {
                    utf8(kernels, &spans, entries, page.ordinal, pointed)?;
                }
                spans.cast()?
            }
            output => output.freeze()?,
        };
        Ok(Some(DeviceDictionary { values, entries, host: None }))
    }

    fn codes(
        &self,
        set: &PageSet,
        dictionary: &Option<DeviceDictionary>,
        output: Output,
    ) -> Outcome<Output> {
        let kernels = &self.context.kernels;
        let entries = dictionary.as_ref().map_or(0, |dictionary| dictionary.entries);
        let Output::Bytes(bytes) = output else {
            return Err(CudaError::Misuse("codes are numbers".into()));
        };
        let indexes = index(kernels, set, false)?;
        let mut codes = bytes.cast::<u32>()?;
        dictionary_codes(kernels, set, &indexes, entries, &mut codes)?;
        Ok(Output::Bytes(codes.cast()?))
    }

    /// Values of the pages of one form to their rows of the output.
    fn values(
        &self,
        form: Form,
        set: &mut PageSet,
        dictionary: &Option<DeviceDictionary>,
        mut output: Output,
        pointed: &mut Vec<DeviceSlice<u8>>,
    ) -> Outcome<Output> {
        let kernels = &self.context.kernels;
        if form == Form::Codes {
            let Some(dictionary) = dictionary else {
                return Err(CudaError::Misuse("codes without a dictionary".into()));
            };
            let width = self.chunk.target.row_bytes();
            let entries =
                Dictionary { values: &dictionary.values, rows: dictionary.entries, width };
            let indexes = index(kernels, set, false)?;
            match &mut output {
                Output::Bytes(out) => dictionary_values(kernels, set, &indexes, entries, out)?,
                Output::Spans(out) => dictionary_values(kernels, set, &indexes, entries, out)?,
                Output::Bits(_) => return Err(CudaError::Misuse("codes of bits".into())),
            }
            return Ok(output);
        }
        match (&mut output, self.chunk.target) {
            (Output::Bits(bits), _) => match form {
                Form::Rle => booleans_rle(kernels, set, &index(kernels, set, true)?, bits)?,
                _ => booleans_plain(kernels, set, bits)?,
            },
            (Output::Spans(spans), _) => {
                let strings = Strings { work: self, form };
                pointed.extend(spans_into(&strings, set, spans)?);
            }
            (Output::Bytes(bytes), DeviceTarget::Decimals { width }) => {
                decimals_of_spans(&Strings { work: self, form }, set, width, bytes)?;
            }
            (Output::Bytes(bytes), DeviceTarget::Fixed(conversion)) => match form {
                Form::Delta => output = self.delta(set, conversion, output)?,
                Form::DeltaBytes => {
                    fixed_of_spans(&Strings { work: self, form }, set, conversion, bytes)?;
                }
                Form::Split => fixed(kernels, set, Stored::Split, conversion, bytes)?,
                _ => fixed(kernels, set, Stored::Plain, conversion, bytes)?,
            },
            _ => return Err(CudaError::Misuse("values of another type than the column".into())),
        }
        Ok(output)
    }

    /// Delta-encoded integers: straight to rows where they are rows as they are, else by slots.
    fn delta(&self, set: &PageSet, conversion: Conversion, output: Output) -> Outcome<Output> {
        let kernels = &self.context.kernels;
        let Output::Bytes(mut bytes) = output else {
            return Err(CudaError::Misuse("delta-encoded values are numbers".into()));
        };
        let direct = !self.chunk.chunk.leaf.nullable;
        match conversion {
            Conversion::I32To32 if direct => {
                let mut rows = bytes.cast::<i32>()?;
                delta(kernels, set, Slots::Rows(&mut rows))?;
                return Ok(Output::Bytes(rows.cast()?));
            }
            Conversion::I64To64 if direct => {
                let mut rows = bytes.cast::<i64>()?;
                delta(kernels, set, Slots::Rows(&mut rows))?;
                return Ok(Output::Bytes(rows.cast()?));
            }
            _ => {}
        }
        let slots = match conversion.stored_bytes() {
            4 => {
                let mut slots = kernels.memory.buffer::<i32>(set.slots(), kernels.stream)?;
                delta(kernels, set, Slots::Compact(&mut slots))?;
                slots.freeze().cast()?
            }
            _ => {
                let mut slots = kernels.memory.buffer::<i64>(set.slots(), kernels.stream)?;
                delta(kernels, set, Slots::Compact(&mut slots))?;
                slots.freeze().cast()?
            }
        };
        fixed(kernels, set, Stored::Compact(&slots), conversion, &mut bytes)?;
        Ok(Output::Bytes(bytes))
    }
}

/// How values of a type are stored.
pub(super) fn kind(target: DeviceTarget, data_type: &DataType) -> ColumnKind {
    match target {
        DeviceTarget::Bits => ColumnKind::Bits,
        DeviceTarget::Spans { .. } => ColumnKind::Spans,
        _ if matches!(data_type, DataType::FixedSizeBinary(_)) => ColumnKind::Bytes,
        _ => ColumnKind::Fixed,
    }
}
