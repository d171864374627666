//! Registers, shared memory, stack and spills of every kernel, as ptxas reports them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::compile::Object;
use crate::{Result, write as write_file};

/// What ptxas says about one kernel on one architecture, all but the first in bytes.
#[derive(Default, Clone, Copy)]
struct Usage {
    registers: u32,
    shared: u32,
    stack: u32,
    spills: u32,
}

/// `resources.txt` in OUT_DIR: a line per kernel, a group of figures per architecture. The test
/// `resources` compares it with the checked-in table.
pub(crate) fn write(out: &Path, objects: &[Object]) -> Result<()> {
    let mut table: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for object in objects {
        for part in object.parts.iter().filter(|part| !part.ptx) {
            for (kernel, u) in parse(&part.log)? {
                let arch = part.arch;
                let text =
                    format!("sm_{arch}={}/{}/{}/{}", u.registers, u.shared, u.stack, u.spills);
                table.entry((object.name.clone(), kernel)).or_default().push(text);
            }
        }
    }
    let mut text = String::from(
        "# image kernel, then per architecture registers/shared bytes/stack bytes/spilled bytes.\n\
         # Written by: STAFFA_BLESS=1 cargo test -p staffa-kernels --test resources\n",
    );
    for ((image, kernel), figures) in table {
        let _ = writeln!(text, "{image} {kernel} {}", figures.join(" "));
    }
    write_file(&out.join("resources.txt"), text)
}

/// The kernels of one source, by name; the same on every architecture.
pub(crate) fn kernels(object: &Object) -> Result<Vec<String>> {
    let part = object.parts.first().ok_or("no architecture to build for")?;
    Ok(parse(&part.log)?.into_keys().collect())
}

/// Reads `ptxas -v`:
/// ```text
/// ptxas info    : Compiling entry function 'k' for 'sm_80'
/// ptxas info    : Function properties for k
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 10 registers, used 1 barriers, 256 bytes smem, 372 bytes cmem[0]
/// ```
fn parse(log: &str) -> Result<BTreeMap<String, Usage>> {
    let mut usages: BTreeMap<String, Usage> = BTreeMap::new();
    let mut current = String::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            current = rest.split('\'').next().unwrap_or_default().to_owned();
            usages.insert(current.clone(), Usage::default());
            continue;
        }
        let Some(usage) = usages.get_mut(&current) else { continue };
        if line.contains("bytes stack frame") {
            usage.stack += before(line, " bytes stack frame")?;
            usage.spills +=
                before(line, " bytes spill stores")? + before(line, " bytes spill loads")?;
        } else if line.contains("registers") {
            usage.registers = before(line, " registers")?;
            if line.contains(" bytes smem") {
                usage.shared = before(line, " bytes smem")?;
            }
        }
    }
    Ok(usages)
}

/// The number in front of `unit`.
fn before(line: &str, unit: &str) -> Result<u32> {
    line.split(unit)
        .next()
        .and_then(|head| head.rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("ptxas wrote a line that is not understood: {line}"))
}
