//! Row counts around a tile, selections in and out, block shapes, random programs.

use staffa_kernels::expression::reference::{self, Cell, HostColumn};
use staffa_kernels::expression::{
    Arithmetic, Builder, Comparison, Constant, Find, Input, OnError, Program, Type, Value,
};

use crate::check::assert_answer;
use crate::device::{self, Answer, Shape};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn seed() -> u64 {
    std::env::var("STAFFA_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20261122)
}

fn cell(random: &mut Random, kind: Type) -> Constant {
    // Small values collide and stay in range; now and then a large one.
    let small = random.below(40) as i128 - 20;
    let value = if random.below(16) == 0 { i128::from(random.next() as i64) } else { small };
    match kind {
        Type::F32 | Type::F64 if random.below(12) == 0 => {
            Constant::integer(Type::F64, 0).kind_of_nan(kind)
        }
        Type::Span => {
            let words =
                ["", "a", "ab", "abc", "héllo", "日本", "zebra crossing ahead", "a%b", "AB"];
            Constant::text(words[random.below(words.len() as u64) as usize])
        }
        _ => Constant::integer(kind, value),
    }
}

trait Nan {
    fn kind_of_nan(self, kind: Type) -> Constant;
}
impl Nan for Constant {
    fn kind_of_nan(self, kind: Type) -> Constant {
        if kind == Type::F32 { Constant::F32(f32::NAN) } else { Constant::F64(f64::NAN) }
    }
}

fn column(random: &mut Random, kind: Type, rows: usize, nulls: bool) -> HostColumn {
    let cells: Vec<Cell> = (0..rows)
        .map(|_| if nulls && random.below(4) == 0 { None } else { Some(cell(random, kind)) })
        .collect();
    HostColumn::Plain(cells)
}

/// Filter and projections of every storage width: compaction of values and bitmaps.
fn wide_program(kinds: &[Type], filter: bool) -> Program {
    let mut inputs: Vec<Input> =
        kinds.iter().map(|kind| Input { kind: *kind, nullable: true }).collect();
    inputs.push(Input { kind: Type::I32, nullable: true });
    let mut b = Builder::new(inputs);
    if filter {
        let key = b.column(kinds.len()).unwrap();
        let limit = b.constant(&Constant::I32(3)).unwrap();
        let keep = b.compare(Comparison::Less, key, limit).unwrap();
        b.filter(keep).unwrap();
    }
    for c in 0..kinds.len() {
        let value = b.column(c).unwrap();
        b.output(value).unwrap();
    }
    b.finish().unwrap()
}

#[test]
fn every_size_and_selection() {
    let Some(mut machine) = device::machine() else { return };
    let kinds = [Type::Bits, Type::I8, Type::I16, Type::F32, Type::I64, Type::I128, Type::Span];
    let mut random = Random(seed());
    for filter in [true, false] {
        let program = wide_program(&kinds, filter);
        let tile = program.block_threads().unwrap() as usize * 4;
        for rows in [0, 1, 31, 32, 33, tile - 1, tile, tile + 1, 10_000] {
            let mut columns: Vec<HostColumn> =
                kinds.iter().map(|k| column(&mut random, *k, rows, true)).collect();
            columns.push(column(&mut random, Type::I32, rows, true));
            let expected = reference::run(&program, &columns, None).unwrap();
            let answer = device::run(machine.as_mut(), &program, &columns, None, Shape::default());
            assert_answer(&format!("{rows} rows, filter {filter}"), &answer, &expected, &program);
            let selection: Vec<u32> = (0..rows as u32).filter(|_| random.below(3) == 0).collect();
            let expected = reference::run(&program, &columns, Some(&selection)).unwrap();
            let answer = device::run(
                machine.as_mut(),
                &program,
                &columns,
                Some(&selection),
                Shape::default(),
            );
            assert_answer(
                &format!("{} of {rows} rows, filter {filter}", selection.len()),
                &answer,
                &expected,
                &program,
            );
        }
    }
}

#[test]
fn every_block_shape() {
    let Some(mut machine) = device::machine() else { return };
    let kinds = [Type::Bits, Type::I64, Type::Span];
    let mut random = Random(seed() + 1);
    let program = wide_program(&kinds, true);
    let rows = 3_000;
    let mut columns: Vec<HostColumn> =
        kinds.iter().map(|k| column(&mut random, *k, rows, true)).collect();
    columns.push(column(&mut random, Type::I32, rows, true));
    let expected = Answer::Done(reference::run(&program, &columns, None).unwrap());
    for threads in [32, 64, 128, 256] {
        for blocks in [1, 2, 7, 64] {
            let shape = Shape { threads: Some(threads), blocks, ..Shape::default() };
            assert_eq!(
                device::run(machine.as_mut(), &program, &columns, None, shape),
                expected,
                "{shape:?}"
            );
        }
    }
}

#[test]
fn a_full_heap_is_reported() {
    let Some(mut machine) = device::machine() else { return };
    let mut b = Builder::new(vec![Input { kind: Type::Span, nullable: true }]);
    let x = b.column(0).unwrap();
    let twice = b.concatenate(x, x).unwrap();
    let four = b.concatenate(twice, twice).unwrap();
    b.output(four).unwrap();
    let program = b.finish().unwrap();
    let columns = [HostColumn::Plain(vec![Some(Constant::text("0123456789")); 500])];
    let shape = Shape { heap: 20_000, ..Shape::default() };
    assert_eq!(device::run(machine.as_mut(), &program, &columns, None, shape), Answer::HeapFull);
    let shape = Shape { heap: 30_000, ..Shape::default() };
    let expected = reference::run(&program, &columns, None).unwrap();
    assert_eq!(
        device::run(machine.as_mut(), &program, &columns, None, shape),
        Answer::Done(expected)
    );
}

/// One random value of some type from the pool, extended by a random operation.
fn grow(b: &mut Builder, random: &mut Random, pool: &mut Vec<Value>) {
    let pick =
        |random: &mut Random, pool: &[Value], test: &dyn Fn(Type) -> bool| -> Option<Value> {
            let fits: Vec<Value> = pool.iter().copied().filter(|v| test(v.kind())).collect();
            (!fits.is_empty()).then(|| fits[random.below(fits.len() as u64) as usize])
        };
    let Some(a) = pick(random, pool, &|_| true) else { return };
    let Some(same) = pick(random, pool, &|k| k == a.kind()) else { return };
    let condition = pick(random, pool, &|k| k == Type::Bits);
    let kind = a.kind();
    let arithmetic = [
        Arithmetic::Add,
        Arithmetic::Subtract,
        Arithmetic::Multiply,
        Arithmetic::AddChecked,
        Arithmetic::Divide,
        Arithmetic::Remainder,
    ];
    let result = match random.below(10) {
        0 | 1 if kind.is_number() => {
            b.arithmetic_or(arithmetic[random.below(3) as usize], a, same, OnError::Raise)
        }
        2 if kind.is_integer() => {
            b.arithmetic_or(arithmetic[3 + random.below(3) as usize], a, same, OnError::Null)
        }
        3 => {
            let comparisons = [
                Comparison::Equal,
                Comparison::Less,
                Comparison::GreaterOrEqual,
                Comparison::NotEqual,
            ];
            b.compare(comparisons[random.below(4) as usize], a, same)
        }
        4 if kind == Type::Bits => b.and(a, same),
        4 if kind == Type::Span => b.find(Find::Contains, a, same),
        4 | 5 if kind != Type::Span => {
            let to = Type::ALL[random.below(12) as usize];
            b.convert(a, to, OnError::Null)
        }
        5 => b.concatenate(a, same),
        6 if kind == Type::Bits => b.or(a, same),
        6 => b.distinct(a, same, random.below(2) == 0),
        7 => match condition {
            Some(c) => b.case(c, |_| Ok(a), |_| Ok(same)),
            None => Ok(b.is_null(a, true)),
        },
        8 => b.coalesce(a, |_| Ok(same)),
        _ => match condition {
            Some(c) => b.null_if(a, c),
            None => Ok(b.is_null(a, false)),
        },
    };
    pool.push(result.unwrap());
}

#[test]
fn random_programs() {
    let Some(mut machine) = device::machine() else { return };
    let mut done = 0;
    for round in 0..60u64 {
        let mut random = Random(seed().wrapping_mul(31) + round);
        let kinds: Vec<Type> = (0..4).map(|_| Type::ALL[random.below(13) as usize]).collect();
        let nullable: Vec<bool> = kinds.iter().map(|_| random.below(2) == 0).collect();
        let inputs = kinds
            .iter()
            .zip(&nullable)
            .map(|(kind, nullable)| Input { kind: *kind, nullable: *nullable })
            .collect();
        let mut b = Builder::new(inputs);
        let mut pool: Vec<Value> = (0..kinds.len()).map(|c| b.column(c).unwrap()).collect();
        for kind in &kinds {
            pool.push(b.constant(&cell(&mut random, *kind)).unwrap());
        }
        for _ in 0..random.below(14) + 3 {
            grow(&mut b, &mut random, &mut pool);
        }
        if let Some(keep) = pool
            .iter()
            .rev()
            .copied()
            .find(|v| v.kind() == Type::Bits)
            .filter(|_| random.below(2) == 0)
        {
            b.filter(keep).unwrap();
        }
        for value in pool.iter().rev().take(5) {
            b.output(*value).unwrap();
        }
        let Ok(program) = b.finish() else { continue };
        let rows = random.below(3000) as usize;
        let columns: Vec<HostColumn> = kinds
            .iter()
            .zip(&nullable)
            .map(|(kind, nullable)| column(&mut random, *kind, rows, *nullable))
            .collect();
        let answer = device::run(
            machine.as_mut(),
            &program,
            &columns,
            None,
            Shape { heap: 1 << 24, ..Shape::default() },
        );
        match (reference::run(&program, &columns, None), answer) {
            (Err(_), Answer::Rerun) => {}
            // A heap that is too small, or strings of 2 GiB: not what this test is about.
            (_, Answer::HeapFull) => continue,
            (Ok(expected), answer @ Answer::Done(_)) => {
                assert_answer(&format!("round {round}"), &answer, &expected, &program)
            }
            (expected, answer) => panic!(
                "round {round}: {:?} against {answer:?}\n{program}",
                expected.map(|e| e.rows.len())
            ),
        }
        done += 1;
    }
    assert!(done > 30, "{done} programs ran");
}
