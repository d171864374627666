//! Arrow arrays as the interpreter's cells.

use arrow::array::{Array, AsArray, PrimitiveArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt32Type};
use staffa_engine::cuda::expression::storage;
use staffa_kernels::expression::reference::{Cell, HostColumn};
use staffa_kernels::expression::{Constant, Type};

/// The type of a dictionary's values, or the type.
pub(crate) fn plain(of: &DataType) -> &DataType {
    if let DataType::Dictionary(_, values) = of { values } else { of }
}

/// The values of a dictionary or of the array itself.
fn flat(array: &dyn Array) -> arrow::array::ArrayRef {
    cast(array, plain(array.data_type())).unwrap()
}

/// A cell a row.
pub(crate) fn cells(array: &dyn Array) -> Vec<Cell> {
    let array = flat(array);
    let kind = storage(array.data_type()).expect("a type with a register");
    match kind {
        Type::Bits => array.as_boolean().iter().map(|v| v.map(Constant::Bool)).collect(),
        Type::Span => {
            let binary = cast(&array, &DataType::LargeBinary).unwrap();
            binary
                .as_binary::<i64>()
                .iter()
                .map(|v| v.map(|v| Constant::Bytes(v.to_vec())))
                .collect()
        }
        _ => {
            let data = array.to_data();
            let width = usize::from(kind.width());
            let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
            (0..array.len())
                .map(|row| {
                    let slot = &bytes[row * width..(row + 1) * width];
                    array.is_valid(row).then(|| Constant::from_little_endian(kind, slot))
                })
                .collect()
        }
    }
}

/// Codes and entries of a column of strings; every other entry is used by no row.
pub(crate) fn encoded(array: &dyn Array) -> (UInt32Array, Vec<Constant>) {
    let mut entries: Vec<Constant> = vec![Constant::text("unused"), Constant::text("")];
    let codes = cells(array).into_iter().map(|cell| {
        cell.map(|cell| match entries.iter().position(|entry| *entry == cell) {
            Some(at) => at as u32,
            None => {
                entries.push(cell);
                entries.len() as u32 - 1
            }
        })
    });
    let codes = PrimitiveArray::<UInt32Type>::from_iter(codes);
    (codes, entries)
}

/// A column for the reference.
pub(crate) fn host(array: &dyn Array, codes: bool) -> HostColumn {
    if codes {
        let (codes, dictionary) = encoded(array);
        return HostColumn::Codes { codes: codes.iter().collect(), dictionary };
    }
    HostColumn::Plain(cells(array))
}

/// Equal, floats by their bits.
pub(crate) fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Some(Constant::F64(x)), Some(Constant::F64(y))) => x.to_bits() == y.to_bits(),
        (Some(Constant::F32(x)), Some(Constant::F32(y))) => x.to_bits() == y.to_bits(),
        (x, y) => x == y,
    }
}
