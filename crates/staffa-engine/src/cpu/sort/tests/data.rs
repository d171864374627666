//! Random columns of every sortable type.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;

/// A small generator of numbers that look random (Knuth's MMIX constants).
pub(in crate::cpu) struct Random(pub(in crate::cpu) u64);

impl Random {
    pub(in crate::cpu) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) ^ (self.0 >> 43)
    }

    pub(in crate::cpu) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

const SPECIAL: [i64; 8] = [0, -1, 1, i64::MIN, i64::MAX, 127, -128, 255];

/// Integers with many ties, specials and NULLs.
fn integers(rows: usize, random: &mut Random) -> Int64Array {
    (0..rows)
        .map(|_| match random.below(10) {
            0 => None,
            1 => Some(SPECIAL[random.below(8) as usize]),
            2..=5 => Some(random.below(20) as i64 - 10),
            _ => Some((random.next() << 20) as i64),
        })
        .collect()
}

fn strings(rows: usize, random: &mut Random) -> StringArray {
    const PIECES: [&str; 8] = ["", "a", "b", "ß", "日本", "zz", "\u{0}", "aaaaaaaaaaaaaaaa"];
    (0..rows)
        .map(|_| {
            (random.below(10) > 0).then(|| {
                (0..random.below(5)).map(|_| PIECES[random.below(8) as usize]).collect::<String>()
            })
        })
        .collect()
}

fn floats<T: ArrowPrimitiveType>(
    rows: usize,
    random: &mut Random,
    of: impl Fn(f64) -> T::Native,
) -> ArrayRef {
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN];
    let array: PrimitiveArray<T> = (0..rows)
        .map(|_| match random.below(6) {
            0 => None,
            1 | 2 => Some(of(special[random.below(7) as usize])),
            _ => Some(of(random.below(1000) as f64 / 7.0 - 70.0)),
        })
        .collect();
    Arc::new(array)
}

/// Columns with these names, of every type there is a sort for.
pub(in crate::cpu) fn columns(rows: usize, random: &mut Random) -> Vec<(String, ArrayRef)> {
    use DataType::*;
    let mut out: Vec<(String, ArrayRef)> = Vec::new();
    let tz = Some("+02:00".into());
    for of in [
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Boolean,
        Date32,
        Date64,
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Nanosecond),
        Timestamp(TimeUnit::Second, None),
        Timestamp(TimeUnit::Nanosecond, tz),
        Duration(TimeUnit::Microsecond),
        Decimal32(9, 2),
        Decimal64(18, 0),
        Decimal128(38, 2),
        Decimal256(60, 3),
        Interval(IntervalUnit::YearMonth),
    ] {
        let values = integers(rows, random);
        let array = match &of {
            Time32(_) | Date32 | Interval(_) => {
                let narrow: Int32Array = values.unary_opt(|v| Some(v as i32));
                cast(&narrow, &of).unwrap()
            }
            Int64 => Arc::new(values),
            _ => cast(&values, &of).unwrap(),
        };
        out.push((format!("{of}"), array));
    }
    out.push((
        "Float16".into(),
        floats::<Float16Type>(rows, random, |v| {
            <Float16Type as ArrowPrimitiveType>::Native::from_f64(v)
        }),
    ));
    out.push(("Float32".into(), floats::<Float32Type>(rows, random, |v| v as f32)));
    out.push(("Float64".into(), floats::<Float64Type>(rows, random, |v| v)));
    let days: IntervalDayTimeArray = (0..rows)
        .map(|_| {
            (random.below(9) > 0).then(|| {
                IntervalDayTime::new(random.below(5) as i32 - 2, random.below(5) as i32 - 2)
            })
        })
        .collect();
    out.push(("DayTime".into(), Arc::new(days)));
    let months: IntervalMonthDayNanoArray = (0..rows)
        .map(|_| {
            (random.below(9) > 0).then(|| {
                IntervalMonthDayNano::new(
                    random.below(3) as i32 - 1,
                    random.below(3) as i32,
                    random.below(3) as i64 - 1,
                )
            })
        })
        .collect();
    out.push(("MonthDayNano".into(), Arc::new(months)));
    for of in [Utf8, LargeUtf8, Utf8View, Binary, LargeBinary, BinaryView] {
        let array = cast(&strings(rows, random), &of).unwrap();
        out.push((format!("{of}"), array));
    }
    let fixed: FixedSizeBinaryArray = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        (0..rows).map(|_| {
            (random.below(9) > 0).then(|| [random.below(4) as u8, 255, random.below(4) as u8])
        }),
        3,
    )
    .unwrap();
    out.push(("Fixed".into(), Arc::new(fixed)));
    let words: DictionaryArray<Int32Type> = strings(rows, random).iter().collect();
    out.push(("Dictionary".into(), Arc::new(words)));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(|_| {
        (random.below(8) > 0).then(|| {
            let length = random.below(4);
            (0..length)
                .map(|_| (random.below(6) > 0).then(|| random.below(3) as i32))
                .collect::<Vec<_>>()
        })
    }));
    out.push(("List".into(), Arc::new(lists)));
    out.push(("Null".into(), Arc::new(NullArray::new(rows))));
    out
}

/// Batches of all types, of uneven sizes, some of them slices; the `id` column counts rows.
pub(in crate::cpu) fn batches(sizes: &[usize], seed: u64, first_id: u64) -> Vec<RecordBatch> {
    let mut random = Random(seed);
    let mut id = first_id;
    sizes
        .iter()
        .map(|&size| {
            let mut named = columns(size + 3, &mut random);
            for (_, array) in &mut named {
                *array = array.slice(2, size);
            }
            let ids: UInt64Array = (id..id + size as u64).collect();
            id += size as u64;
            named.push(("id".into(), Arc::new(ids)));
            let fields: Vec<Field> = named
                .iter()
                .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
                .collect();
            let columns = named.into_iter().map(|(_, array)| array).collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        })
        .collect()
}

/// Two columns and an id, larger.
pub(in crate::cpu) fn plain(
    rows: usize,
    batch: usize,
    seed: u64,
    first_id: u64,
) -> Vec<RecordBatch> {
    let mut random = Random(seed);
    let mut out = Vec::new();
    let mut id = first_id;
    let mut left = rows;
    while left > 0 {
        let size = left.min(batch);
        left -= size;
        let keys: Int64Array =
            (0..size).map(|_| Some(random.below(rows as u64 / 3 + 1) as i64)).collect();
        let words: StringViewArray = (0..size)
            .map(|_| {
                (random.below(20) > 0)
                    .then(|| format!("a rather long word {:06}", random.below(5000)))
            })
            .collect();
        let ids: UInt64Array = (id..id + size as u64).collect();
        id += size as u64;
        out.push(
            RecordBatch::try_from_iter_with_nullable(vec![
                ("k", Arc::new(keys) as ArrayRef, true),
                ("w", Arc::new(words), true),
                ("id", Arc::new(ids), true),
            ])
            .unwrap(),
        );
    }
    out
}
