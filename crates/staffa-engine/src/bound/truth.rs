//! What a predicate says of a dictionary's values, looked up row by row.

use arrow::array::{Array, BooleanArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::flags::Flags;

/// The truth of each value of a dictionary, and behind them that of NULL.
#[derive(Debug)]
pub(super) struct Truth {
    /// Set where it is true.
    holds: Flags,
    /// Set where it is known; none where it is for all of them.
    known: Option<Flags>,
    /// Whether that of NULL is all that may be unknown.
    null_alone: bool,
}

impl Truth {
    /// Of at least one value, the last of which is that of NULL.
    pub(super) fn new(values: &BooleanArray) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let bits = values.values().iter();
        let holds = Flags::new((0..).zip(bits).map(|(row, bit)| bit && values.is_valid(row)));
        let known = values.nulls().filter(|nulls| nulls.null_count() > 0);
        let null_alone =
            known.is_some_and(|nulls| nulls.null_count() == 1 && nulls.is_null(values.len() - 1));
        let known = known.map(|nulls| Flags::new(nulls.iter()));
        Some(Self { holds, known, null_alone })
    }

    /// The rows for which it is true. A NULL of `codes` stands for the last value.
    pub(super) fn holds(&self, codes: &UInt32Array) -> BooleanBuffer {
        bits(&self.holds, codes)
    }

    /// The truth of each row.
    pub(super) fn at(&self, codes: &UInt32Array) -> BooleanArray {
        let asked = !self.null_alone || codes.null_count() > 0;
        let known = self.known.as_ref().filter(|_| asked);
        let known = known.map(|known| NullBuffer::new(bits(known, codes)));
        let known = known.filter(|known| known.null_count() > 0);
        BooleanArray::new(self.holds(codes), known)
    }
}

/// The flags at `codes`; at a NULL, whose code may be anything, the last flag.
fn bits(flags: &Flags, codes: &UInt32Array) -> BooleanBuffer {
    let found = flags.at(codes.values());
    let Some(nulls) = codes.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return found;
    };
    match flags.last() {
        true => &found | &!nulls.inner(),
        false => &found & nulls.inner(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_truth_of_their_values() {
        let values = [Some(true), Some(false), None, Some(true)];
        for null in [Some(true), Some(false), None] {
            let of_values: Vec<_> = values.iter().copied().chain([null]).collect();
            let truth = Truth::new(&BooleanArray::from(of_values)).unwrap();
            for rows in [0, 1, 63, 64, 65, 200] {
                for with_nulls in [false, true] {
                    let code = |row: usize| match row % 7 {
                        3 if with_nulls => None,
                        rest => Some(rest as u32 % 4),
                    };
                    let codes: UInt32Array = (0..rows).map(code).collect();
                    // A NULL's code may be anything.
                    let odd = codes.iter().map(|code| code.unwrap_or(u32::MAX)).collect();
                    let codes = UInt32Array::new(odd, codes.nulls().cloned());
                    let wanted: BooleanArray = (0..rows)
                        .map(|row| code(row).map_or(null, |code| values[code as usize]))
                        .collect();
                    assert_eq!(truth.at(&codes), wanted, "{null:?} {rows} {with_nulls}");
                    let holds: Vec<bool> = wanted.iter().map(|bit| bit == Some(true)).collect();
                    assert_eq!(truth.holds(&codes), BooleanBuffer::from(holds));
                }
            }
        }
    }

    #[test]
    fn a_slice_of_codes_is_read_from_its_own_start() {
        let truth = Truth::new(&BooleanArray::from(vec![true, false, false])).unwrap();
        let codes: UInt32Array = (0..150).map(|row| (row % 5 != 0).then_some(row % 2)).collect();
        let sliced = codes.slice(67, 80);
        let wanted: Vec<bool> = sliced.iter().map(|code| code == Some(0)).collect();
        assert_eq!(truth.holds(&sliced), BooleanBuffer::from(wanted));
    }
}
