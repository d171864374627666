//! Page bodies on their way to the device: packed into pinned slabs, copied, expanded there.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, PinnedBuffer, Result};
use staffa_kernels::parquet::{Codec, CompressedInput, decompress};

use super::DecodeContext;
use super::pages::Body;

/// Bodies start at multiples of this, so that loads of a page's values can be wide where the page lets
/// them.
const ALIGNMENT: u64 = 16;

/// Which buffer of [`Staged`] holds bodies as they were copied.
pub(super) const COPIED: usize = 0;
/// Which holds those that the device expanded.
pub(super) const EXPANDED: usize = 1;

/// Where a body ended up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// [`COPIED`] or [`EXPANDED`].
    pub(super) buffer: usize,
    /// Offset there, in bytes.
    pub(super) offset: u64,
    /// Bytes of the body.
    pub(super) bytes: u32,
}

/// All bodies of a morsel in device memory.
pub(super) struct Staged {
    /// Indexed by [`COPIED`] and [`EXPANDED`].
    pub(super) buffers: [DeviceSlice<u8>; 2],
    /// One per body.
    pub(super) places: Vec<Placed>,
}

/// Copies bodies to the device and queues their decompression; `ordinals` are what errors name.
///
/// # Errors
/// Out of memory; what the driver says.
pub(super) fn stage(
    context: &DecodeContext<'_>,
    bodies: &[Body],
    ordinals: &[u32],
) -> Result<Staged> {
    let (mut copied_bytes, mut expanded_bytes) = (0u64, 0u64);
    let mut copied_at = Vec::with_capacity(bodies.len());
    let mut places = Vec::with_capacity(bodies.len());
    for body in bodies {
        copied_at.push(copied_bytes);
        let bytes = u32::try_from(body.bytes())
            .map_err(|_| CudaError::Unsupported("a page of 4 GiB or more".into()))?;
        places.push(match body.packed {
            Some(_) => {
                let offset = expanded_bytes;
                expanded_bytes += u64::from(bytes).next_multiple_of(ALIGNMENT);
                Placed { buffer: EXPANDED, offset, bytes }
            }
            None => Placed { buffer: COPIED, offset: copied_bytes, bytes },
        });
        copied_bytes += (body.raw.len() as u64).next_multiple_of(ALIGNMENT);
    }
    let mut copied = buffer(context, copied_bytes)?;
    let mut packer = Packer { context, target: &mut copied, slab: None, start: 0, filled: 0 };
    for (body, &at) in bodies.iter().zip(&copied_at) {
        packer.put(at, &body.raw)?;
    }
    packer.flush()?;
    let copied = copied.freeze();
    let mut expanded = buffer(context, expanded_bytes)?;
    copy_levels(context, bodies, &places, &mut expanded)?;
    for codec in [Codec::Snappy, Codec::Lz4Raw] {
        let inputs: Vec<CompressedInput> = bodies
            .iter()
            .enumerate()
            .filter_map(|(i, body)| {
                let (_, target_bytes) = body.packed.filter(|(packed, _)| *packed == codec)?;
                Some(CompressedInput {
                    buffer: 0,
                    offset: copied_at[i] + u64::from(body.plain),
                    // At most a page's bytes, which a header states in 31 bits.
                    bytes: (body.raw.len() as u64 - u64::from(body.plain)) as u32,
                    target_offset: places[i].offset + u64::from(body.plain),
                    target_bytes,
                    ordinal: ordinals[i],
                })
            })
            .collect();
        if !inputs.is_empty() {
            decompress(
                &context.kernels,
                codec,
                std::slice::from_ref(&copied),
                &inputs,
                &mut expanded,
            )?;
        }
    }
    Ok(Staged { buffers: [copied, expanded.freeze()], places })
}

fn buffer(context: &DecodeContext<'_>, bytes: u64) -> Result<DeviceBuffer<u8>> {
    let bytes = usize::try_from(bytes)
        .map_err(|_| CudaError::OverBudget(format!("{bytes} bytes are more than memory")))?;
    context.kernels.memory.buffer(bytes, context.kernels.stream)
}

/// Levels of version-2 pages are not compressed: they go in front of what the device expands.
fn copy_levels(
    context: &DecodeContext<'_>,
    bodies: &[Body],
    places: &[Placed],
    expanded: &mut DeviceBuffer<u8>,
) -> Result<()> {
    let with_levels: Vec<_> =
        bodies.iter().zip(places).filter(|(b, _)| b.packed.is_some() && b.plain > 0).collect();
    let mut rest = &with_levels[..];
    while !rest.is_empty() {
        let mut slab = context.next_slab()?;
        let room = slab.len();
        let mut used = 0;
        let mut parts = Vec::new();
        while let Some((body, place)) = rest.first() {
            let levels = &body.raw[..body.plain as usize];
            if levels.len() > room {
                // Longer than a slab: by itself, in pieces.
                expanded.write(
                    place.offset as usize,
                    levels,
                    context.staging,
                    context.kernels.stream,
                )?;
            } else if used + levels.len() > room {
                break;
            } else {
                slab[used..used + levels.len()].copy_from_slice(levels);
                parts.push((place.offset as usize, used..used + levels.len()));
                used += levels.len();
            }
            rest = &rest[1..];
        }
        let sealed = slab.seal();
        for (at, range) in parts {
            expanded.upload(at, &sealed, range, context.kernels.stream)?;
        }
    }
    Ok(())
}

/// Fills slabs with bytes for ascending places of one buffer, and copies each when it is full.
struct Packer<'a, 'b> {
    context: &'a DecodeContext<'a>,
    target: &'b mut DeviceBuffer<u8>,
    slab: Option<PinnedBuffer>,
    /// Where in the target the slab's first byte goes.
    start: u64,
    filled: usize,
}

impl Packer<'_, '_> {
    fn put(&mut self, at: u64, mut bytes: &[u8]) -> Result<()> {
        let mut at = at;
        while !bytes.is_empty() {
            // Behind the last body: what alignment leaves out, fewer bytes than ALIGNMENT.
            let gap = (at - self.start) as usize - self.filled;
            let slab = match &mut self.slab {
                Some(slab) if self.filled + gap < slab.len() => slab,
                Some(_) => {
                    self.flush()?;
                    continue;
                }
                None => {
                    self.start = at;
                    self.filled = 0;
                    self.slab.insert(self.context.next_slab()?)
                }
            };
            let from = (at - self.start) as usize;
            slab[self.filled..from].fill(0);
            let count = bytes.len().min(slab.len() - from);
            slab[from..from + count].copy_from_slice(&bytes[..count]);
            self.filled = from + count;
            at += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(slab) = self.slab.take() {
            let at = self.start as usize;
            self.target.upload(at, &slab.seal(), 0..self.filled, self.context.kernels.stream)?;
        }
        self.start += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}
