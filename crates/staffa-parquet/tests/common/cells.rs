//! The printed matrix: which type x encoding x codec x page version x nullability was compared.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::Field;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::Page;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::SerializedFileReader as Reader;

/// What the writer made of one column, as the parquet crate tells it.
pub(crate) struct Written {
    physical: String,
    codec: String,
    /// Of the values, over all row groups; a dictionary's is one of them.
    encodings: BTreeSet<Encoding>,
    versions: BTreeSet<u8>,
}

/// Per leaf, all pages of the file looked at.
pub(crate) fn written(bytes: &Bytes) -> Vec<Written> {
    let reader: Reader<Bytes> = SerializedFileReader::new(bytes.clone()).unwrap();
    let leaves = reader.metadata().file_metadata().schema_descr().num_columns();
    (0..leaves).map(|leaf| leaf_written(&reader, leaf)).collect()
}

fn leaf_written(reader: &Reader<Bytes>, leaf: usize) -> Written {
    let described = reader.metadata().file_metadata().schema_descr().column(leaf);
    let mut codec = "none".to_owned();
    let (mut encodings, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).unwrap();
        codec = codec_name(group.metadata().column(leaf).compression());
        for page in group.get_column_page_reader(leaf).unwrap() {
            match page.unwrap() {
                Page::DataPage { encoding, .. } => {
                    encodings.insert(encoding);
                    versions.insert(1);
                }
                Page::DataPageV2 { encoding, .. } => {
                    encodings.insert(encoding);
                    versions.insert(2);
                }
                Page::DictionaryPage { .. } => {}
            }
        }
    }
    Written { physical: described.physical_type().to_string(), codec, encodings, versions }
}

fn codec_name(codec: Compression) -> String {
    let name = codec.to_string();
    name.split('(').next().unwrap_or_default().to_lowercase().replace("uncompressed", "none")
}

/// One letter: required, optional without a NULL, some, most, all NULL; `-` for no rows.
fn nullability(field: &Field, array: &ArrayRef) -> char {
    let (rows, nulls) = (array.len(), array.null_count());
    match () {
        () if !field.is_nullable() => 'r',
        () if rows == 0 => '-',
        () if nulls == 0 => 'o',
        () if nulls == rows => 'a',
        () if nulls * 2 > rows => 'm',
        () => 's',
    }
}

type Line = BTreeMap<String, BTreeSet<char>>;

/// Columns that gave arrow-rs's values, and those that were refused.
#[derive(Default)]
pub(crate) struct Matrix {
    /// By writer, type and encoding; then by codec and page version, the kinds of NULLs.
    compared: BTreeMap<(String, String, String), Line>,
    refused: BTreeMap<(String, String), BTreeSet<String>>,
    columns: usize,
    refusals: usize,
}

impl Matrix {
    /// Notes a column that was read and is equal; `array` is what arrow-rs gives.
    pub(crate) fn compared(
        &mut self,
        writer: &str,
        field: &Field,
        how: &Written,
        array: &ArrayRef,
    ) {
        self.columns += 1;
        let kind = format!("{} of {}", field.data_type(), how.physical);
        for encoding in &how.encodings {
            let key = (writer.to_owned(), kind.clone(), encoding.to_string());
            let line = self.compared.entry(key).or_default();
            for version in &how.versions {
                let cell = line.entry(format!("{} v{version}", how.codec)).or_default();
                cell.insert(nullability(field, array));
            }
        }
    }

    /// Notes a column that was refused, with the reason.
    pub(crate) fn refused(&mut self, writer: &str, data_type: &str, why: &str) {
        self.refusals += 1;
        let key = (writer.to_owned(), why.to_owned());
        self.refused.entry(key).or_default().insert(data_type.to_owned());
    }

    /// How many different type x encoding x codec x page version x nullability there are.
    pub(crate) fn cells(&self) -> usize {
        self.compared.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
    }

    /// All reasons of refusals.
    pub(crate) fn reasons(&self) -> BTreeSet<&str> {
        self.refused.keys().map(|(_, why)| why.as_str()).collect()
    }

    /// A table a writer: a line per type and encoding, a column per codec and page version.
    pub(crate) fn print(&self, what: &str) {
        println!(
            "{what}: {} columns equal to arrow-rs in {} cells of type x encoding x codec x page \
             version x nullability, {} refused",
            self.columns,
            self.cells(),
            self.refusals
        );
        println!("r: required; of optional columns o: no NULL, s: some, m: most, a: all NULL");
        let writers: BTreeSet<_> = self.compared.keys().map(|(writer, ..)| writer).collect();
        for writer in writers {
            let lines = || self.compared.iter().filter(|((of, ..), _)| of == writer);
            let heads: BTreeSet<_> = lines().flat_map(|(_, line)| line.keys()).collect();
            let head: String = heads.iter().map(|head| format!(" {head:10}")).collect();
            println!("\n{:72}{head}", writer);
            for ((_, kind, encoding), line) in lines() {
                let cells = heads.iter().map(|head| {
                    let found = line.get(*head).map(|kinds| kinds.iter().collect::<String>());
                    format!(" {:10}", found.unwrap_or_default())
                });
                let cells: String = cells.collect();
                println!("{kind:48}{encoding:24}{}", cells.trim_end());
            }
        }
        for ((writer, why), types) in &self.refused {
            println!("{writer}: refused: {why}: {}", Vec::from_iter(types.clone()).join(", "));
        }
    }
}
