//! The shape of a launch.

use std::fmt;

use crate::error::{CudaError, Result};
use crate::limits::Limits;
use crate::module::Function;

/// Blocks of a grid, threads of a block, and the dynamic shared memory of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in x, y and z. None in one direction: nothing to do.
    pub blocks: [u32; 3],
    /// Threads of a block in x, y and z.
    pub threads: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
}

impl Grid {
    /// So many blocks of so many threads, in one dimension, without dynamic shared memory.
    pub fn linear(blocks: u32, threads: u32) -> Self {
        Self { blocks: [blocks, 1, 1], threads: [threads, 1, 1], shared_bytes: 0 }
    }

    /// As many blocks as `items` need when each block takes `per_block` of them.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] beyond 2^31 - 1 blocks, or if blocks take nothing.
    pub fn covering(items: u64, per_block: u32, threads: u32) -> Result<Self> {
        let blocks = (per_block > 0)
            .then(|| items.div_ceil(u64::from(per_block)))
            .and_then(|blocks| u32::try_from(blocks).ok())
            .filter(|&blocks| blocks <= i32::MAX as u32)
            .ok_or_else(|| {
                CudaError::Misuse(format!("{items} items at {per_block} a block are no grid"))
            })?;
        Ok(Self::linear(blocks, threads))
    }

    /// The same with dynamic shared memory for each block.
    pub fn with_shared(self, bytes: u32) -> Self {
        Self { shared_bytes: bytes, ..self }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.blocks.contains(&0)
    }

    pub(crate) fn check(&self, function: &Function) -> Result<()> {
        let limits = function.device().limits();
        let most_threads = function.attributes().max_threads;
        self.fits(limits, most_threads, function.dynamic_shared_limit())
            .map_err(|why| CudaError::Misuse(format!("kernel {} {self}: {why}", function.name())))
    }

    fn fits(&self, limits: &Limits, most_threads: u32, most_shared: u32) -> Result<(), String> {
        if self.blocks.iter().zip(limits.grid_dims).any(|(&have, most)| have > most) {
            return Err(format!("a grid has at most {:?} blocks", limits.grid_dims));
        }
        if self.threads.iter().zip(limits.block_dims).any(|(&have, most)| have == 0 || have > most)
        {
            return Err(format!("a block has 1 to {:?} threads", limits.block_dims));
        }
        let threads: u64 = self.threads.iter().map(|&dim| u64::from(dim)).product();
        let most = limits.block_threads.min(most_threads);
        if threads > u64::from(most) {
            return Err(format!("a block of it has at most {most} threads"));
        }
        if self.shared_bytes > most_shared {
            return Err(format!(
                "it may use {most_shared} bytes of dynamic shared memory (allow_dynamic_shared)"
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([gx, gy, gz], [bx, by, bz]) = (self.blocks, self.threads);
        write!(f, "<<<({gx}, {gy}, {gz}), ({bx}, {by}, {bz}), {}>>>", self.shared_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Capability;

    fn turing() -> Limits {
        Limits {
            name: "test".into(),
            capability: Capability::OLDEST,
            memory_bytes: 1 << 34,
            multiprocessors: 40,
            warp_threads: 32,
            l2_bytes: 4 << 20,
            block_threads: 1024,
            block_dims: [1024, 1024, 64],
            grid_dims: [i32::MAX as u32, 65_535, 65_535],
            shared_bytes: 48 << 10,
            shared_optin_bytes: 64 << 10,
            shared_multiprocessor_bytes: 64 << 10,
            multiprocessor_threads: 1024,
            copy_engines: 3,
            memory_pools: true,
        }
    }

    #[test]
    fn a_grid_covers_all_items_with_none_to_spare() {
        for (items, per_block, blocks) in [(0, 256, 0), (1, 256, 1), (256, 256, 1), (257, 256, 2)] {
            let grid = Grid::covering(items, per_block, 128).unwrap();
            assert_eq!(grid.blocks, [blocks, 1, 1]);
            assert_eq!(grid.is_empty(), blocks == 0);
        }
        assert!(Grid::covering(u64::MAX, 1, 32).is_err());
        assert!(Grid::covering(1 << 31, 1, 32).is_err());
        assert!(Grid::covering(5, 0, 32).is_err());
    }

    #[test]
    fn limits_of_device_and_kernel_are_kept() {
        let limits = turing();
        let check = |blocks, threads, shared_bytes| {
            Grid { blocks, threads, shared_bytes }.fits(&limits, 512, 1000)
        };
        assert!(check([i32::MAX as u32, 65_535, 65_535], [512, 1, 1], 1000).is_ok());
        assert!(check([1, 65_536, 1], [32, 1, 1], 0).is_err());
        assert!(check([1, 1, 1], [32, 0, 1], 0).is_err());
        assert!(check([1, 1, 1], [1, 1, 65], 0).is_err());
        assert!(check([1, 1, 1], [32, 16, 2], 0).unwrap_err().contains("at most 512 threads"));
        assert!(check([1, 1, 1], [32, 1, 1], 1001).unwrap_err().contains("1000 bytes"));
        assert!(check([0, 1, 1], [32, 1, 1], 0).is_ok());
    }

    #[test]
    fn it_prints_as_people_write_it() {
        let grid = Grid::linear(7, 128).with_shared(64);
        assert_eq!(grid.to_string(), "<<<(7, 1, 1), (128, 1, 1), 64>>>");
    }
}
