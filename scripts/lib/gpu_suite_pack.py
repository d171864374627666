"""Packs release binaries for a machine without Rust, and unpacks them there.

    gpu_suite_pack.py pack FOLDER CARGO.json COMMIT     from cargo's --message-format=json
    gpu_suite_pack.py unpack FOLDER TARGET              prints `kind<TAB>name<TAB>file` lines

FOLDER holds manifest.json and one bin/*.xz for each binary. Needs nothing but Python's own modules.
"""

import hashlib
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# What is packed, by the source that cargo names (two targets are called `parquet`), in the order in
# which the suite runs it: the layers from below.
WANTED = [
    ("crates/staffa-cli/src/main.rs", "program", "staffa"),
    *((f"cuda/tests/{name}.rs", "test", name)
      for name in ["device", "stream", "buffer", "pinned", "pool", "launch", "fault"]),
    ("kernels/tests/parquet/main.rs", "test", "parquet"),
    ("kernels/tests/expression/main.rs", "test", "expression"),
    ("kernels/tests/group_by/main.rs", "test", "group_by"),
    ("kernels/tests/join/main.rs", "test", "join"),
    ("kernels/tests/partition/main.rs", "test", "partition"),
    ("kernels/tests/sort/main.rs", "test", "sort"),
    ("crates/staffa-parquet/tests/cuda.rs", "test", "cuda"),
    ("crates/staffa-parquet/tests/cuda_hostile.rs", "test", "cuda_hostile"),
    ("crates/staffa-engine/tests/lowering/main.rs", "test", "lowering"),
    ("tests/scan/main.rs", "test", "scan"),
    ("tests/gpu/main.rs", "test", "gpu"),
    ("tests/gpu_aggregate/main.rs", "test", "gpu_aggregate"),
    ("tests/gpu_join/main.rs", "test", "gpu_join"),
    ("tests/gpu_sort/main.rs", "test", "gpu_sort"),
    ("tests/gpu_differential.rs", "test", "gpu_differential"),
    ("tests/operators/main.rs", "test", "operators"),
    ("kernels/benches/parquet/main.rs", "bench", "parquet"),
]


def built(messages):
    """The program behind each source that cargo's messages name; no unit tests."""
    programs = {}
    for line in messages:
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact" or not message.get("executable"):
            continue
        kinds = message["target"]["kind"]
        if "bin" in kinds and message["profile"]["test"]:
            continue
        source = pathlib.Path(message["target"]["src_path"]).resolve()
        if ROOT in source.parents:
            programs[source.relative_to(ROOT).as_posix()] = message["executable"]
    return programs


def glibc(program):
    """The newest version of glibc whose symbols a program asks for."""
    versions = re.findall(rb"\bGLIBC_(\d+)\.(\d+)\b", program)
    major, minor = max(((int(a), int(b)) for a, b in versions), default=(0, 0))
    return f"{major}.{minor}"


def pack_one(folder, kind, name, path):
    """Strips and compresses one program; returns its entry of the manifest."""
    packed = f"bin/{name if kind == 'program' else f'{kind}-{name}'}.xz"
    stripped = folder / (packed + ".stripped")
    if subprocess.run(["strip", "-o", stripped, path], check=False).returncode != 0:
        stripped.write_bytes(pathlib.Path(path).read_bytes())
    program = stripped.read_bytes()
    stripped.unlink()
    # 64 MiB of window: the programs hold DataFusion once, not many times, so more finds nothing.
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 64 << 20}]
    data = lzma.compress(program, check=lzma.CHECK_CRC64, filters=filters)
    (folder / packed).write_bytes(data)
    return {
        "kind": kind, "name": name, "file": packed, "bytes": len(program), "packed_bytes": len(data),
        "sha256": hashlib.sha256(program).hexdigest(), "glibc": glibc(program),
    }


def pack(folder, messages, commit):
    """Writes the folder and names the sizes; fails when cargo built less than is wanted."""
    folder = pathlib.Path(folder)
    with open(messages, encoding="utf-8") as lines:
        programs = built(lines)
    missing = [source for source, _, _ in WANTED if source not in programs]
    if missing:
        sys.exit(f"error: cargo built no program of {', '.join(missing)}")
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # lzma runs without the interpreter's lock
        jobs = [pool.submit(pack_one, folder, kind, name, programs[source]) for source, kind, name in WANTED]
        entries = [job.result() for job in jobs]
    manifest = {"commit": commit, "binaries": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    for entry in entries:
        sizes = f"{entry['bytes'] / 2**20:8.1f} MiB  packed {entry['packed_bytes'] / 2**20:7.1f} MiB"
        print(f"{entry['kind']:8} {entry['name']:14} {sizes}  glibc {entry['glibc']}")
    print(f"{'':23} {sum(e['bytes'] for e in entries) / 2**20:8.1f} MiB  "
          f"packed {sum(e['packed_bytes'] for e in entries) / 2**20:7.1f} MiB")


def here_glibc():
    """This machine's glibc as a pair of numbers, or None where there is another C library."""
    try:
        return tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")[:2]))
    except (AttributeError, IndexError, OSError, ValueError):
        return None


def unpack(folder, target):
    """Writes every program into `target`, checks its hash, and prints where it is."""
    folder, target = pathlib.Path(folder), pathlib.Path(target)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    have = here_glibc()
    print(f"commit\t{manifest['commit']}\t-")
    for entry in manifest["binaries"]:
        program = lzma.decompress((folder / entry["file"]).read_bytes())
        if hashlib.sha256(program).hexdigest() != entry["sha256"]:
            sys.exit(f"error: {entry['file']} is damaged: its hash is not the manifest's")
        if have and tuple(map(int, entry["glibc"].split("."))) > have:
            print(f"warning: {entry['name']} wants glibc {entry['glibc']}, this machine has "
                  f"{have[0]}.{have[1]}: build on an older system", file=sys.stderr)
        path = target / pathlib.Path(entry["file"]).stem
        path.write_bytes(program)
        path.chmod(0o755)
        print(f"{entry['kind']}\t{entry['name']}\t{path.resolve()}")


def main():
    commands = {"pack": (pack, 3), "unpack": (unpack, 2)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    try:
        command(*sys.argv[2:])
    except (OSError, ValueError, KeyError, lzma.LZMAError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
