//! What launchers refuse before anything reaches the device.

use staffa_common::FaultClass;
use staffa_cuda::CudaError;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{
    Codec, CompressedInput, Conversion, Dictionary, Levels, PageInput, PageLevels, PageSet, Slots,
    Stored, byte_array, copy, decompress, delta, dictionary_values, fixed, index, levels,
};

use crate::gpu::gpu;

const PAGE: PageInput = PageInput {
    buffer: 0,
    offset: 10,
    bytes: 90,
    rows: 10,
    first_row: 0,
    ordinal: 0,
    levels: PageLevels::None,
    max_level: 0,
};

fn class<T>(result: Result<T, CudaError>) -> FaultClass {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.class(),
    }
}

#[test]
fn pages_outside_their_buffers() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let buffers = [gpu.upload(&[0u8; 100])];
    let refused = |page: PageInput, rows: u32| {
        class(PageSet::new(&context, &buffers, &[page], rows)) == FaultClass::Bug
    };
    assert!(PageSet::new(&context, &buffers, &[PAGE], 10).is_ok());
    assert!(refused(PageInput { buffer: 1, ..PAGE }, 10));
    assert!(refused(PageInput { bytes: 91, ..PAGE }, 10));
    assert!(refused(PageInput { offset: u64::MAX, ..PAGE }, 10));
    assert!(refused(PageInput { rows: 1 << 31, ..PAGE }, 10));
    assert!(refused(PAGE, 1 << 31));
    assert!(refused(PageInput { max_level: 1, ..PAGE }, 10));
    for (offset, bytes) in [(0, 91), (90, 1), (u32::MAX, 2)] {
        let section = PageLevels::At { offset, bytes };
        assert!(refused(PageInput { levels: section, max_level: 1, ..PAGE }, 10));
    }
}

#[test]
fn outputs_and_inputs_of_the_wrong_size() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let buffers = [gpu.upload(&[0u8; 100])];
    let mut set = PageSet::new(&context, &buffers, &[PAGE], 10).unwrap();
    let mut output = gpu.zeroed::<u8>(80);
    let i32s = Conversion::I32To32;
    // Before the levels.
    assert_eq!(class(fixed(&context, &set, Stored::Plain, i32s, &mut output)), FaultClass::Bug);
    let (mut words, mut count) = (gpu.zeroed(1), gpu.zeroed(1));
    let wanted = Levels::Decode { validity: &mut words, nulls: &mut count };
    assert_eq!(class(levels(&context, &mut set, wanted)), FaultClass::Bug);
    levels(&context, &mut set, Levels::Skip).unwrap();

    let set = &set;
    let mut small = gpu.zeroed::<u8>(39);
    assert_eq!(class(fixed(&context, set, Stored::Plain, i32s, &mut small)), FaultClass::Bug);
    assert_eq!(class(copy(&context, set, Stored::Plain, 4, &mut small)), FaultClass::Bug);
    let slots = gpu.upload(&[0u8; 100]);
    let compact = Stored::Compact(&slots);
    assert_eq!(class(fixed(&context, set, compact, i32s, &mut output)), FaultClass::Bug);
    let int96 = Conversion::I96ToNanos;
    let split = fixed(&context, set, Stored::Split, int96, &mut output);
    assert_eq!(class(split), FaultClass::Unsupported);
    for (stored, width) in [(17, 16), (0, 16)] {
        let decimal = Conversion::Decimal { stored, width };
        let result = fixed(&context, set, Stored::Plain, decimal, &mut output);
        assert_eq!(class(result), FaultClass::Unsupported);
    }
    let wide = Conversion::Bytes { stored: 1 << 21, width: 1 << 21, offset: 0 };
    let result = fixed(&context, set, Stored::Plain, wide, &mut output);
    assert_eq!(class(result), FaultClass::Unsupported);
    let beyond = Conversion::Bytes { stored: 8, width: 4, offset: 5 };
    assert_eq!(class(fixed(&context, set, Stored::Plain, beyond, &mut output)), FaultClass::Bug);

    let mut spans = gpu.zeroed(9);
    assert_eq!(class(byte_array(&context, set, Slots::Rows(&mut spans))), FaultClass::Bug);
    let mut shorts = gpu.zeroed::<u16>(10_000);
    assert_eq!(class(delta(&context, set, Slots::Compact(&mut shorts))), FaultClass::Bug);
    let indexes = index(&context, set, false).unwrap();
    let dictionary = Dictionary { values: &slots, rows: 13, width: 8 };
    let result = dictionary_values(&context, set, &indexes, dictionary, &mut output);
    assert_eq!(class(result), FaultClass::Bug);
    let runs = index(&context, set, true).unwrap();
    let dictionary = Dictionary { values: &slots, rows: 12, width: 8 };
    let result = dictionary_values(&context, set, &runs, dictionary, &mut output);
    assert_eq!(class(result), FaultClass::Bug);
}

#[test]
fn compressed_pages_that_overlap_or_lie_outside() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let buffers = [gpu.upload(&[0u8; 100])];
    let mut target = gpu.zeroed::<u8>(100);
    let page = CompressedInput {
        buffer: 0,
        offset: 0,
        bytes: 100,
        target_offset: 0,
        target_bytes: 50,
        ordinal: 0,
    };
    for second in [
        CompressedInput { buffer: 1, ..page },
        CompressedInput { bytes: 101, target_offset: 50, ..page },
        CompressedInput { offset: 1, target_offset: 50, ..page },
        CompressedInput { target_offset: 51, ..page },
        CompressedInput { target_offset: u64::MAX, ..page },
        CompressedInput { target_offset: 49, ..page },
    ] {
        let result = decompress(&context, Codec::Snappy, &buffers, &[page, second], &mut target);
        assert_eq!(class(result), FaultClass::Bug, "{second:?}");
    }
}
