//! Decoding beside arrow-rs's reader: same bytes, same batches of 8,192 rows, one thread, run one
//! after the other in one process. Files are in memory; footers are loaded before.
//!
//! Ids read `cpu/parquet/<kind>/<nulls>/<codec>/<reader>`. `codes` returns dictionary codes.

mod cases;

use cases::{ROWS, Ready, cases};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::basic::Compression;

fn decode(c: &mut Criterion) {
    for case in cases() {
        for (nulls, nulls_name) in [(None, "required"), (Some(0.1), "nulls=0.1")] {
            let codecs = [(Compression::UNCOMPRESSED, "none"), (Compression::SNAPPY, "snappy")];
            for (codec, codec_name) in codecs {
                let ready = Ready::new(&case, nulls, codec);
                let name = format!("cpu/parquet/{}/{nulls_name}/{codec_name}", case.name);
                let mut g = c.benchmark_group(name);
                g.throughput(Throughput::Elements(ROWS as u64));
                g.bench_function("arrow-rs", |b| b.iter(|| ready.arrow_rs()));
                g.bench_function("staffa", |b| b.iter(|| ready.staffa(false)));
                if case.dictionary {
                    g.bench_function("codes", |b| b.iter(|| ready.staffa(true)));
                }
                g.finish();
            }
        }
    }
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(600))
        .sample_size(12)
}

criterion_group! { name = benches; config = config(); targets = decode }
criterion_main!(benches);
