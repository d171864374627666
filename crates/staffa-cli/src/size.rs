//! Sizes on the command line: `10g`, `512m`, `1048576`.

/// Bytes of a number with an optional suffix `b`, `k`, `kb`, `m`, `mb`, `g`, `gb`, `t` or `tb`
/// (powers of 1024, any case).
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(digits);
    let shift = match suffix {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return Err(format!("'{text}' is not a size such as 512m or 10g")),
    };
    let number: usize =
        number.parse().map_err(|_| format!("'{text}' is not a size such as 512m or 10g"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("3KB"), Ok(3 << 10));
        assert_eq!(parse("10g"), Ok(10 << 30));
        assert_eq!(parse("2T"), Ok(2 << 40));
        for bad in ["", "g", "-1g", "1.5g", "10x", "10 g", "99999999999999999999", "99999999999t"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
