//! Morsels of partial states beside morsels of rows.

use super::*;

/// What a partial aggregation puts out for some lanes, as morsels of states.
async fn states_of(partial: &AggregateSpec, lanes: &[Vec<RecordBatch>]) -> Vec<Morsel> {
    let mut morsels = Vec::new();
    for lane in lanes {
        let rows = lane.iter().map(RecordBatch::num_rows).sum();
        for batch in run(partial, std::slice::from_ref(lane)).await {
            let states = batch.num_rows();
            morsels.push(Morsel::from_states(batch.columns().to_vec(), states, rows));
        }
    }
    morsels
}

/// Runs a sink over lanes of morsels.
async fn run_morsels(spec: &AggregateSpec, lanes: &[Vec<Morsel>]) -> Result<Vec<RecordBatch>> {
    let context = context(TaskContext::default());
    let spec = Arc::new(spec.clone());
    let pipeline = pipeline(&spec, lanes.len());
    let sink = AggregateSink::new(&spec, &pipeline, &context)?;
    let mut locals = Vec::new();
    for (lane, morsels) in lanes.iter().enumerate() {
        let mut local = sink.local(lane)?;
        for morsel in morsels {
            local.push(morsel.clone()).await?;
        }
        locals.push(local);
    }
    let mut morsels = sink.seal(locals).await?.open(0, 1);
    let mut batches = Vec::new();
    while let Some(morsel) = morsels.next().await {
        batches.push(morsel?.into_batch(&spec.schema)?);
    }
    Ok(batches)
}

/// Rows and states in turn, both lanes with some of either.
fn mixed(rows: &[Vec<RecordBatch>], states: &[Morsel]) -> Vec<Vec<Morsel>> {
    let mut lanes = vec![Vec::new(), Vec::new()];
    let rows = rows.iter().flatten().cloned().map(Morsel::from_batch);
    for (turn, morsel) in rows.enumerate() {
        lanes[turn / 2 % 2].push(morsel);
    }
    for (turn, morsel) in states.iter().enumerate() {
        let lane = &mut lanes[turn % 2];
        // In pieces, as they come from a device, and in the middle.
        let half = morsel.rows() / 2;
        lane.insert(lane.len() / 2, morsel.slice(0, half).unwrap());
        lane.push(morsel.slice(half, morsel.rows() - half).unwrap());
    }
    lanes
}

#[tokio::test]
async fn states_and_rows_give_what_rows_alone_give() {
    // A few groups; tables that overflow; keys that pass the tables by.
    for (rows, groups) in [(20_000, 7), (240_000, 90_000), (300_000, 100_000_000)] {
        let input = input(rows, groups, 4);
        let (raw, made) = input.split_at(2);
        for keys in [&["k"][..], &["k", "s"]] {
            let states = states_of(&spec(by(keys), AggregateStage::Partial), made).await;
            let single = spec(by(keys), AggregateStage::Single);
            let got = run_morsels(&single, &mixed(raw, &states)).await.unwrap();
            assert_eq!(found(&got), expected(&input));
        }
    }
}

#[tokio::test]
async fn a_partial_aggregation_passes_states_on() {
    let input = input(30_000, 400, 3);
    let partial = spec(by(&["k"]), AggregateStage::Partial);
    let states = states_of(&partial, &input[1..]).await;
    let both = run_morsels(&partial, &mixed(&input[..1], &states)).await.unwrap();
    let got = run(&last(&partial), &[both]).await;
    assert_eq!(found(&got), expected(&input));
}

#[tokio::test]
async fn without_keys_states_are_merged() {
    let input = input(12_000, 5, 3);
    let total: i64 = expected(&input).values().flatten().sum();
    let states = states_of(&spec(by(&[]), AggregateStage::Partial), &input[1..]).await;
    assert_eq!(states.iter().map(Morsel::rows).collect::<Vec<_>>(), [1, 1]);
    let rows: Vec<Morsel> = input[0].iter().cloned().map(Morsel::from_batch).collect();
    let lanes = [rows, states];
    let got = run_morsels(&spec(by(&[]), AggregateStage::Single), &lanes).await.unwrap();
    assert_eq!(got[0].column(0).as_primitive::<Int64Type>().value(0), total);
    assert_eq!(got[0].column(1).as_primitive::<Int64Type>().value(0), total);
}

#[tokio::test]
async fn filters_are_not_applied_to_states_again() {
    let input = input(9_000, 20, 2);
    let none: Arc<dyn PhysicalExpr> = lit(false);
    let states = states_of(&spec(by(&["k"]), AggregateStage::Partial), &input).await;
    let mut single = spec(by(&["k"]), AggregateStage::Single);
    single.filters = vec![Some(Arc::clone(&none)), Some(none)];
    let got = run_morsels(&single, &[states]).await.unwrap();
    assert_eq!(found(&got), expected(&input));
}

#[tokio::test]
async fn states_of_another_aggregation_are_an_error() {
    let input = input(1_000, 20, 1);
    let states = states_of(&spec(by(&["k"]), AggregateStage::Partial), &input).await;
    for keys in [&[][..], &["s"], &["k", "s"]] {
        let single = spec(by(keys), AggregateStage::Single);
        let error = run_morsels(&single, std::slice::from_ref(&states)).await.unwrap_err();
        assert!(error.to_string().contains("states that are not those"), "{error}");
    }
    // Nor does a final aggregation take them: it reads states as rows.
    let final_half = last(&spec(by(&["k"]), AggregateStage::Partial));
    let error = run_morsels(&final_half, &[states]).await.unwrap_err();
    assert!(error.to_string().contains("states that are not those"), "{error}");
}
