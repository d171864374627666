//! Memory, and the limit that a container puts on it.

/// Where control groups, version 2 and 1, state the limit of the current one.
const LIMIT_FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Like `31.2 GiB` or `31.2 GiB, limited to 24.0 GiB by the container`.
pub(super) fn describe(physical_bytes: Option<u64>) -> Option<String> {
    let physical = physical_bytes?;
    let limits = LIMIT_FILES.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    // "max" is no number and so no limit; version 1 says "no limit" by a number beyond all memory.
    let limit = limits
        .filter_map(|text| text.trim().parse::<u64>().ok())
        .filter(|&limit| limit < physical)
        .min();
    Some(match limit {
        Some(limit) => format!("{}, limited to {} by the container", gib(physical), gib(limit)),
        None => gib(physical),
    })
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}
