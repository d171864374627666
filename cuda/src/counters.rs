//! What was asked of the device: launches, bytes, waits, allocations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// The figures of [`Counters`] at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[doc = $doc])+ pub $name: u64),+ }

        #[derive(Default)]
        struct Cells { $($name: AtomicU64),+ }

        impl Cells {
            fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed)),+ }
            }
        }

        impl Snapshot {
            /// What was added since `earlier`.
            pub fn since(self, earlier: Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name)),+ }
            }

            /// Name and value of every figure, for metrics.
            pub fn figures(self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }

        impl Counters {
            $(pub(crate) fn $name(&self, add: u64) {
                self.cells.$name.fetch_add(add, Ordering::Relaxed);
                if let Some(whole) = &self.whole {
                    whole.cells.$name.fetch_add(add, Ordering::Relaxed);
                }
            })+
        }
    };
}

counters! {
    /// Kernels launched.
    launches,
    /// Copies from the host to the device.
    uploads,
    /// Bytes copied from the host to the device.
    upload_bytes,
    /// Copies from the device to the host.
    downloads,
    /// Bytes copied from the device to the host.
    download_bytes,
    /// Bytes copied or filled within the device's memory.
    device_bytes,
    /// Times a host thread blocked until the device had done something.
    waits,
    /// Time spent in them.
    wait_ns,
    /// Waits of one stream for another, on the device.
    stream_waits,
    /// Device buffers handed out by the pool.
    allocations,
    /// Of these, how many the driver had to be asked for.
    driver_allocations,
    /// Device blocks given back to the driver.
    driver_frees,
    /// Pinned host blocks the driver was asked for.
    pinned_allocations,
    /// Measured time of kernels and copies between timer marks, on the device.
    device_ns,
}

/// Figures of one query or of a device; adding costs one or two relaxed atomic additions.
///
/// A query makes its own with [`Device::counters`](crate::Device::counters), gives it to its streams
/// and reservations, and reads it as metrics. The device's whole is counted along with it.
#[derive(Default)]
pub struct Counters {
    cells: Cells,
    whole: Option<Arc<Counters>>,
}

impl Counters {
    /// New figures that are also added to `whole`.
    pub(crate) fn part_of(whole: &Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { cells: Cells::default(), whole: Some(Arc::clone(whole)) })
    }

    /// The figures now.
    pub fn snapshot(&self) -> Snapshot {
        self.cells.snapshot()
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_adds_to_the_whole() {
        let whole = Arc::new(Counters::default());
        let (one, two) = (Counters::part_of(&whole), Counters::part_of(&whole));
        one.launches(2);
        two.launches(3);
        two.upload_bytes(10);
        assert_eq!(one.snapshot().launches, 2);
        assert_eq!(one.snapshot().upload_bytes, 0);
        assert_eq!(whole.snapshot().launches, 5);
        assert_eq!(whole.snapshot().upload_bytes, 10);
    }

    #[test]
    fn differences_and_names() {
        let counters = Counters::default();
        counters.waits(1);
        let before = counters.snapshot();
        counters.waits(4);
        let added = counters.snapshot().since(before);
        assert_eq!(added, Snapshot { waits: 4, ..Snapshot::default() });
        assert!(added.figures().any(|figure| figure == ("waits", 4)));
    }
}
