//! Both sides of `include/staffa/abi.h` agree: a C++ program prints every struct's size, alignment and
//! fields, and every constant; Rust says the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use staffa_kernels::abi::{
    BLOCK, Checkpoint, Column, ColumnKind, CompactArgs, CompressedPage, DecompressArgs, ErrorCode,
    ErrorSlot, FixedArgs, HybridArgs, LEVELS_PREFIXED, LevelsArgs, Page, PageSet, PageState, Span,
    StringsArgs, TILE_ROWS, TILE_WORDS, Utf8Args,
};

/// One line a struct: C++ and Rust name, then the fields; `rust = cpp` where a name is a keyword.
macro_rules! structs {
    ($($cpp:ident $rust:ident { $($field:ident $(= $other:ident)?),+ $(,)? })+) => {
        const CPP: &[(&str, &[&str])] =
            &[$((stringify!($cpp), &[$(structs!(@name $field $($other)?)),+])),+];

        fn rust() -> BTreeMap<String, usize> {
            let mut found = BTreeMap::new();
            $(
                let name = stringify!($cpp);
                found.insert(format!("{name} size"), size_of::<$rust>());
                found.insert(format!("{name} align"), align_of::<$rust>());
                let mut end = 0;
                $(
                    let field = structs!(@name $field $($other)?);
                    let bytes = size_of_field(|x: &$rust| std::mem::size_of_val(&x.$field));
                    found.insert(format!("{name}.{field} offset"), offset_of!($rust, $field));
                    found.insert(format!("{name}.{field} bytes"), bytes);
                    // In order and without gaps: no field is missing from this list.
                    assert_eq!(offset_of!($rust, $field), end, "{name}.{field}");
                    end += bytes;
                )+
                assert_eq!(size_of::<$rust>(), end, "{name} has fields or padding that are not listed");
            )+
            found
        }
    };
    (@name $field:ident $other:ident) => { stringify!($other) };
    (@name $field:ident) => { stringify!($field) };
}

fn size_of_field<T: bytemuck::Zeroable>(size: impl Fn(&T) -> usize) -> usize {
    size(&T::zeroed())
}

structs! {
    column Column {
        values, validity, dictionary, rows, dictionary_rows, kind, dictionary_kind, reserved0, width,
        type_ = type, scale, precision, reserved1, reserved2,
    }
    span Span { address, length, prefix }
    error_slot ErrorSlot { code, where_ = where, row, detail, bound, reserved }
    page Page {
        body, body_bytes, rows, first_row, first_tile, ordinal, levels_offset, levels_bytes, max_level,
        level_width, reserved0, heap, heap_bytes,
    }
    page_state PageState {
        values_offset, values_bytes, valid, consumed, heap_needed, levels_offset, levels_bytes,
    }
    checkpoint Checkpoint { data, length, taken, next }
    compressed_page CompressedPage { source, target, source_bytes, target_bytes, ordinal, reserved }
    page_set PageSet { pages, states, words, tile_valid, error, count, tiles }
    levels_args LevelsArgs { set, checkpoints, validity, nulls, rows, reserved }
    fixed_args FixedArgs { set, values, compact, rows, stored, width, offset, factor }
    hybrid_args HybridArgs { set, checkpoints, values, dictionary, dictionary_rows, rows, width, form }
    compact_args CompactArgs { set, output, lengths, prefixes, rows, direct }
    utf8_args Utf8Args { spans, error, rows, ordinal }
    decompress_args DecompressArgs { pages, error, count, reserved }
    strings_args StringsArgs { spans, count, offsets, total, look_back, target, target_bytes, rows, reserved }
}

const CONSTANTS: [(&str, u64); 9] = [
    ("TILE_ROWS", TILE_ROWS as u64),
    ("TILE_WORDS", TILE_WORDS as u64),
    ("BLOCK", BLOCK as u64),
    ("LEVELS_PREFIXED", LEVELS_PREFIXED as u64),
    ("KIND_FIXED", ColumnKind::Fixed as u64),
    ("KIND_BITS", ColumnKind::Bits as u64),
    ("KIND_BYTES", ColumnKind::Bytes as u64),
    ("KIND_SPANS", ColumnKind::Spans as u64),
    ("KIND_CODES", ColumnKind::Codes as u64),
];

/// `IndexRange` is `ERROR_INDEX_RANGE` in C++.
fn cpp_name(code: ErrorCode) -> String {
    let mut name = String::from("ERROR");
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Compiles and runs a program that prints `name value` lines; `None` where there is no C++ compiler.
fn cpp() -> Option<BTreeMap<String, usize>> {
    let mut source = String::from(
        "#include \"staffa/abi.h\"\n#include <cstddef>\n#include <cstdio>\nint main() {\n",
    );
    for (name, fields) in CPP {
        let _ = writeln!(source, "using t_{name} = staffa::{name};");
        let _ = writeln!(
            source,
            "std::printf(\"{name} size,%zu\\n{name} align,%zu\\n\", sizeof(t_{name}), alignof(t_{name}));"
        );
        for field in *fields {
            let _ = writeln!(
                source,
                "std::printf(\"{name}.{field} offset,%zu\\n{name}.{field} bytes,%zu\\n\", offsetof(t_{name}, {field}), \
                 sizeof(t_{name}::{field}));"
            );
        }
    }
    let codes = ErrorCode::ALL.iter().map(|code| cpp_name(*code));
    for name in CONSTANTS.iter().map(|(name, _)| (*name).to_owned()).chain(codes) {
        let _ = writeln!(source, "std::printf(\"{name},%zu\\n\", size_t(staffa::{name}));");
    }
    source.push_str("}\n");
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("abi.cpp"), folder.path().join("abi"));
    std::fs::write(&from, source).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let run = Command::new(&compiler)
        .args(["-std=c++17", "-Wall", "-Werror", "-I", include, "-o"])
        .arg(&to)
        .arg(&from)
        .output();
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            eprintln!("SKIPPED: {compiler}: {error}");
            return None;
        }
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed = Command::new(&to).output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    Some(
        text.lines()
            .map(|line| line.rsplit_once(',').unwrap())
            .map(|(k, v)| (k.to_owned(), v.parse().unwrap()))
            .collect(),
    )
}

#[test]
fn both_sides_have_one_layout() {
    let mut expected = rust();
    expected.extend(CONSTANTS.iter().map(|(name, value)| ((*name).to_owned(), *value as usize)));
    expected.extend(ErrorCode::ALL.iter().map(|code| (cpp_name(*code), *code as usize)));
    let Some(found) = cpp() else { return };
    assert_eq!(found, expected);
    assert!(found.len() > 200, "{} facts compared", found.len());
}

/// docs/design/columns.md's table, which others build on.
#[test]
fn the_column_is_as_documented() {
    assert_eq!((size_of::<Column>(), size_of::<Span>(), size_of::<ErrorSlot>()), (64, 16, 32));
    let offsets = [
        (offset_of!(Column, rows), 24),
        (offset_of!(Column, kind), 32),
        (offset_of!(Column, width), 36),
        (offset_of!(Column, type_), 40),
        (offset_of!(Column, scale), 44),
        (offset_of!(Column, precision), 48),
    ];
    assert!(offsets.iter().all(|(found, expected)| found == expected), "{offsets:?}");
}

#[test]
fn every_error_code_has_its_number_and_text() {
    for (i, code) in ErrorCode::ALL.iter().enumerate() {
        assert_eq!(*code as usize, i + 1);
        assert_eq!(ErrorCode::from_number(*code as u32), Some(*code));
        let slot = ErrorSlot { code: *code as u32, ..ErrorSlot::default() };
        assert!(slot.check().unwrap_err().to_string().contains(code.meaning()));
    }
    assert!(ErrorCode::from_number(0).is_none());
    assert!(ErrorSlot { code: 9999, ..ErrorSlot::default() }.check().is_err());
    assert!(ErrorSlot::default().check().is_ok());
}
