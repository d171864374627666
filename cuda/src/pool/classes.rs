//! Sizes of blocks.

/// What every buffer starts at (docs/design/columns.md).
pub(crate) const ALIGNMENT: u64 = 256;
/// Addressable bytes behind the last byte used, so that vector loads of the last rows stay inside.
pub(crate) const PADDING: u64 = 64;
/// Above this a class is a step of fixed size, so that a big hash table wastes little.
const LARGEST_STEP: u64 = 32 << 20;

/// Bytes with padding, rounded up to the alignment. `None` beyond 2^63.
pub(crate) const fn padded(bytes: u64) -> Option<u64> {
    match bytes.checked_add(PADDING + ALIGNMENT - 1) {
        Some(sum) if sum <= i64::MAX as u64 => Some(sum / ALIGNMENT * ALIGNMENT),
        _ => None,
    }
}

/// The size of the block for so many bytes: eight classes for each doubling, so that at most an
/// eighth is lost, and morsels of about the same size share a class.
pub(crate) fn class(bytes: u64) -> Option<u64> {
    let padded = padded(bytes)?;
    let step = (padded.next_power_of_two() / 16).clamp(ALIGNMENT, LARGEST_STEP);
    padded.checked_next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_padding_and_alignment() {
        for bytes in (0..70_000).chain([1 << 20, (1 << 20) + 1, (1 << 33) - 5]) {
            for size in [padded(bytes).unwrap(), class(bytes).unwrap()] {
                assert!(size >= bytes + PADDING, "{bytes}");
                assert_eq!(size % ALIGNMENT, 0, "{bytes}");
            }
        }
    }

    #[test]
    fn at_most_an_eighth_is_lost() {
        for bytes in (4096..300_000).step_by(37).chain((0..40).map(|i| (1 << 30) + i * 77_777_777))
        {
            let (need, size) = (padded(bytes).unwrap(), class(bytes).unwrap());
            assert!(size - need <= need / 8, "{bytes}: {need} -> {size}");
            assert!(size - need < LARGEST_STEP, "{bytes}");
        }
    }

    #[test]
    fn classes_are_few_and_their_own_class() {
        let mut classes: Vec<u64> = (0..(1u64 << 22)).step_by(64).filter_map(class).collect();
        classes.dedup();
        assert!(classes.is_sorted());
        // Eight per doubling from 4 KB to 4 MB, sixteen below.
        assert!(classes.len() < 110, "{}", classes.len());
        for &size in &classes {
            assert_eq!(class(size - PADDING), Some(size));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(padded(u64::MAX), None);
        assert_eq!(class(u64::MAX - 100), None);
        assert_eq!(class(1 << 63), None);
    }
}
