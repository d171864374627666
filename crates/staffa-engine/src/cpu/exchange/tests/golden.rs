//! Rows go where DataFusion sends them.

use std::sync::Arc;

use arrow::array::UInt64Array;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_physical_plan::metrics::Time;
use datafusion_physical_plan::repartition::BatchPartitioner;

use super::{collect, context, keys, lane, start};
use crate::cpu::sort::tests::data::batches;

#[tokio::test]
async fn every_type_is_partitioned_as_datafusion_does() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let source = batches(&[500, 1, 90], 4, 0);
    let schema = source[0].schema();
    let mut sets: Vec<Vec<&str>> =
        schema.fields().iter().map(|f| vec![f.name().as_str()]).collect();
    sets.push(vec!["Int64", "Utf8"]);
    sets.push(vec!["Utf8View", "Float64", "Int32"]);
    sets.push(vec!["Dictionary", "Boolean", "Decimal128(38, 2)"]);
    sets.push(vec!["Null", "Date32"]);
    for names in &sets {
        for partitions in [1, 2, 3, 16, 17] {
            let mut wanted = vec![Vec::new(); partitions];
            let exprs = keys(&schema, names);
            let mut partitioner =
                BatchPartitioner::new_hash_partitioner(exprs, partitions, Time::default()).unwrap();
            for batch in &source {
                partitioner
                    .partition(batch.clone(), |output, batch| {
                        wanted[output].extend(ids(batch.column_by_name("id").unwrap()));
                        Ok(())
                    })
                    .unwrap();
            }
            let exchange = start(vec![lane(source.clone())], &schema, names, partitions, &context);
            for (output, wanted) in wanted.iter().enumerate() {
                let morsels = collect(exchange.open(output)).await.unwrap();
                let at = schema.index_of("id").unwrap();
                let got: Vec<u64> =
                    morsels.iter().flat_map(|morsel| ids(&morsel.column(at).unwrap())).collect();
                assert_eq!(&got, wanted, "{names:?} over {partitions}");
            }
        }
    }
}

fn ids(array: &arrow::array::ArrayRef) -> Vec<u64> {
    let ids = array.as_any().downcast_ref::<UInt64Array>().unwrap();
    ids.values().to_vec()
}
