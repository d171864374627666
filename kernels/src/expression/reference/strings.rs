//! Strings, by characters.

use super::super::constant::Constant;
use super::super::format::{FLAG_IGNORE_CASE, FLAG_OPTION, Instruction, Opcode};
use super::super::types::Type;
use super::numbers::integer;
use super::row::{Computed, Row, decode_span};

pub(super) fn compute(
    row: &Row<'_>,
    i: &Instruction,
    op: Opcode,
    operands: &[Constant; 3],
) -> Computed {
    use Opcode as O;
    let Constant::Bytes(a) = &operands[0] else { return Computed::Error };
    let b = match &operands[1] {
        Constant::Bytes(b) => b.as_slice(),
        _ => &[],
    };
    let Ok(text) = std::str::from_utf8(a) else { return Computed::Host };
    let bit = |value| Computed::Value(Constant::Bool(value));
    let bytes = |value: &[u8]| Computed::Value(Constant::Bytes(value.to_vec()));
    match op {
        O::Equal => bit(a.as_slice() == b),
        O::Less => bit(a.as_slice() < b),
        O::InList => bit(in_list(row, i, a)),
        O::Like => like(row, i, text),
        O::Find => bit(match i.immediate {
            0 => a.starts_with(b),
            1 => a.ends_with(b),
            _ => b.is_empty() || a.windows(b.len()).any(|window| window == b),
        }),
        O::CharacterLength | O::OctetLength => {
            let length = if op == O::OctetLength { a.len() } else { text.chars().count() };
            let to = Type::from_tag(i.kind_to).unwrap_or(Type::I32);
            Computed::Value(Constant::integer(to, i128::try_from(length).unwrap_or(0)))
        }
        O::Substring => substring(i, text, &operands[1], &operands[2]),
        O::ToUpper | O::ToLower if !a.is_ascii() => Computed::Host,
        O::ToUpper => bytes(&a.to_ascii_uppercase()),
        O::ToLower => bytes(&a.to_ascii_lowercase()),
        O::Concatenate => bytes(&[a, b].concat()),
        O::Trim => {
            let removed = |byte: &&u8| b.contains(byte);
            let skip = if i.immediate & 1 != 0 { a.iter().take_while(removed).count() } else { 0 };
            let rest = a.get(skip..).unwrap_or_default();
            let drop = if i.immediate & 2 != 0 {
                rest.iter().rev().take_while(removed).count()
            } else {
                0
            };
            bytes(rest.get(..rest.len() - drop).unwrap_or_default())
        }
        _ => Computed::Error,
    }
}

/// Characters `start..start + count` of numbers from 1, in 128 bits so that nothing overflows.
fn substring(i: &Instruction, text: &str, start: &Constant, count: &Constant) -> Computed {
    let (Some(start), Some(count)) = (integer(start), integer(count)) else {
        return Computed::Error;
    };
    let to_end = i.flags & FLAG_OPTION != 0;
    if start == i128::from(i64::MIN) || count < 0 && !to_end {
        return Computed::Error;
    }
    let numbered = text.chars().zip(1i128..);
    let part: String = numbered
        .filter(|(_, n)| *n >= start && (to_end || *n < start + count))
        .map(|(c, _)| c)
        .collect();
    Computed::Value(Constant::text(&part))
}

/// By trying every length for each `%`: exponential, and plainly right.
fn like(row: &Row<'_>, i: &Instruction, text: &str) -> Computed {
    let ignore_case = i.flags & FLAG_IGNORE_CASE != 0;
    if ignore_case && !text.is_ascii() {
        return Computed::Host;
    }
    let start = usize::try_from(i.immediate & 0xffff_ffff).unwrap_or(usize::MAX);
    let count = usize::try_from(i.immediate >> 32).unwrap_or(0);
    let tokens: Vec<u16> = row
        .program
        .blob
        .get(start..start + count * 2)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    Computed::Value(Constant::Bool(matches(&tokens, &text)))
}

fn matches(tokens: &[u16], text: &str) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return text.is_empty() };
    match *token {
        0x101 => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| matches(rest, &text[at..])),
        0x100 => text.chars().next().is_some_and(|c| matches(rest, &text[c.len_utf8()..])),
        byte => {
            // Literal bytes come in whole characters.
            let Some(first) = text.chars().next() else { return false };
            let mut buffer = [0; 4];
            let encoded = first.encode_utf8(&mut buffer).as_bytes();
            u16::from(encoded[0]) == byte
                && tokens.len() >= encoded.len()
                && encoded.iter().zip(tokens).all(|(b, t)| u16::from(*b) == *t)
                && matches(&tokens[encoded.len()..], &text[encoded.len()..])
        }
    }
}

fn in_list(row: &Row<'_>, i: &Instruction, a: &[u8]) -> bool {
    let start = usize::try_from(i.immediate & 0xffff_ffff).unwrap_or(usize::MAX);
    let count = usize::try_from(i.immediate >> 32).unwrap_or(0);
    let list = row.program.blob.get(start..start + count * 16).unwrap_or_default();
    list.chunks_exact(16).any(|entry| row.blob_bytes(decode_span(entry)) == a)
}
