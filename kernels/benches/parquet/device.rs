//! The device, and how a case is timed.

use staffa_cuda::{
    Counters, Device, DeviceBuffer, DevicePool, DeviceSlice, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, Reservation, Result, StagingRing, Stream, Timer,
};
use staffa_kernels::Kernels;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{Context, Levels, PageInput, PageLevels, PageSet, levels};
use std::sync::Arc;

pub(crate) struct Bench {
    kernels: Kernels,
    pub(crate) stream: Stream,
    pub(crate) memory: Reservation,
    pub(crate) ring: StagingRing,
    error: DeviceBuffer<ErrorSlot>,
    copy_gb_s: f64,
    pub(crate) smoke: bool,
    filter: String,
}

impl Bench {
    pub(crate) fn open(smoke: bool, filter: String) -> Result<Self> {
        let device = Device::open(0)?;
        let counters: Arc<Counters> = device.counters();
        let stream = device.stream(&counters)?;
        let budget_bytes = if smoke { 1 << 30 } else { 16 << 30 };
        let pool = DevicePool::new(&device, PoolConfig { budget_bytes, reuse: true })?;
        let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 256 << 20 });
        let memory = pool.reserve("bench", &counters);
        let mut error = memory.buffer(1, &stream)?;
        error.zero(&stream)?;
        let mut bench = Self {
            kernels: Kernels::new(&device)?,
            ring: StagingRing::new(&pinned, PinnedKind::ToDevice, 32 << 20, 2),
            stream,
            memory,
            error,
            copy_gb_s: 1.0,
            smoke,
            filter: String::new(),
        };
        let bytes = if smoke { 1 << 20 } else { 256 << 20 };
        let mut from = bench.memory.buffer::<u8>(bytes, &bench.stream)?;
        from.zero(&bench.stream)?;
        let from = from.freeze();
        let mut to = bench.memory.buffer::<u8>(bytes, &bench.stream)?;
        println!("{} ({})", device.limits().name, device.capability());
        println!("{:44} {:>10} {:>9} {:>7}", "case", "us", "GB/s", "of copy");
        let seconds =
            bench.time("device copy", bytes as u64, || to.copy_from(&from, &bench.stream))?;
        bench.copy_gb_s = bytes as f64 / seconds / 1e9;
        bench.filter = filter;
        Ok(bench)
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            kernels: &self.kernels,
            stream: &self.stream,
            memory: &self.memory,
            ring: &self.ring,
            error: &self.error,
        }
    }

    pub(crate) fn wanted(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Times `launch`, prints a line, and returns the median in seconds.
    pub(crate) fn time(
        &self,
        name: &str,
        output_bytes: u64,
        mut launch: impl FnMut() -> Result<()>,
    ) -> Result<f64> {
        let (warm, counted) = if self.smoke { (0, 1) } else { (3, 11) };
        let mut times = Vec::new();
        for i in 0..warm + counted {
            let mut timer = Timer::start(&self.stream)?;
            launch()?;
            timer.stop(&self.stream)?;
            self.stream.record()?.synchronize()?;
            if let (Ok(ns), true) = (timer.elapsed_ns()?, i >= warm) {
                times.push(ns.max(1) as f64 / 1e9);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
        let gb_s = output_bytes as f64 / median / 1e9;
        let share = gb_s / self.copy_gb_s * 100.0;
        println!("{name:44} {:10.1} {gb_s:9.1} {share:6.0}%", median * 1e6);
        let found = self.error.read(&self.ring, &self.stream)?[0];
        assert_eq!(found, ErrorSlot::default(), "{name}");
        Ok(median)
    }

    pub(crate) fn upload(&self, bytes: &[u8]) -> Result<DeviceSlice<u8>> {
        let mut buffer = self.memory.buffer(bytes.len(), &self.stream)?;
        buffer.write(0, bytes, &self.ring, &self.stream)?;
        Ok(buffer.freeze())
    }

    /// `count` equal pages of `rows` rows, levels decoded; `nullable` bodies start with version-1
    /// levels.
    pub(crate) fn pages(
        &self,
        body: &[u8],
        rows: u32,
        count: u32,
        nullable: bool,
    ) -> Result<PageSet> {
        // An odd length, so that most pages start at odd addresses, as they do in files.
        let stride = body.len() + 1 - body.len() % 2;
        let mut bytes = vec![0u8; stride * count as usize];
        for page in bytes.chunks_exact_mut(stride) {
            page[..body.len()].copy_from_slice(body);
        }
        let inputs: Vec<PageInput> = (0..count)
            .map(|i| PageInput {
                buffer: 0,
                offset: u64::from(i) * stride as u64,
                bytes: body.len() as u32,
                rows,
                first_row: (i * rows) as i32,
                ordinal: i,
                levels: if nullable { PageLevels::Prefixed } else { PageLevels::None },
                max_level: u8::from(nullable),
            })
            .collect();
        let context = self.context();
        let mut set = PageSet::new(&context, &[self.upload(&bytes)?], &inputs, rows * count)?;
        if nullable {
            let (mut validity, mut nulls) =
                (self.bitmap(rows * count)?, self.memory.buffer(1, &self.stream)?);
            nulls.zero(&self.stream)?;
            levels(
                &context,
                &mut set,
                Levels::Decode { validity: &mut validity, nulls: &mut nulls },
            )?;
        } else {
            levels(&context, &mut set, Levels::Skip)?;
        }
        Ok(set)
    }

    pub(crate) fn bitmap(&self, rows: u32) -> Result<DeviceBuffer<u32>> {
        let mut bitmap = self.memory.buffer(rows.div_ceil(32) as usize, &self.stream)?;
        bitmap.zero(&self.stream)?;
        Ok(bitmap)
    }
}
