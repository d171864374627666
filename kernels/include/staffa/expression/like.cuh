// LIKE: a pattern of tokens against a string.
//
// A token is a u16: a byte, or one of the two below. The host unescaped the pattern as arrow-string
// `regex_like` does. Only the last `%` is ever retried: a shorter match of an earlier one cannot help,
// because what follows it would have matched there as well. So time is length x pattern at worst and
// there is no stack.
#pragma once

#include "staffa/expression/utf8.cuh"

namespace staffa::expression {

constexpr u16 token_any_character = 0x100;  // _
constexpr u16 token_any_string = 0x101;     // %

STAFFA_DEVICE bool like(const span& s, const u16* tokens, u32 count, bool ignore_case) {
    const u8* bytes = bytes_of(s);
    u32 at = 0;
    u32 token = 0;
    u32 retry_token = 0;  // behind the last %, 0: none yet
    u32 retry_at = 0;
    while (at < s.length) {
        const u16 wanted = token < count ? tokens[token] : 0xffff;
        if (wanted == token_any_string) {
            retry_token = ++token;
            retry_at = at;
            if (token == count) return true;
            continue;
        }
        u8 byte = bytes[at];
        if (ignore_case) byte = to_lower_ascii(byte);
        if (wanted == token_any_character) {
            at += character_bytes(byte);
            ++token;
        } else if (wanted == byte) {
            ++at;
            ++token;
        } else if (retry_token != 0) {
            // Whole characters: a `_` behind the % must not begin inside one.
            retry_at += character_bytes(bytes[retry_at]);
            at = retry_at;
            token = retry_token;
        } else {
            return false;
        }
    }
    while (token < count && tokens[token] == token_any_string) ++token;
    return token == count;
}

}  // namespace staffa::expression
