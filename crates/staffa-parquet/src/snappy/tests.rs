//! Agreement with the `snap` crate on valid, damaged and hostile blocks.
//!
//! Inputs and outputs end at a page that can't be touched, and outputs also begin behind one, so
//! that an access out of bounds ends the test. Seeds are fixed. `STAFFA_SNAPPY_ROUNDS` multiplies
//! the work.
#![expect(unsafe_code, reason = "memory between forbidden pages")]

use std::mem::MaybeUninit;

use super::probe::Kind;
use super::stream::Stream;
use super::{Block, Error, alone, both, decompress, decompress_two, finish, fused, probe};

/// Xorshift64*, enough for tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }
}

/// Memory between two forbidden pages.
#[cfg(target_os = "linux")]
mod guarded {
    unsafe extern "C" {
        fn mmap(at: *mut u8, len: usize, prot: i32, flags: i32, fd: i32, off: i64) -> *mut u8;
        fn mprotect(at: *mut u8, len: usize, prot: i32) -> i32;
    }
    const PAGE: usize = 65536;
    pub(super) struct Guarded(*mut u8, usize);
    impl Guarded {
        pub(super) fn new(capacity: usize) -> Self {
            let size = capacity.next_multiple_of(PAGE);
            // SAFETY: a fresh private anonymous mapping, of which both ends are closed.
            unsafe {
                let at = mmap(std::ptr::null_mut(), size + 2 * PAGE, 3, 0x22, -1, 0);
                assert!(!at.is_null() && at as isize != -1);
                assert_eq!(mprotect(at, PAGE, 0), 0);
                assert_eq!(mprotect(at.add(PAGE + size), PAGE, 0), 0);
                Self(at.add(PAGE), size)
            }
        }
        /// The last `len` bytes.
        pub(super) fn tail(&mut self, len: usize) -> &mut [u8] {
            assert!(len <= self.1);
            // SAFETY: mapped, readable and writable, borrowed with `self`.
            unsafe { std::slice::from_raw_parts_mut(self.0.add(self.1 - len), len) }
        }
        /// The first `len` bytes.
        pub(super) fn head(&mut self, len: usize) -> &mut [u8] {
            assert!(len <= self.1);
            // SAFETY: as `tail`.
            unsafe { std::slice::from_raw_parts_mut(self.0, len) }
        }
    }
}
#[cfg(not(target_os = "linux"))]
mod guarded {
    pub(super) struct Guarded(Vec<u8>);
    impl Guarded {
        pub(super) fn new(capacity: usize) -> Self {
            Self(vec![0; capacity])
        }
        pub(super) fn tail(&mut self, len: usize) -> &mut [u8] {
            let at = self.0.len() - len;
            &mut self.0[at..]
        }
        pub(super) fn head(&mut self, len: usize) -> &mut [u8] {
            &mut self.0[..len]
        }
    }
}
use guarded::Guarded;

const MOST: usize = 1 << 18;

struct Bench {
    input: [Guarded; 2],
    output: [Guarded; 2],
    ok: usize,
    bad: usize,
}

/// What `snap` says of a block that is to be `len` long.
fn by_snap(input: &[u8], len: usize) -> Option<Vec<u8>> {
    if input.is_empty() || snap::raw::decompress_len(input) != Ok(len) {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(input).ok()
}

fn block<'a>(input: &'a [u8], output: &'a mut [u8]) -> Block<'a> {
    // SAFETY: of the same layout, and only ever written with initialised bytes.
    let output = unsafe { &mut *(std::ptr::from_mut(output) as *mut [MaybeUninit<u8>]) };
    Block { input, output }
}

/// Around the probe: the tokens of whatever block.
fn begin<'a>(block: Block<'a>) -> Result<Stream<'a>, Error> {
    let (len, at) = probe::header(block.input).ok_or(Error::Header)?;
    if len != block.output.len() as u64 {
        return Err(Error::Size(len));
    }
    Ok(Stream::new(block.input, at, block.output))
}

/// One of the loops on whatever block.
fn forced<const FUSE: bool, const BMI2: bool>(block: Block<'_>) -> Result<(), Error> {
    let mut one = [begin(block)?];
    if BMI2 {
        fused::run::<1, FUSE>(&mut one)?;
    } else {
        fused::run_any::<1, FUSE, false>(&mut one)?;
    }
    one[0].finish()
}

fn forced_two<const FUSE: bool>(a: Block<'_>, b: Block<'_>) -> Option<[Result<(), Error>; 2]> {
    let mut two = [begin(a).ok()?, begin(b).ok()?];
    let _ = fused::run::<2, FUSE>(&mut two);
    let kind = if FUSE { Kind::Pairs } else { Kind::Tokens };
    Some(two.map(|stream| finish(stream, kind)))
}

impl Bench {
    fn new() -> Self {
        let pair = || [Guarded::new(MOST), Guarded::new(MOST)];
        Self { input: pair(), output: pair(), ok: 0, bad: 0 }
    }

    /// All ways to decompress `a`, and `a` with `b`, against `snap`.
    fn check(&mut self, a: &(Vec<u8>, usize), b: &(Vec<u8>, usize)) {
        let expected = [by_snap(&a.0, a.1), by_snap(&b.0, b.1)];
        for e in &expected {
            if e.is_some() { self.ok += 1 } else { self.bad += 1 }
        }
        let [ia, ib] = &mut self.input;
        let [oa, ob] = &mut self.output;
        let (ia, ib) = (ia.tail(a.0.len()), ib.tail(b.0.len()));
        ia.copy_from_slice(&a.0);
        ib.copy_from_slice(&b.0);
        let (oa, ob) = if (self.ok + self.bad) % 4 < 2 {
            (oa.tail(a.1), ob.tail(b.1))
        } else {
            (oa.head(a.1), ob.head(b.1))
        };
        for how in 0..4 {
            oa.fill(0xA5);
            let result = match how {
                0 => alone(block(ia, oa)),
                1 => forced::<true, true>(block(ia, oa)),
                2 => forced::<true, false>(block(ia, oa)),
                _ => forced::<false, false>(block(ia, oa)),
            };
            assert_eq!(result.is_ok(), expected[0].is_some(), "{how}: {result:?}");
            if let Some(bytes) = &expected[0] {
                assert!(bytes == oa, "{how}");
            }
        }
        for how in 0..3 {
            oa.fill(0x5A);
            ob.fill(0xA5);
            let (p, q) = (block(ia, oa), block(ib, ob));
            let results = match how {
                0 => Some(both(p, q)),
                1 => forced_two::<true>(p, q),
                _ => forced_two::<false>(p, q),
            };
            let Some(results) = results else { continue };
            for (i, out) in [&*oa, &*ob].into_iter().enumerate() {
                assert_eq!(results[i].is_ok(), expected[i].is_some(), "two {how}.{i}");
                if let Some(bytes) = &expected[i] {
                    assert!(bytes == out, "two {how}.{i}");
                }
            }
        }
    }
}

fn compress(bytes: &[u8]) -> (Vec<u8>, usize) {
    (snap::raw::Encoder::new().compress_vec(bytes).expect("compress"), bytes.len())
}

/// Values as in a column: `kind` chooses among prices, keys that repeat, random keys, text, noise.
fn column(random: &mut Random, kind: usize) -> Vec<u8> {
    let n = random.below(3000);
    let mut key = random.next() % 1_000_000;
    let mut out = Vec::new();
    for _ in 0..n {
        let value = match kind {
            0 => 90_000 + random.next() % 10_000_000,
            1 => {
                key += u64::from(random.below(4) == 0) * (1 + random.next() % 25);
                key
            }
            2 => random.next() % 200_000,
            3 => random.next() % 40,
            4 => {
                let words = ["furiously ", "even ", "deposits ", "the ", "sly", ". ", "a"];
                out.extend_from_slice(words[random.below(words.len())].as_bytes());
                continue;
            }
            5 => random.next() >> random.below(64),
            _ => random.next(),
        };
        out.extend_from_slice(&value.to_le_bytes());
    }
    out
}

/// A stream of random tokens with offsets that are mostly valid, and its true length.
fn tokens(random: &mut Random) -> (Vec<u8>, usize) {
    let (mut body, mut len) = (Vec::new(), 0usize);
    let style = random.below(4);
    for _ in 0..random.below(600) {
        let kind = if style == 0 { random.below(8) } else { random.below(3) };
        if len == 0 || kind == 0 || (style == 1 && body.len() % 2 == 0) {
            let n = match random.below(40) {
                0 => 1 + random.below(400),
                1 => 1 + random.below(66),
                _ => 1 + random.below(5),
            };
            // The length as short as may be, or in more bytes than it needs.
            let wide = (1 + random.below(4)).max(if n > 256 { 2 } else { 1 });
            if n <= 60 && random.below(8) != 0 {
                body.push(((n - 1) << 2) as u8);
            } else {
                body.push(((59 + wide) << 2) as u8);
                body.extend_from_slice(&((n - 1) as u32).to_le_bytes()[..wide]);
            }
            body.extend((0..n).map(|_| random.next() as u8));
            len += n;
            continue;
        }
        let mut offset = match random.below(4) {
            0 => 8,
            1 => 1 + random.below(20),
            _ => 1 + random.below(len),
        };
        if random.below(500) != 0 {
            offset = offset.min(len);
        }
        let n = if random.below(3) == 0 { 1 + random.below(64) } else { 4 + random.below(5) };
        if offset < 2048 && (4..12).contains(&n) && random.below(2) == 0 {
            body.extend([(1 | (n - 4) << 2 | offset >> 8 << 5) as u8, offset as u8]);
        } else if offset < 65536 && random.below(30) != 0 {
            body.extend([(2 | (n - 1) << 2) as u8, offset as u8, (offset >> 8) as u8]);
        } else {
            body.push((3 | (n - 1) << 2) as u8);
            body.extend_from_slice(&(offset as u32).to_le_bytes());
        }
        len += n;
    }
    (with_header(len as u64, &body), len)
}

fn with_header(mut len: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while len >= 128 {
        out.push(len as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(body);
    out
}

/// Damages a block, or what is claimed of it.
fn damage(random: &mut Random, block: &(Vec<u8>, usize)) -> (Vec<u8>, usize) {
    let (mut bytes, mut len) = block.clone();
    match random.below(6) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 => {
            // Another length, in the header and in the claim.
            let body = probe::header(&bytes).map_or(0, |h| h.1);
            len = (len + random.below(40)).saturating_sub(random.below(40));
            bytes = with_header(len as u64, &bytes[body..]);
        }
        2 => len = random.below(len + 2),
        _ => {
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                if let Some(b) = bytes.get_mut(at) {
                    *b = match random.below(3) {
                        0 => random.next() as u8,
                        1 => *b ^ (1 << random.below(8)),
                        _ => 0,
                    };
                }
            }
        }
    }
    (bytes, len)
}

fn rounds(n: usize) -> usize {
    n * std::env::var("STAFFA_SNAPPY_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(1)
}

#[test]
fn columns_agree_with_snap() {
    let (mut random, mut bench) = (Random(1), Bench::new());
    for round in 0..rounds(300) {
        let a = compress(&column(&mut random, round % 7));
        let kind = random.below(7);
        let b = compress(&column(&mut random, kind));
        bench.check(&a, &b);
    }
    assert_eq!(bench.bad, 0);
}

#[test]
fn damaged_columns_agree_with_snap() {
    let (mut random, mut bench) = (Random(2), Bench::new());
    for round in 0..rounds(300) {
        let a = compress(&column(&mut random, round % 7));
        let kind = random.below(7);
        let b = compress(&column(&mut random, kind));
        for _ in 0..4 {
            let hurt = damage(&mut random, &a);
            bench.check(&hurt, &b);
            bench.check(&b, &hurt);
        }
    }
    assert!(bench.ok > 100 && bench.bad > 100, "{} {}", bench.ok, bench.bad);
}

#[test]
fn token_streams_agree_with_snap() {
    let (mut random, mut bench) = (Random(3), Bench::new());
    for _ in 0..rounds(1500) {
        let (a, b) = (tokens(&mut random), tokens(&mut random));
        bench.check(&a, &b);
        let hurt = damage(&mut random, &a);
        bench.check(&hurt, &b);
    }
    assert!(bench.ok > 100 && bench.bad > 100, "{} {}", bench.ok, bench.bad);
}

#[test]
fn noise_agrees_with_snap() {
    let (mut random, mut bench) = (Random(4), Bench::new());
    let blocks: Vec<_> = (0..rounds(2000))
        .map(|_| {
            let n = random.below(400);
            let mask = if random.below(2) == 0 { 0x0f } else { 0xff };
            let body: Vec<u8> = (0..n).map(|_| random.next() as u8 & mask).collect();
            let len = random.below(2000);
            (with_header(len as u64, &body), len)
        })
        .collect();
    for two in blocks.windows(2) {
        bench.check(&two[0], &two[1]);
    }
}

#[test]
fn every_offset_and_length_of_a_copy() {
    let mut bench = Bench::new();
    let nothing = compress(&[]);
    let seed: Vec<u8> = (0..40).collect();
    for offset in 0..44usize {
        for n in 1..=64usize {
            for tail in [0usize, 300] {
                let mut body = vec![(seed.len() as u8 - 1) << 2];
                body.extend_from_slice(&seed);
                // One byte from 8 back, so that the copy does not begin at a round address.
                body.extend([2, 8, 0, (2 | (n - 1) << 2) as u8, offset as u8, 0]);
                let mut len = seed.len() + 1 + n;
                for i in 0..tail {
                    body.extend([0, i as u8]);
                    len += 1;
                }
                bench.check(&(with_header(len as u64, &body), len), &nothing);
            }
        }
    }
    assert!(bench.bad > 0 && bench.ok > 40 * 64);
}

#[test]
fn headers() {
    for (input, len, ok) in [
        (&[][..], 0, false),
        (&[0], 0, true),
        (&[0x80, 0], 0, true),
        (&[0x80, 0x80, 0x80, 0x80, 0], 0, true),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], 0, false),
        (&[0x80], 0, false),
        (&[1, 0, 7], 1, true),
        (&[1, 0, 7], 2, false),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], 4, false),
    ] {
        let (mut out, mut other) = (vec![9; 3], vec![7]);
        assert_eq!(decompress(input, len, &mut out).is_ok(), ok, "{input:?}");
        assert_eq!(by_snap(input, len).is_some(), ok, "snap, {input:?}");
        assert_eq!(out.len(), if ok { len } else { 0 });
        let [one, two] = decompress_two((input, len, &mut out), (&[1, 0, 7], 1, &mut other));
        assert_eq!((one.is_ok(), out.len()), (ok, if ok { len } else { 0 }));
        assert_eq!((two, &other[..]), (Ok(()), &[7][..]));
    }
    let error = decompress(&[1, 0, 7], 2, &mut Vec::new());
    assert_eq!(error, Err(Error::Size(1)));
}

#[test]
fn kinds() {
    let mut random = Random(5);
    let mut of = |kind| {
        let bytes: Vec<u8> = (0..20).flat_map(|_| column(&mut random, kind)).collect();
        let (input, len) = compress(&bytes);
        let at = probe::header(&input).map_or(0, |h| h.1);
        probe::kind(&input[at..], len)
    };
    assert_eq!([0, 2, 4, 6].map(&mut of), [Kind::Pairs, Kind::Pairs, Kind::Tokens, Kind::Tokens]);
}
