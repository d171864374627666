//! Memory for bytes on their way through: read, decoded, and not needed again.
//!
//! Fresh memory costs more than it seems: the kernel clears each page of it, with large pages 2 MiB at the
//! first touch, and a file's bytes are then copied over the zeros. A buffer that comes back serves the
//! next read.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// Smaller buffers come from the allocator, which keeps such sizes at hand.
const LEAST_BYTES: usize = 64 << 10;

/// A buffer may be so many times as large as what is asked for.
const SLACK: usize = 2;

/// Buffers that are not in use, kept up to a bound.
pub struct Buffers {
    idle: Mutex<Idle>,
    limit_bytes: usize,
}

#[derive(Default)]
struct Idle {
    /// By length, ascending; each with the number of times that buffers had come back before it did.
    buffers: Vec<(Vec<u8>, u64)>,
    returns: u64,
    bytes: usize,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

impl Buffers {
    /// Keeps at most `limit_bytes` of idle buffers.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), limit_bytes })
    }

    /// A buffer of `len` bytes, whose contents are anything.
    pub fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let bytes = if len < LEAST_BYTES { vec![0; len] } else { self.find(len) };
        Buffer { bytes, len, home: Arc::clone(self) }
    }

    fn find(&self, len: usize) -> Vec<u8> {
        let mut idle = self.idle.lock();
        let at = idle.buffers.partition_point(|(buffer, _)| buffer.len() < len);
        if idle.buffers.get(at).is_some_and(|(found, _)| found.len() / SLACK <= len) {
            let (found, _) = idle.buffers.remove(at);
            idle.bytes -= found.len();
            return found;
        }
        drop(idle);
        // Rounded up, so that lengths that differ by little find each other's buffers.
        let step = len.next_power_of_two() / 8;
        vec![0; len.next_multiple_of(step.max(1))]
    }

    fn give_back(&self, buffer: Vec<u8>) {
        if buffer.len() < LEAST_BYTES || buffer.len() > self.limit_bytes {
            return;
        }
        let mut idle = self.idle.lock();
        let at = idle.buffers.partition_point(|(other, _)| other.len() < buffer.len());
        idle.bytes += buffer.len();
        let returns = idle.returns;
        idle.returns += 1;
        idle.buffers.insert(at, (buffer, returns));
        // What nobody has asked for the longest goes: another query reads chunks of other lengths.
        let mut dropped = Vec::new();
        while idle.bytes > self.limit_bytes {
            let oldest = idle.buffers.iter().enumerate().min_by_key(|(_, (_, since))| *since);
            let Some((oldest, _)) = oldest else { break };
            let (buffer, _) = idle.buffers.remove(oldest);
            idle.bytes -= buffer.len();
            dropped.push(buffer);
        }
        drop(idle);
        drop(dropped);
    }

    /// Bytes of the buffers that nobody uses.
    pub fn idle_bytes(&self) -> usize {
        self.idle.lock().bytes
    }
}

/// A buffer that goes back when it is dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffer {
    /// The whole buffer, to write to.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        self.bytes.get_mut(..len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_serves_again() {
        let buffers = Buffers::new(1 << 20);
        let mut first = buffers.take(100_000);
        first.as_mut_slice().fill(7);
        assert_eq!(first.as_ref().len(), 100_000);
        drop(first);
        let kept = buffers.idle_bytes();
        assert!(kept >= 100_000);
        let second = buffers.take(99_000);
        assert_eq!(second.as_ref(), vec![7; 99_000], "the same memory");
        assert_eq!(buffers.idle_bytes(), 0);
        drop(second);
        assert_eq!(buffers.idle_bytes(), kept);
    }

    #[test]
    fn a_much_larger_buffer_is_left_alone() {
        let buffers = Buffers::new(1 << 24);
        drop(buffers.take(1 << 22));
        let small = buffers.take(1 << 17);
        assert_eq!(buffers.idle_bytes(), 1 << 22);
        assert_eq!(small.as_ref().len(), 1 << 17);
    }

    #[test]
    fn small_and_empty_buffers_are_not_kept() {
        let buffers = Buffers::new(1 << 20);
        drop((buffers.take(0), buffers.take(1000)));
        assert_eq!(buffers.idle_bytes(), 0);
    }

    #[test]
    fn idle_memory_is_bounded() {
        let buffers = Buffers::new(1 << 20);
        let many: Vec<Buffer> = (0..9).map(|_| buffers.take(1 << 18)).collect();
        drop(many);
        assert_eq!(buffers.idle_bytes(), 1 << 20);
        drop(buffers.take(1 << 21));
        assert_eq!(buffers.idle_bytes(), 1 << 20, "too large to be kept");
    }

    #[test]
    fn what_is_asked_for_stays() {
        let buffers = Buffers::new(1 << 20);
        let sizes = |sizes: &[usize]| -> Vec<Buffer> {
            sizes.iter().map(|&bytes| buffers.take(bytes)).collect()
        };
        drop(sizes(&[3 << 18, 1 << 17]));
        for _ in 0..3 {
            drop(sizes(&[1 << 17, 1 << 17, 1 << 16]));
        }
        let kept: Vec<usize> = buffers.idle.lock().buffers.iter().map(|(b, _)| b.len()).collect();
        assert_eq!(kept, [1 << 16, 1 << 17, 1 << 17], "the large one had its time");
    }
}
