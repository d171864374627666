//! What the launchers of sorts refuse.

use staffa_kernels::abi::{ErrorSlot, ValueOrder};
use staffa_kernels::columns::RowList;
use staffa_kernels::sort::{SortColumn, sort_rows, top_rows};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::gpu;
use crate::random::Random;

#[test]
fn launchers_refuse_what_does_not_fit() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(99);
    let all = RowList::all(40);
    for kind in KINDS {
        let column = HostColumn::random(kind, 40, 5, 3, &random).upload(&gpu);
        let fixed = kind.1 as u8 == 1;
        for (order, fits) in [
            (ValueOrder::Unsigned, kind.0 == "bool" || (fixed && kind.2 <= 8)),
            (ValueOrder::Signed, fixed),
            (ValueOrder::Float, fixed && matches!(kind.2, 2 | 4 | 8)),
            (ValueOrder::Bytes, matches!(kind.0, "utf8" | "fixed binary")),
        ] {
            let by = |column| [SortColumn { column, order, descending: false, nulls_first: true }];
            let columns = by(column.clone());
            let what = format!("{} as {order:?}", kind.0);
            assert_eq!(sort_rows(&context, &columns, all).is_ok(), fits, "{what}");
            assert_eq!(top_rows(&context, &columns, all, 5).is_ok(), fits, "{what}");
            assert!(sort_rows(&context, &columns, RowList::all(41)).is_err(), "{what}");
            let mut longer = column.clone();
            longer.descriptor.rows = 5000;
            assert!(sort_rows(&context, &by(longer), all).is_err(), "{what}");
        }
    }
    assert!(sort_rows(&context, &[], all).is_err());
    assert!(top_rows(&context, &[], all, 5).is_err());
}
