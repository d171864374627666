//! A join's build side in device memory: copied once, probed by all lanes.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use parking_lot::Mutex;
use staffa_common::StaffaError;
use staffa_cuda::Snapshot;
use staffa_engine::RunContext;
use staffa_engine::cpu::join::{BuildSide, OnDevice};
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::join::{Key, Probe};
use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::expression::InputColumn;
use staffa_kernels::join::{JoinKeys, JoinTable};
use staffa_kernels::keys::{FieldRange, KeyColumn, KeyColumns, Packing, range};
use staffa_kernels::parquet::Context;
use staffa_parquet::cuda::{DecodeContext, DeviceColumn};

use super::grouping::Here;

/// Slots of a table that is addressed by the key itself: at least, and for each build row. Then what a table of
/// hashes takes is no less.
const LEAST_DIRECT: u128 = 1 << 12;
const DIRECT_A_ROW: u128 = 4;

/// See the module.
pub(super) struct Resident {
    /// Launches are queued one after the other.
    pub(super) table: Mutex<JoinTable>,
    /// The columns that probes read, by their numbers among those that the join keeps.
    columns: Vec<(usize, InputColumn)>,
    pub(super) rows: u32,
}

impl Resident {
    /// A column of the build side.
    ///
    /// # Errors
    /// `Bug` for one that no probe reads.
    pub(super) fn column(&self, kept: usize) -> Result<&InputColumn, StaffaError> {
        let found = self.columns.iter().find(|(number, _)| *number == kept);
        let missing = || StaffaError::bug(format!("no build column {kept}"));
        found.map(|(_, column)| column).ok_or_else(missing)
    }

    /// What the device has of `build`; the first to ask copies it. `None` where it cannot have it.
    pub(super) async fn of(
        build: &BuildSide,
        probe: &Probe,
        gpu: &Arc<Gpu>,
        context: &RunContext,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Option<Arc<Self>> {
        let make = || async {
            let wanted = Wanted {
                build: build.clone(),
                keys: probe.keys.clone(),
                nulls_equal: probe.nulls_equal,
                columns: probe.build_columns(),
            };
            let gpu = Arc::clone(gpu);
            let work = move || Ok(wanted.copy(&gpu));
            let made = context.runtime.compute(work).await;
            let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, 0);
            // A panic on the pool, too, is the CPU's chance.
            let Ok(Ok((resident, asked))) = made else {
                count("gpu_refused_builds").add(1);
                return None;
            };
            let figure = |value: u64| usize::try_from(value).unwrap_or(0);
            count("gpu_build_uploads").add(1);
            count("gpu_build_rows").add(resident.rows as usize);
            count("gpu_build_launches").add(figure(asked.launches));
            count("gpu_build_upload_bytes").add(figure(asked.upload_bytes));
            count("gpu_build_waits").add(figure(asked.waits));
            Some(Arc::new(resident) as OnDevice)
        };
        build.on_device(make).await?.downcast::<Self>().ok()
    }
}

/// What is to be copied.
struct Wanted {
    build: BuildSide,
    keys: Vec<Key>,
    nulls_equal: bool,
    columns: Vec<usize>,
}

impl Wanted {
    /// Copies the columns and builds the table. Waits for the device.
    fn copy(&self, gpu: &Gpu) -> Result<(Resident, Snapshot), StaffaError> {
        let lane = gpu.lane("join build")?;
        let mut slot = lane.memory.buffer::<ErrorSlot>(1, &lane.stream)?;
        slot.zero(&lane.stream)?;
        let context = Here { gpu, lane: &lane }.context(&slot);
        let rows = self.build.rows();
        let mut keys = Vec::with_capacity(self.keys.len());
        for (at, key) in self.keys.iter().enumerate() {
            let array = match self.build.keys().get(at) {
                Some(array) => Arc::clone(array),
                None if rows == 0 => new_empty_array(&key.build_type),
                None => return Err(StaffaError::bug("a build side without its keys")),
            };
            keys.push(KeyColumn { column: column(&context, &array)?, rule: key.rule });
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for &kept in &self.columns {
            let Some(array) = self.build.column(kept) else {
                return Err(StaffaError::unsupported("a build column in several arrays"));
            };
            let array = array.map_err(|error| StaffaError::bug(error.to_string()))?;
            // Without rows it is a NULL.
            columns.push((kept, column(&context, &array.slice(0, rows as usize))?));
        }
        let form = form(&context.kernels, &keys, rows)?;
        let keys = KeyColumns::new(&context.kernels, keys)?;
        let list = RowList::all(rows);
        let table = JoinTable::build(&context.kernels, form, self.nulls_equal, keys, list)?;
        // Copies that are under way read what the lane pinned, and the table is nobody's before they are done.
        lane.stream.synchronize()?;
        Ok((Resident { table: Mutex::new(table), columns, rows }, lane.counters.snapshot()))
    }
}

/// An array on the device.
pub(super) fn column(
    context: &DecodeContext<'_>,
    array: &ArrayRef,
) -> Result<InputColumn, StaffaError> {
    let column = DeviceColumn::from_array(context, array)?;
    Ok(InputColumn { descriptor: column.descriptor(), buffers: column.buffers() })
}

/// How keys are found, by the ranges that there are.
fn form(context: &Context<'_>, keys: &[KeyColumn], rows: u32) -> Result<JoinKeys, StaffaError> {
    if !keys.iter().all(packs) {
        return Ok(JoinKeys::Hashed);
    }
    let mut ranges = Vec::with_capacity(keys.len());
    for key in keys {
        let found = range(context, key, RowList::all(rows))?;
        let found = found.read(context.ring, context.stream)?.first().copied().unwrap_or_default();
        ranges.push(FieldRange::from_found(&found));
    }
    let packing = ranges.into_iter().collect::<Option<Vec<_>>>().and_then(Packing::new);
    let most = LEAST_DIRECT.max(DIRECT_A_ROW * u128::from(rows));
    Ok(match packing {
        Some(packing) if packing.keys() <= most.min(1 << 30) => JoinKeys::Direct(packing),
        Some(packing) => JoinKeys::Packed(packing),
        None => JoinKeys::Hashed,
    })
}

/// Whether a key's values are numbers of at most 64 bits, or may be.
fn packs(key: &KeyColumn) -> bool {
    let of = &key.column.descriptor;
    let fixed = of.kind == ColumnKind::Fixed as u8;
    let fits = of.width <= 8 || (of.width == 16 && key.rule == KeyRule::Signed);
    of.kind == ColumnKind::Bits as u8 || (fixed && fits)
}
