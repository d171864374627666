//! Every type x encoding x codec x page version x nullability x dictionary, against arrow-rs.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use common::matrix::{batch, configs, encodings, properties};
use common::*;
use parquet::file::properties::WriterProperties;
use staffa_parquet::*;

#[test]
fn every_type_equals_arrow_rs() {
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    for (n, config) in configs().into_iter().enumerate() {
        let batch = batch(n as u64);
        let bytes = write(&batch, properties(config, &batch.schema()));
        let want = arrow_rs(&bytes, None).unwrap();
        let file = open(&bytes).unwrap();
        assert_eq!(file.footer().schema(), &want.schema());
        for (leaf, field) in want.schema().fields().iter().enumerate() {
            let column_of = file.footer().leaves().column(leaf);
            assert_eq!(supports(&column_of, field.data_type()), Ok(()), "{field}");
            let options = ReadOptions::new(field.data_type().clone());
            let size = [1 << 20, 333, 64][(n + leaf) % 3];
            let got = column(&file, leaf, &options, size)
                .unwrap_or_else(|e| panic!("{config:?} {}: {e}", field.name()));
            validate(&got);
            assert_eq!(&got, want.column(leaf), "{config:?} {}", field.name());
            if config.dictionary {
                let got = column(&file, leaf, &options.with_codes(), size).unwrap();
                assert_eq!(&got, want.column(leaf), "codes, {config:?} {}", field.name());
            }
            let kind = match config.dictionary {
                true => "dictionary".to_owned(),
                false => {
                    let e = encodings(field.data_type());
                    e[config.encoding % e.len()].to_string()
                }
            };
            let codec = config.codec.to_string();
            let codec = codec.split('(').next().unwrap().to_owned();
            *table.entry(format!("{kind:24} {codec:13} {:?}", config.version)).or_default() += 1;
        }
    }
    println!("columns compared with arrow-rs ({} types x {} kinds of NULLs):", types().len(), 6);
    for (k, n) in &table {
        println!("  {k:56} {n:5}");
    }
    assert!(table.len() >= 20, "{table:?}");
}

/// Types that a caller asks for although the file says another: what DataFusion does with views.
#[test]
fn strings_as_other_strings() {
    use DataType::*;
    let mut rng = rng(5);
    for (from, to) in [
        (Utf8, vec![Utf8, LargeUtf8, Utf8View]),
        (Binary, vec![Binary, LargeBinary, BinaryView, Utf8, LargeUtf8, Utf8View]),
    ] {
        for nulls in [Nulls::Required, Nulls::Some] {
            let data = array(&from, 3000, 300, nulls, &mut rng);
            let field = Field::new("s", from.clone(), nulls != Nulls::Required);
            let schema = Arc::new(Schema::new(vec![field.clone()]));
            let batch = RecordBatch::try_new(schema, vec![data]).unwrap();
            for dictionary in [false, true] {
                let props = WriterProperties::builder().set_dictionary_enabled(dictionary);
                let bytes = write(&batch, props.build());
                for to in &to {
                    let asked = field.clone().with_data_type(to.clone());
                    let want = arrow_rs(&bytes, Some(Arc::new(Schema::new(vec![asked])))).unwrap();
                    let file = open(&bytes).unwrap();
                    let got = column(&file, 0, &ReadOptions::new(to.clone()), 700).unwrap();
                    validate(&got);
                    assert_eq!(&got, want.column(0), "{from} as {to}");
                }
            }
        }
    }
}
