//! Freed blocks, by size, oldest first. The pool's lock guards it.

use std::collections::{BTreeMap, VecDeque};

use crate::access::AccessLog;
use crate::stream::Core;

/// A freed block, with the uses that a new taker must wait for.
pub(crate) struct Cached {
    pub(crate) address: u64,
    pub(crate) bytes: u64,
    pub(crate) log: AccessLog,
    tick: u64,
}

#[derive(Default)]
pub(crate) struct Cache {
    classes: BTreeMap<u64, VecDeque<Cached>>,
    bytes: u64,
    tick: u64,
}

impl Cache {
    /// The sum of the blocks' sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn put(&mut self, address: u64, bytes: u64, log: AccessLog) {
        self.tick += 1;
        let cached = Cached { address, bytes, log, tick: self.tick };
        self.classes.entry(bytes).or_default().push_back(cached);
        self.bytes += bytes;
    }

    /// Takes the newest block of a size if only `core` used it: no wait, and its lines may be in L2.
    pub(crate) fn take_of_stream(&mut self, bytes: u64, core: &Core) -> Option<Cached> {
        let newest = self.classes.get(&bytes)?.back()?;
        if newest.log.only_on(core) { self.pop(bytes, VecDeque::pop_back) } else { None }
    }

    /// Takes the oldest block of a size: the likeliest to be done with.
    pub(crate) fn take_oldest(&mut self, bytes: u64) -> Option<Cached> {
        self.pop(bytes, VecDeque::pop_front)
    }

    /// Puts a block back as the oldest of its size.
    pub(crate) fn put_back(&mut self, cached: Cached) {
        self.bytes += cached.bytes;
        self.classes.entry(cached.bytes).or_default().push_front(cached);
    }

    /// How many blocks of a size there are.
    pub(crate) fn count(&self, bytes: u64) -> usize {
        self.classes.get(&bytes).map_or(0, VecDeque::len)
    }

    /// Takes the block that was freed longest ago, of any size.
    pub(crate) fn take_stalest(&mut self) -> Option<Cached> {
        let bytes = *self
            .classes
            .iter()
            .filter_map(|(bytes, blocks)| Some((blocks.front()?.tick, bytes)))
            .min()?
            .1;
        self.take_oldest(bytes)
    }

    fn pop(
        &mut self,
        bytes: u64,
        end: impl FnOnce(&mut VecDeque<Cached>) -> Option<Cached>,
    ) -> Option<Cached> {
        let blocks = self.classes.get_mut(&bytes)?;
        let cached = end(blocks)?;
        if blocks.is_empty() {
            self.classes.remove(&bytes);
        }
        self.bytes -= cached.bytes;
        Some(cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(sizes: &[u64]) -> Cache {
        let mut cache = Cache::default();
        for (i, &bytes) in sizes.iter().enumerate() {
            cache.put(i as u64, bytes, AccessLog::default());
        }
        cache
    }

    #[test]
    fn sizes_do_not_mix_and_the_oldest_goes_first() {
        let mut cache = cache(&[512, 1024, 512]);
        assert_eq!(cache.bytes(), 2048);
        assert_eq!(cache.take_oldest(512).unwrap().address, 0);
        assert_eq!(cache.take_oldest(512).unwrap().address, 2);
        assert!(cache.take_oldest(512).is_none());
        assert_eq!((cache.bytes(), cache.count(1024), cache.count(512)), (1024, 1, 0));
    }

    #[test]
    fn trimming_takes_the_stalest_of_all_sizes() {
        let mut cache = cache(&[1024, 512, 2048, 512]);
        let first = cache.take_stalest().unwrap();
        assert_eq!(first.address, 0);
        cache.put_back(first);
        let order: Vec<u64> =
            std::iter::from_fn(|| cache.take_stalest()).map(|block| block.address).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(cache.bytes(), 0);
    }
}
