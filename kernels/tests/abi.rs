//! Both sides of `include/staffa/abi.h` agree: a C++ program prints every struct's size, alignment and
//! fields, and every constant; Rust says the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use staffa_kernels::abi::{
    AggregateArgs, BLOCK, Checkpoint, Column, ColumnKind, CompactArgs, CompressedPage,
    DecompressArgs, ErrorCode, ErrorSlot, FinishArgs, FixedArgs, GatherArgs, GroupArgs, GroupState,
    HASH_DICTIONARY, HashArgs, HashRule, HybridArgs, JoinBuildArgs, JoinMatchedArgs, JoinProbeArgs,
    JoinRetrieveArgs, JoinScanArgs, JoinState, JoinTableAbi, KEY_OUTSIDE, KeyRange, KeyRule,
    KeySet, LEVELS_PREFIXED, LevelsArgs, MarkArgs, MomentsArgs, MoveColumn, NONE, OwnArgs,
    PackArgs, PackField, Page, PageSet, PageState, PartitionHeapArgs, PartitionIdsArgs,
    PartitionMoveArgs, PartitionOffsetsArgs, RADIX, RADIX_BITS, RadixCountArgs, RadixPassArgs,
    RadixStartsArgs, RangeArgs, RowsAbi, SLOT_FRESH, SORT_DESCENDING, SORT_NULLABLE,
    SORT_NULLS_LAST, SORT_ROWS, STRING_BITS, SelectArgs, SortField, SortKeysArgs, SortSettleArgs,
    SortTiesArgs, Span, StringsArgs, TILE_ROWS, TILE_WORDS, TopArgs, TopState, Utf8Args,
    ValueOrder, WordForm,
};

/// Every header whose structs are compared.
const HEADERS: [&str; 7] = [
    "abi.h",
    "keys/abi.h",
    "group_by/abi.h",
    "columns/abi.h",
    "join/abi.h",
    "partition/abi.h",
    "sort/abi.h",
];

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
    key_set KeySet { columns, count, rows }
    row_list RowsAbi { selection, count, stop, rows, reserved }
    hash_args HashArgs { list, keys, hashes, matchable }
    range_args RangeArgs { list, values, range }
    key_range KeyRange { low, high, wide, nulls }
    pack_field PackField { values, low, high, stride_low, stride_high, nullable, reserved, reserved1 }
    pack_args PackArgs { list, fields, keys, matchable, outside, count, nulls_differ }
    group_state GroupState { groups, fresh, overflow, commits }
    group_args GroupArgs {
        list, keys, stored, packed, stored_packed, hashes, stored_hashes, slots, state, position_slots,
        fresh_slots, fresh_rows, ids, mask, capacity, probes, packed_bytes, direct, reserved,
    }
    aggregate_args AggregateArgs {
        list, ids, filter, filter_validity, value, words, seen, nan, elected, counts, sums, groups, form, greatest, reserved,
    }
    moments_args MomentsArgs {
        stop, ids, counts, means, sums, deviations, into_counts, into_means, into_deviations, rows, groups,
    }
    finish_args FinishArgs { words, values, seen, first, groups, width, form, reserved }
    gather_args GatherArgs { list, source, values, validity, first, capacity, rule }
    own_args OwnArgs { spans, offsets, heap, rows, reserved }
    select_args SelectArgs { bits, numbers, count, look_back, rows, inverted }
    mark_args MarkArgs { list, filter, filter_validity, bits, rows, reserved }
    join_state JoinState { overflow, duplicates }
    join_table JoinTableAbi {
        keys, selection, packed, slots, counts, starts, rows, state, matched, mask, probes, direct, unique,
    }
    join_build_args JoinBuildArgs { list, table, hashes, matchable, position_slots, ranks }
    join_scan_args JoinScanArgs { counts, starts, look_back, slots }
    join_probe_args JoinProbeArgs {
        list, table, keys, packed, hashes, matchable, found, matches, offsets, look_back, outer, reserved,
    }
    join_retrieve_args JoinRetrieveArgs {
        list, table, found, offsets, first, build, probe, count, limit, reserved,
    }
    join_matched_args JoinMatchedArgs { matched, position_slots, bits, rows, reserved }
    partition_ids_args PartitionIdsArgs { list, keys, ids, hashes, reciprocal, partitions, reserved }
    partition_offsets_args PartitionOffsetsArgs { list, ids, starts, offsets, partitions, reserved }
    move_column MoveColumn { source, values, validity }
    partition_move_args PartitionMoveArgs { list, columns, ids, tile_starts, order, count, reserved }
    partition_heap_args PartitionHeapArgs { list, source, total }
    radix_count_args RadixCountArgs { list, keys, counts, first_shift, passes }
    radix_starts_args RadixStartsArgs { counts, starts, trivial }
    radix_pass_args RadixPassArgs {
        list, keys_in, keys_out, rows_in, rows_out, starts, trivial, look_back, tile_starts, shift, reserved,
    }
    sort_field SortField { values, unit, bits, flags, shift }
    sort_keys_args SortKeysArgs { list, order, segments, units, fields, keys, rows, count, segment_shift }
    sort_settle_args SortSettleArgs { list, keys, rows, order, segments, depths, units }
    sort_ties_args SortTiesArgs { list, values, order, segments, depths, units, bits }
    top_state TopState { low, high, left, all, reserved }
    top_args TopArgs {
        list, keys, counts, state, look_back, keys_out, rows_out, count_out, shift, capacity, ties, reserved,
    }
}

const CONSTANTS: [(&str, u64); 42] = [
    ("TILE_ROWS", TILE_ROWS as u64),
    ("TILE_WORDS", TILE_WORDS as u64),
    ("BLOCK", BLOCK as u64),
    ("LEVELS_PREFIXED", LEVELS_PREFIXED as u64),
    ("KIND_FIXED", ColumnKind::Fixed as u64),
    ("KIND_BITS", ColumnKind::Bits as u64),
    ("KIND_BYTES", ColumnKind::Bytes as u64),
    ("KIND_SPANS", ColumnKind::Spans as u64),
    ("KIND_CODES", ColumnKind::Codes as u64),
    ("NONE", NONE as u64),
    ("RULE_BITS", KeyRule::Bits as u64),
    ("RULE_FLOAT16", KeyRule::Float16 as u64),
    ("RULE_FLOAT32", KeyRule::Float32 as u64),
    ("RULE_FLOAT64", KeyRule::Float64 as u64),
    ("RULE_SIGNED", KeyRule::Signed as u64),
    ("KEY_OUTSIDE", KEY_OUTSIDE as u64),
    ("SLOT_FRESH", SLOT_FRESH as u64),
    ("FORM_UNSIGNED", WordForm::Unsigned as u64),
    ("FORM_SIGNED", WordForm::Signed as u64),
    ("FORM_ORDERED_UNSIGNED", WordForm::OrderedUnsigned as u64),
    ("FORM_ORDERED_SIGNED", WordForm::OrderedSigned as u64),
    ("FORM_ORDERED_FLOAT", WordForm::OrderedFloat as u64),
    ("FORM_FLOAT", WordForm::Float as u64),
    ("FORM_ONE", WordForm::One as u64),
    ("HASH_NUMBER", HashRule::Number as u64),
    ("HASH_FLOAT", HashRule::Float as u64),
    ("HASH_BOOLEAN", HashRule::Boolean as u64),
    ("HASH_STRING", HashRule::String as u64),
    ("HASH_BINARY", HashRule::Binary as u64),
    ("HASH_VIEW", HashRule::View as u64),
    ("HASH_DICTIONARY", HASH_DICTIONARY as u64),
    ("RADIX_BITS", RADIX_BITS as u64),
    ("RADIX", RADIX as u64),
    ("SORT_ROWS", SORT_ROWS as u64),
    ("ORDER_UNSIGNED", ValueOrder::Unsigned as u64),
    ("ORDER_SIGNED", ValueOrder::Signed as u64),
    ("ORDER_FLOAT", ValueOrder::Float as u64),
    ("ORDER_BYTES", ValueOrder::Bytes as u64),
    ("SORT_NULLABLE", SORT_NULLABLE as u64),
    ("SORT_NULLS_LAST", SORT_NULLS_LAST as u64),
    ("SORT_DESCENDING", SORT_DESCENDING as u64),
    ("STRING_BITS", STRING_BITS as u64),
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
    let mut source = String::new();
    for header in HEADERS {
        let _ = writeln!(source, "#include \"staffa/{header}\"");
    }
    source.push_str("#include <cstddef>\n#include <cstdio>\nint main() {\n");
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
