//! Files that other writers made, against arrow-rs: on the CPU, and on a device where there is one.
//! `scripts/parquet-matrix` makes them and names their folder in `STAFFA_PARQUET_MATRIX`; without it
//! there is nothing to read. `STAFFA_DEVICE_MATRIX_STRIDE=4` takes every fourth file to the device.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests fails by panicking"
)]

mod common;

use std::path::PathBuf;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::*;
use bytes::Bytes;
use common::cells::{Matrix, written};
use common::gpu::{gpu, stride};
use common::*;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use staffa_common::FaultClass;
use staffa_parquet::*;

/// Why a column may be refused: the caller reads it with arrow-rs. Anything else is a failure.
const REFUSED: &[&str] = &["nested", "Dictionary", "Null", "deltas of INT32"];

/// The files, or `None` where no folder is named.
fn files() -> Option<Vec<PathBuf>> {
    let Ok(folder) = std::env::var("STAFFA_PARQUET_MATRIX") else {
        println!("STAFFA_PARQUET_MATRIX names no folder: nothing read");
        return None;
    };
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    files.sort();
    assert!(!files.is_empty(), "no file in {folder}");
    Some(files)
}

/// A file, and its columns that we read.
struct Foreign {
    name: String,
    writer: String,
    bytes: Bytes,
    file: ParquetFile,
    columns: Vec<ForeignColumn>,
    /// Those that arrow-rs refuses.
    refused: Vec<(FieldRef, usize)>,
}

struct ForeignColumn {
    field: FieldRef,
    leaf: usize,
    /// What arrow-rs reads.
    want: ArrayRef,
}

/// What no reader takes, and why: ours must refuse it too. Anything else is a failure.
const REFUSED_BY_ALL: &[(&str, &str)] =
    &[("'min_delta' too large", DELTAS), ("first value too large", DELTAS)];

const DELTAS: &str = "DuckDB counts deltas of INT32 in 64 bits; pyarrow refuses them too";

/// A column through arrow-rs alone.
fn arrow_rs_column(bytes: &Bytes, at: usize) -> std::result::Result<ArrayRef, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let mask = ProjectionMask::roots(builder.parquet_schema(), [at]);
    let reader = builder.with_projection(mask).with_batch_size(1 << 20).build();
    let batches: std::result::Result<Vec<RecordBatch>, _> =
        reader.map_err(|e| e.to_string())?.collect();
    let batches = batches.map_err(|e| e.to_string())?;
    let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
    Ok(concat(&parts).unwrap())
}

/// Columns that are refused are noted in `matrix`.
fn open_foreign(path: &PathBuf, matrix: &mut Matrix) -> Foreign {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let writer = name.split('-').next().unwrap().to_owned();
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let whole = arrow_rs(&bytes, None);
    let file = open(&bytes).unwrap();
    let (mut columns, mut refused) = (vec![], vec![]);
    for (at, field) in file.footer().schema().clone().fields().iter().enumerate() {
        let data_type = field.data_type();
        let Some(leaf) = file.footer().leaf_of(at) else {
            matrix.refused(&writer, &data_type.to_string(), "nested");
            continue;
        };
        if let Err(why) = supports(&file.footer().leaves().column(leaf), data_type) {
            matrix.refused(&writer, &data_type.to_string(), &why);
            continue;
        }
        let want = match &whole {
            Ok(batch) => Ok(batch.column(at).clone()),
            Err(_) => arrow_rs_column(&bytes, at),
        };
        match want {
            Ok(want) => columns.push(ForeignColumn { field: field.clone(), leaf, want }),
            Err(why) => {
                let known = REFUSED_BY_ALL.iter().find(|(known, _)| why.contains(known));
                let known = known.unwrap_or_else(|| panic!("{name} {field}: arrow-rs: {why}"));
                matrix.refused(&writer, &data_type.to_string(), known.1);
                refused.push((field.clone(), leaf));
            }
        }
    }
    if let Ok(batch) = &whole {
        assert_eq!(file.footer().schema(), &batch.schema(), "{name}");
    }
    Foreign { name, writer, bytes, file, columns, refused }
}

fn read_options(data_type: &DataType) -> ReadOptions {
    let limits = Limits { check_crc: true, ..Limits::default() };
    ReadOptions { limits, ..ReadOptions::new(data_type.clone()) }
}

impl Foreign {
    /// All columns on the CPU, as values, and as codes.
    fn check_on_cpu(&self) {
        for ForeignColumn { field, leaf, want } in &self.columns {
            let name = &self.name;
            let options = read_options(field.data_type());
            for options in [options.clone(), options.with_codes()] {
                let got = column(&self.file, *leaf, &options, 1000);
                let got = got.unwrap_or_else(|e| panic!("{name} {field}: {e}"));
                validate(&got);
                assert_eq!(&got, want, "{name} {field}");
            }
            // What DataFusion asks for.
            if *field.data_type() == DataType::Utf8 {
                let options = ReadOptions::new(DataType::Utf8View).with_codes();
                let got = column(&self.file, *leaf, &options, 1000).unwrap();
                validate(&got);
                let want = arrow::compute::cast(want, &DataType::Utf8View).unwrap();
                assert_eq!(&got, &want, "{name} {field} as views");
            }
        }
    }

    fn check_refusals(&self, read: impl Fn(usize, &ReadOptions) -> Result<ArrayRef>) {
        for (field, leaf) in &self.refused {
            let answer = read(*leaf, &read_options(field.data_type()));
            let error = answer.map(drop).expect_err("arrow-rs refuses it");
            assert_eq!(error.class(), FaultClass::BadInput, "{} {field}: {error}", self.name);
            assert!(error.place().page.is_some(), "{} {field}: {error}", self.name);
        }
    }

    fn note(&self, matrix: &mut Matrix) {
        let written = written(&self.bytes);
        for ForeignColumn { field, leaf, want } in &self.columns {
            matrix.compared(&self.writer, field, &written[*leaf], want);
        }
    }
}

fn assert_reasons(matrix: &Matrix) {
    let reasons = matrix.reasons();
    let unknown: Vec<_> =
        reasons.iter().filter(|why| !REFUSED.iter().any(|known| why.contains(known))).collect();
    assert!(unknown.is_empty(), "refused for new reasons: {unknown:#?}");
}

#[test]
fn on_the_cpu() {
    let Some(files) = files() else { return };
    let mut matrix = Matrix::default();
    for path in &files {
        let foreign = open_foreign(path, &mut matrix);
        foreign.check_on_cpu();
        foreign.check_refusals(|leaf, options| column(&foreign.file, leaf, options, 1000));
        foreign.note(&mut matrix);
    }
    matrix.print(&format!("CPU decoder, {} files", files.len()));
    assert_reasons(&matrix);
    assert!(matrix.cells() > 1000, "{}", matrix.cells());
}

/// All columns of a file in one morsel a row group; as values, as codes, or across page borders.
#[test]
fn on_the_device() {
    let Some(files) = files() else { return };
    let Some(gpu) = gpu(true) else { return };
    let mut matrix = Matrix::default();
    let (start, (stride, first)) = (Instant::now(), stride());
    for (n, path) in files.iter().enumerate().skip(first).step_by(stride) {
        let foreign = open_foreign(path, &mut matrix);
        let (name, file) = (&foreign.name, &foreign.file);
        let options_of = |column: &ForeignColumn| {
            let described = file.footer().leaves().column(column.leaf);
            // What the CPU decodes has a device form, every type of it.
            let on_device = cuda::supports(&described, column.field.data_type());
            assert_eq!(on_device, Ok(()), "{name} {}", column.field);
            let options = read_options(column.field.data_type());
            if n / stride % 3 == 1 { options.with_codes() } else { options }
        };
        let options: Vec<_> = foreign.columns.iter().map(options_of).collect();
        let leaves: Vec<_> = foreign.columns.iter().map(|column| column.leaf).collect();
        let morsel = if n / stride % 3 == 2 { 101 } else { 1 << 20 };
        let got = gpu.columns(file, &leaves, &options, morsel);
        let got = got.unwrap_or_else(|e| panic!("{name}: {e}"));
        foreign.check_refusals(|leaf, options| {
            gpu.columns(file, &[leaf], std::slice::from_ref(options), 1 << 20)
                .map(|mut all| all.remove(0))
        });
        for (column, got) in foreign.columns.iter().zip(&got) {
            validate(got);
            assert_eq!(got, &column.want, "{name} {}", column.field);
        }
        foreign.note(&mut matrix);
    }
    let seconds = start.elapsed().as_secs_f64();
    matrix.print(&format!("device, every {stride} of {} files, {seconds:.0} s", files.len()));
    assert_reasons(&matrix);
    assert!(stride > 1 || matrix.cells() > 1000, "{}", matrix.cells());
}
