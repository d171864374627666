//! Stand-ins for data sets that DataFusion's repository has and its package lacks.
//!
//! The values are ours, so answers do not match the files' expectations; but the queries over
//! them run, and stock and Staffa are compared with each other. Names, types and number of
//! columns are what the files declare.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use datafusion::common::Result;

use crate::rng::Rng;

/// Writes the stand-ins under `root`, where `../../testing` and `../core` of the files point.
///
/// # Errors
/// A disk that cannot be written.
pub(super) fn write(root: &Path) -> Result<()> {
    let mut rng = Rng::new(100);
    let csv = root.join("testing/data/csv");
    fs::create_dir_all(&csv)?;
    fs::write(csv.join("aggregate_test_100.csv"), aggregate_test(&mut rng))?;
    let data = root.join("datafusion/core/tests/data");
    fs::create_dir_all(&data)?;
    fs::write(data.join("aggregate_simple.csv"), aggregate_simple())?;
    fs::write(data.join("window_2.csv"), window(&mut rng))?;
    fs::write(data.join("empty.csv"), "c1,c2,c3\n")?;
    Ok(())
}

/// c1 text (a..e), c2 1..5, c3 i8, c4 i16, c5 i32, c6 i64, c7 u8, c8 u16, c9 u32, c10 u64,
/// c11 f32, c12 f64, c13 text.
fn aggregate_test(rng: &mut Rng) -> String {
    let mut text = String::from("c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13\n");
    for _ in 0..100 {
        let letter = *rng.pick(&["a", "b", "c", "d", "e"]);
        let signed = [(-128, 127), (-32_768, 32_767), (-2_147_483_648, 2_147_483_647)];
        let signed: Vec<String> =
            signed.iter().map(|(low, high)| rng.between(*low, *high).to_string()).collect();
        let unsigned: Vec<String> = [255, 65_535, 4_294_967_295]
            .iter()
            .map(|high| rng.between(0, *high).to_string())
            .collect();
        let floats =
            (rng.between(0, 4096) as f64 / 4096.0, rng.between(0, 65_536) as f64 / 65_536.0);
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{letter},{},{},{},{},{},{},{},{:x}{:016x}",
            rng.between(1, 5),
            signed.join(","),
            rng.between(i64::MIN, i64::MAX),
            unsigned.join(","),
            rng.bits(),
            floats.0,
            floats.1,
            rng.bits(),
            rng.bits()
        );
    }
    text
}

fn aggregate_simple() -> String {
    let mut text = String::from("c1,c2,c3\n");
    for i in 1..=5 {
        for _ in 0..i {
            let _ = writeln!(text, "{}.00001,{}.000000000001,{}", i, i, i % 2 == 0);
        }
    }
    text
}

/// ts, a0, a, b, c, d: sorted by ts, and by (a, b, c).
fn window(rng: &mut Rng) -> String {
    let mut text = String::from("a0,a,b,c,d\n");
    for row in 0..100 {
        let _ = writeln!(text, "1,{},{},{row},{}", row / 50, row / 25, rng.below(5));
    }
    text
}
