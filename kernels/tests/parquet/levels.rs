//! Validity, NULL counts and ranks, apart from any values.

use staffa_kernels::abi::{ErrorSlot, PageState};
use staffa_kernels::parquet::{Levels, PageInput, PageLevels, PageSet, levels};

use crate::column::{Layout, Nulls, bitmap, check_opened, open, place};
use crate::encode::{Runs, hybrid};
use crate::gpu::gpu;
use crate::random::Random;

#[test]
fn levels_of_every_layout_and_size() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(1);
    for max_level in [1, 2, 3, 7] {
        for version in [1, 2] {
            for runs in Runs::ALL {
                for nulls in [Nulls::None, Nulls::Some, Nulls::All] {
                    for rows in [0, 1, 31, 32, 33, 1000, 4097] {
                        let layout = Layout { max_level, version, runs, nulls };
                        let what = format!("{rows} rows of {layout:?}");
                        let validity = layout.validity(rows, &mut random);
                        let error = gpu.zeroed::<ErrorSlot>(1);
                        let context = gpu.context(&error);
                        let placed = place(&gpu, &layout, &validity, &mut random, |values, _| {
                            vec![7; values.len()]
                        });
                        let opened = open(&gpu, &context, &placed);
                        check_opened(&gpu, &opened, &validity, &error, &what);
                        for (page, state) in placed.inputs.iter().zip(gpu.read(opened.set.states()))
                        {
                            let first = page.first_row as usize;
                            let part = &validity[first..first + page.rows as usize];
                            let valid = part.iter().filter(|v| **v).count() as u32;
                            assert_eq!((state.valid, state.values_bytes), (valid, valid), "{what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_hundred_thousand_rows() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(2);
    let layout = Layout { max_level: 1, version: 1, runs: Runs::Mixed, nulls: Nulls::Some };
    let validity = layout.validity(100_000, &mut random);
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let placed = place(&gpu, &layout, &validity, &mut random, |_, _| Vec::new());
    let opened = open(&gpu, &context, &placed);
    check_opened(&gpu, &opened, &validity, &error, "100,000 rows");
}

/// A page that stands across both edges of a morsel: its rows outside are decoded and not stored.
#[test]
fn a_page_across_the_edges_of_a_morsel() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(3);
    for (skip, rows) in [(0usize, 3000usize), (1, 40), (33, 64), (2047, 953), (2900, 90)] {
        let levels_in: Vec<u32> = (0..3000).map(|_| random.below(2) as u32).collect();
        let section = hybrid(&levels_in, 1, Runs::Mixed, &mut random);
        let buffer = gpu.upload(&section);
        let error = gpu.zeroed::<ErrorSlot>(1);
        let context = gpu.context(&error);
        let page = PageInput {
            buffer: 0,
            offset: 0,
            bytes: section.len() as u32,
            rows: 3000,
            first_row: -(skip as i32),
            ordinal: 0,
            levels: PageLevels::At { offset: 0, bytes: section.len() as u32 },
            max_level: 1,
        };
        let mut set = PageSet::new(&context, &[buffer], &[page], rows as u32).unwrap();
        let mut validity = gpu.zeroed(rows.div_ceil(32));
        let mut nulls = gpu.zeroed(1);
        levels(&context, &mut set, Levels::Decode { validity: &mut validity, nulls: &mut nulls })
            .unwrap();
        let expected: Vec<bool> =
            levels_in[skip..skip + rows].iter().map(|level| *level == 1).collect();
        assert_eq!(gpu.read(&validity), bitmap(&expected), "{skip} {rows}");
        assert_eq!(gpu.read(&nulls)[0] as usize, expected.iter().filter(|v| !**v).count());
        assert_eq!(gpu.read(&error)[0], ErrorSlot::default());
    }
}

/// Levels that the host does not want are stepped over.
#[test]
fn skipped_levels() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(4);
    let layout = Layout { max_level: 1, version: 1, runs: Runs::Repeated, nulls: Nulls::None };
    let placed =
        place(&gpu, &layout, &[true; 100], &mut random, |values, _| vec![1; 3 * values.len()]);
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let mut set = PageSet::new(&context, &placed.buffers, &placed.inputs, 100).unwrap();
    levels(&context, &mut set, Levels::Skip).unwrap();
    for (page, state) in placed.inputs.iter().zip(gpu.read::<PageState>(set.states())) {
        assert_eq!((state.valid, state.values_bytes), (page.rows, 3 * page.rows));
    }
}
