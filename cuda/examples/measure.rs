//! What this machine's GPU does: the figures that kernels and transfers are judged against.
//!
//! `cargo run --release -p staffa-cuda --example measure [MEGABYTES]` prints, for device 0: pinned
//! copies each way, alone and both at once, copies on the device, and what a launchless submission, an
//! event, a pooled buffer and a read-back cost. Times are the host's, from the first submission until
//! the last is done, best of five; each figure moves the same bytes (64 MB unless told).

use std::error::Error;
use std::time::Instant;

use staffa_cuda::{
    Device, DevicePool, DeviceSlice, Mailbox, PinnedConfig, PinnedKind, PinnedPool, PoolConfig,
    Stream,
};

fn main() -> Result<(), Box<dyn Error>> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(64), |text| text.parse())?;
    let bytes = megabytes.max(1) << 20;
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => {
            println!("no GPU: {error}");
            return Ok(());
        }
    };
    let limits = device.limits();
    let (free, total) = device.memory()?;
    println!("{} ({}), {} multiprocessors", limits.name, limits.capability, limits.multiprocessors);
    println!("memory {} of {} MiB free, L2 {} MiB", free >> 20, total >> 20, limits.l2_bytes >> 20);

    let counters = device.counters();
    let budget_bytes = 8 * bytes as u64;
    let pool = DevicePool::new(&device, PoolConfig { budget_bytes, reuse: true })?;
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes });
    let memory = pool.reserve("measure", &counters);
    let (one, two) = (device.stream(&counters)?, device.stream(&counters)?);

    let source = pinned.buffer(PinnedKind::ToDevice, bytes, &counters)?.seal();
    let mut target = memory.buffer::<u8>(bytes, &one)?;
    let mut filled = memory.buffer::<u8>(bytes, &two)?;
    filled.fill_bytes(1, &two)?;
    let filled = filled.freeze();

    report_rate(
        "pinned to device",
        bytes,
        best(&[&one], || Ok(target.upload(0, &source, 0..bytes, &one)?))?,
    );
    report_rate(
        "device to pinned",
        bytes,
        best(&[&two], || download(&pinned, &filled, bytes, &two))?,
    );
    report_rate(
        "both ways at once",
        2 * bytes,
        best(&[&one, &two], || {
            target.upload(0, &source, 0..bytes, &one)?;
            download(&pinned, &filled, bytes, &two)
        })?,
    );
    report_rate(
        "device to device (read + write)",
        2 * bytes,
        best(&[&one], || Ok(target.copy_from(&filled, &one)?))?,
    );
    report_rate("device fill", bytes, best(&[&one], || Ok(target.zero(&one)?))?);

    const CALLS: usize = 1000;
    let mut small = memory.buffer::<u32>(16, &one)?;
    report_cost(
        "queue a fill of 64 bytes",
        CALLS,
        best(&[&one], || {
            for _ in 0..CALLS {
                small.fill(1, &one)?;
            }
            Ok(())
        })?,
    );
    report_cost(
        "record an event",
        CALLS,
        best(&[&one], || {
            for _ in 0..CALLS {
                small.fill(1, &one)?;
                one.record()?;
            }
            Ok(())
        })?,
    );
    report_cost(
        "take a buffer of 1 MB from the pool",
        CALLS,
        best(&[&one], || {
            for _ in 0..CALLS {
                memory.buffer::<u8>(1 << 20, &one)?;
            }
            Ok(())
        })?,
    );
    let mailbox = Mailbox::new(&pinned, 4, 64, &counters)?;
    report_cost(
        "fill, read back 64 bytes and wait",
        CALLS,
        best(&[&one], || {
            for _ in 0..CALLS {
                small.fill(1, &one)?;
                mailbox.post_buffer(&small, 0..16, &one)?.read()?;
            }
            Ok(())
        })?,
    );
    println!("{:?}", counters.snapshot());
    Ok(())
}

fn download(
    pinned: &PinnedPool,
    from: &DeviceSlice<u8>,
    bytes: usize,
    stream: &Stream,
) -> Result<(), Box<dyn Error>> {
    let into = pinned.buffer(PinnedKind::ToHost, bytes, stream.counters())?;
    // Dropped at once: the copy runs, and the memory is used again after it.
    drop(from.download(into, stream)?);
    Ok(())
}

/// The shortest of five runs, in seconds, after one that is not counted.
fn best(
    streams: &[&Stream],
    mut run: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::INFINITY;
    for round in 0..6 {
        let start = Instant::now();
        run()?;
        for stream in streams {
            stream.synchronize()?;
        }
        if round > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

fn report_rate(what: &str, bytes: usize, seconds: f64) {
    println!("{what:<36} {:>9.2} GB/s", bytes as f64 / seconds / 1e9);
}

fn report_cost(what: &str, calls: usize, seconds: f64) {
    println!("{what:<36} {:>9.2} us", seconds / calls as f64 * 1e6);
}
