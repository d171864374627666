//! A memory pool that refuses some of what is asked for.

use std::fmt;

use datafusion::common::{Result, resources_err};
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation, UnboundedMemoryPool};

/// Has no more than so many bytes for each of Staffa's operators, and any amount for others.
#[derive(Debug)]
pub(crate) struct Refusing {
    most: usize,
    inner: UnboundedMemoryPool,
}

impl Refusing {
    pub(crate) fn above(most: usize) -> Self {
        Self { most, inner: UnboundedMemoryPool::default() }
    }
}

impl fmt::Display for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl MemoryPool for Refusing {
    fn name(&self) -> &str {
        "refusing"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let name = reservation.consumer().name();
        if name.starts_with("Staffa") && reservation.size() + additional > self.most {
            return resources_err!("none for {name}");
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }
}
