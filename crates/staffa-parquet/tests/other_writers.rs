//! Files that other writers made, against arrow-rs. `scripts/parquet-matrix` makes them and names
//! their folder in `STAFFA_PARQUET_MATRIX`; without it there is nothing to read.

mod common;

use std::collections::BTreeMap;

use arrow::datatypes::*;
use bytes::Bytes;
use common::*;
use staffa_parquet::*;

#[test]
fn files_in_the_folder() {
    let Ok(folder) = std::env::var("STAFFA_PARQUET_MATRIX") else {
        println!("STAFFA_PARQUET_MATRIX names no folder: nothing read");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "parquet"))
        .collect();
    files.sort();
    let mut read: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let want = arrow_rs(&bytes, None).unwrap();
        let file = open(&bytes).unwrap();
        assert_eq!(file.footer().schema(), &want.schema(), "{name}");
        for (i, field) in want.schema().fields().iter().enumerate() {
            let data_type = field.data_type();
            let Some(leaf) = file.footer().leaf_of(i) else {
                *refused.entry("nested".into()).or_default() += 1;
                continue;
            };
            if let Err(why) = supports(&file.footer().leaves().column(leaf), data_type) {
                *refused.entry(why).or_default() += 1;
                continue;
            }
            let limits = Limits { check_crc: true, ..Limits::default() };
            let options = ReadOptions { limits, ..ReadOptions::new(data_type.clone()) };
            for options in [options.clone(), options.with_codes()] {
                let got = column(&file, leaf, &options, 1000);
                let got = got.unwrap_or_else(|e| panic!("{name} {field}: {e}"));
                validate(&got);
                assert_eq!(&got, want.column(i), "{name} {field}");
            }
            // What DataFusion asks for.
            if *data_type == DataType::Utf8 {
                let options = ReadOptions::new(DataType::Utf8View).with_codes();
                let got = column(&file, leaf, &options, 1000).unwrap();
                validate(&got);
                let want = arrow::compute::cast(want.column(i), &DataType::Utf8View).unwrap();
                assert_eq!(&got, &want, "{name} {field} as views");
            }
            let writer = name.split('-').next().unwrap().to_owned();
            *read.entry(format!("{writer} {data_type}")).or_default() += 1;
        }
    }
    println!("{} files; columns equal to arrow-rs: {read:#?}", files.len());
    println!("refused with a reason: {refused:#?}");
    assert!(!files.is_empty() && read.len() > 20);
}
