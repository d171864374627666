//! The matrix through the device's decoder, against arrow-rs; columns to the device and back.
//! Needs a device: `scripts/with-emulated-gpu cargo test --test cuda`.

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use common::gpu::{gpu, stride};
use common::matrix::{batch, configs, encodings, properties};
use common::*;
use staffa_parquet::cuda::{DeviceColumn, HostColumn};
use staffa_parquet::*;

/// With all columns of a file in one morsel, in morsels across page borders, and with codes kept.
/// `STAFFA_DEVICE_MATRIX_STRIDE=4` takes every fourth file.
#[test]
fn every_type_equals_arrow_rs() {
    let Some(gpu) = gpu(true) else { return };
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    let start = Instant::now();
    let (stride, first) = stride();
    for (n, config) in configs().into_iter().enumerate().skip(first).step_by(stride) {
        let batch = batch(n as u64);
        let bytes = write(&batch, properties(config, &batch.schema()));
        let want = arrow_rs(&bytes, None).unwrap();
        let file = open(&bytes).unwrap();
        let schema = want.schema();
        let options: Vec<_> =
            schema.fields().iter().map(|f| ReadOptions::new(f.data_type().clone())).collect();
        let leaves: Vec<usize> = (0..options.len()).collect();
        let coded: Vec<_> = options.iter().cloned().map(ReadOptions::with_codes).collect();
        let (options, size) = match n / stride % 3 {
            0 => (&options, 1 << 20),
            1 if config.dictionary => (&coded, 1 << 20),
            _ => (&options, 1001),
        };
        let got = gpu.columns(&file, &leaves, options, size);
        let got = got.unwrap_or_else(|e| panic!("{config:?}: {e}"));
        for (field, (got, want)) in schema.fields().iter().zip(got.iter().zip(want.columns())) {
            validate(got);
            assert_eq!(got, want, "{config:?} {}", field.name());
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
    println!(
        "columns of the device compared with arrow-rs ({} types x {} kinds of NULLs), {:.1} s:",
        types().len(),
        Nulls::ALL.len(),
        start.elapsed().as_secs_f64()
    );
    for (k, n) in &table {
        println!("  {k:56} {n:5}");
    }
    assert!(stride > 1 || table.len() >= 20, "{table:?}");
}

/// Arrays to the device and back, sliced too.
#[test]
fn arrays_come_back_as_they_went() {
    let Some(gpu) = gpu(false) else { return };
    let mut rng = rng(11);
    for dt in types() {
        for nulls in Nulls::ALL {
            for (rows, from) in [(0, 0), (1, 0), (33, 5), (1000, 17)] {
                let array = array(&dt, rows + from, 40, nulls, &mut rng).slice(from, rows);
                let slot = gpu.slot();
                let context = gpu.context(&slot);
                let column = DeviceColumn::from_array(&context, &array).unwrap();
                let back = gpu.to_host(&context, &column).unwrap().wait().unwrap();
                let HostColumn::Array(back) = back else { panic!("no codes were sent") };
                validate(&back);
                assert_eq!(&back, &array, "{dt} {nulls:?} {rows}");
            }
        }
    }
}
