"""Turns the logs of scripts/gpu-suite.sh into Markdown: `gpu_suite_report.py FOLDER >report.md`.

Exits with 1 when a part failed. A part has failed when a command of it did (exit code, time limit), when
its log says so, and also when its log does not hold what a passing one holds: no test counted, no case timed.
"""

import csv
import json
import os
import pathlib
import re
import sys
from datetime import datetime, timezone

TITLES = {
    "doctor": "What staffa found", "tests": "GPU tests", "memcheck": "compute-sanitizer memcheck",
    "racecheck": "compute-sanitizer racecheck", "kernels": "Kernels",
    "counters": "What kernels ask of the device, by ncu", "tpch": "TPC-H",
}
ENGINES = ["datafusion", "cpu", "gpu"]


def read(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def rows(path):
    return [line.split("\t") for line in read(path).splitlines()]


def table(head, body):
    line = lambda cells: "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, body)]) + "\n"


def block(text):
    return "```text\n" + text.replace("```", "'''").strip("\n") + "\n```\n"


class Part:
    """One part: its commands, what is wrong with it, its text."""

    def __init__(self, folder, name, results):
        self.folder, self.name = folder, name
        self.commands, self.problems, self.skipped, self.text, self.short = [], [], "", "", ""
        for command, code, seconds in results:
            if code == "skipped":
                self.skipped = command
            elif code == "missing":
                self.problems.append(command)
            else:
                self.commands.append((command, int(code), int(seconds)))
        for command, code, _ in self.commands:
            # 137: killed, because it did not end when asked to.
            why = "ran past the part's time limit" if code in (124, 137) else f"exit code {code}"
            if code != 0:
                self.problems.append(f"{command}: {why}")
        if self.commands:
            getattr(self, name)()

    def log(self, command):
        return read(self.folder / f"{self.name}-{command}.log")

    def verdict(self):
        return "FAILED" if self.problems else "not run" if self.skipped else "passed"

    def minutes(self):
        return f"{sum(seconds for _, _, seconds in self.commands) / 60:.1f}"

    def what(self):
        return self.skipped or "; ".join(self.problems) or self.short

    def tails(self, lines=40):
        """What the failed commands said last."""
        failed = [command for command, code, _ in self.commands if code != 0]
        return "".join(f"\n`{c}`:\n\n" + block("\n".join(self.log(c).splitlines()[-lines:])) for c in failed)

    def doctor(self):
        self.text = block(self.log("doctor"))
        # A machine without a GPU is a sound one to `staffa doctor`; not to this suite.
        if not re.search(r"^ +GPU ok\b", self.log("doctor"), re.M):
            self.problems.append("its self-test did not run on a GPU")
        self.short = "its self-test ran on the GPU"

    def tests(self):
        body, sums = [], [0, 0, 0]
        for command, code, seconds in self.commands:
            log = self.log(command)
            found = re.findall(r"^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored", log, re.M)
            # A test with a part for the emulated driver only says so; it has passed all the same.
            notes = sorted(set(re.findall(r"SKIPPED[^\n]*", log)))
            counts = [int(n) for n in found[-1]] if found else [0, 0, 0]
            if not found or counts[0] == 0:
                self.problems.append(f"{command}: no test passed")
            sums = [a + b for a, b in zip(sums, counts)]
            body.append([command, *(counts if found else ["-"] * 3), seconds, "<br>".join(notes)])
        body.append(["all", *sums, sum(s for _, _, s in self.commands), ""])
        self.text = table(["binary", "passed", "failed", "ignored", "seconds", "left out"], body)
        names = re.findall(r"^test (.+) \.\.\. FAILED$", "\n".join(self.log(c) for c, _, _ in self.commands), re.M)
        if names:
            self.text += "\nFailed: " + ", ".join(f"`{n}`" for n in names) + "\n"
        self.text += self.tails()
        self.short = f"{sums[0]} passed, {sums[1]} failed, {sums[2]} ignored"

    def sanitizer(self):
        body = []
        for command, code, seconds in self.commands:
            log = self.log(command)
            summary = re.findall(r"^=+ (?:ERROR|RACECHECK) SUMMARY: (.*)$", log, re.M)
            if not summary:
                self.problems.append(f"{command}: the tool gave no summary")
            # `0 errors`, or `0 hazards displayed (0 errors, 0 warnings)`
            findings = [s for s in summary if any(int(n) for n in re.findall(r"\d+", s))]
            self.problems += [f"{command}: {s}" for s in findings]
            tests = re.findall(r"^test result: \S+ (\d+) passed; (\d+) failed", log, re.M)
            if not tests or tests[-1][0] == "0":
                self.problems.append(f"{command}: no test passed")
            body.append([command, *(tests[-1] if tests else ["-"] * 2), "; ".join(summary) or "-", seconds])
            if findings or code != 0:
                lines = [line for line in log.splitlines() if line.startswith("=====")]
                self.text += f"\n`{command}`:\n\n" + block("\n".join(lines[:40]))
        self.text = table(["binary", "passed", "failed", "summary", "seconds"], body) + self.text
        self.short = "clean"

    memcheck = racecheck = sanitizer

    def kernels(self):
        log, cases = self.log("kernels"), []
        for line in log.splitlines():
            found = re.match(r"(.*?) +([\d.]+|NaN|inf) +([\d.]+|NaN|inf) +(\d+|NaN|inf)%$", line)
            if found:
                cases.append(found.groups())
            elif re.match(r"failed: |no device: ", line):
                self.problems.append(line)
        copy = next((case for case in cases if case[0] == "device copy"), None)
        cases = [case for case in cases if case is not copy]
        if copy is None or not cases:
            self.problems.append("no case was timed")
            self.text = block(log[-4000:])
            return
        self.text = (
            f"Limit: a device-to-device copy runs at **{copy[2]} GB/s** (256 MiB, its bytes counted once; the memory "
            "moves twice as much). A case's GB/s are those of its *output*, what a column holds; the fraction is of "
            "that copy. Each figure is the median of 11 launches, timed by events on the stream after 3 that "
            "do not count; 64 pages of about 1 MiB, no transfer to or from the host.\n\n"
            + table(["case", "us", "GB/s", "of copy"], [(n, us, gb, f"{int(p) / 100:.2f}" if p.isdigit() else p)
                                                       for n, us, gb, p in cases])
            + clocks(self.folder / "clocks-kernels.csv") + self.tails())
        self.short = f"{len(cases)} cases; copy {copy[2]} GB/s"

    def counters(self):
        log = self.log("counters")
        if "ERR_NVGPUCTRPERM" in log:
            # Drivers let only administrators count, unless told otherwise: a setting, and no failure.
            self.problems, self.skipped = [], "this user may not read the device's counters (ERR_NVGPUCTRPERM)"
            return
        lines = log.splitlines()
        head = next((at for at, line in enumerate(lines) if line.startswith('"ID",')), None)
        found = list(csv.DictReader(lines[head:])) if head is not None else []
        short = {"gpu__time_duration.sum": "time", "dram__throughput": "memory", "sm__throughput": "compute",
                 "sm__warps_active": "warps", "smsp__sass_average_data_bytes": "bytes of a sector"}
        columns = [(key, name) for key in (found[0] if found else []) for start, name in short.items()
                   if key and key.startswith(start)]
        # The first row has the units.
        units, by = (found[0] if found else {}), {}
        for row in found[1:]:
            by.setdefault(row.get("Kernel Name", "").split("(")[0], []).append(row)
        if not columns or not by:
            self.problems.append("no kernel was counted")
            self.text = block(log[-4000:])
            return
        mean = lambda rows, key: sum(figure(row[key]) for row in rows) / len(rows)
        body = [[name, len(rows), *(number(mean(rows, key)) for key, _ in columns)] for name, rows in sorted(by.items())]
        self.text = ("Means over the launches of each kernel, in the smoke run of its benchmark: small inputs, so that "
                     "times and use of the device are those of small launches.\n\n" + table(
                         ["kernel", "launches", *(f"{name} ({units[key]})" for key, name in columns)], body))
        self.short = f"{len(by)} kernels"

    def tpch(self):
        path = self.folder / "tpch.json"
        if not path.exists():
            self.problems.append("no figures were written")
            self.text = self.tails()
            return
        report = json.loads(read(path))
        machine, queries = report["machine"], {}
        for result in report["queries"]:
            queries.setdefault(result["query"], {})[result["engine"]] = result
        body = []
        for query, by in queries.items():
            gpu = by.get("gpu", {})
            nodes = sum(gpu.get(key, 0) for key in ("staffa_nodes", "datafusion_nodes"))
            body.append([query, *(number(by.get(e, {}).get("median_ms")) for e in ENGINES),
                         *(number(by.get(e, {}).get("ratio_to_datafusion")) for e in ENGINES[1:]),
                         f"{gpu.get('gpu_nodes', 0)} of {nodes}", gpu.get("gpu_morsels", 0),
                         "yes" if all(r["equal"] for r in by.values()) else "NO"])
        summary = {entry["engine"]: entry for entry in report["summary"]}
        sums = lambda key, names: [number(summary.get(e, {}).get(key)) for e in names]
        body.append(["total", *sums("total_ms", ENGINES), *sums("ratio_total", ENGINES[1:]), "", "", ""])
        body.append(["geometric mean", "", "", "", *sums("geomean_ratio", ENGINES[1:]), "", "", ""])
        head = ["query", "DataFusion ms", "CPU ms", "GPU ms", "CPU ratio", "GPU ratio", "nodes on GPU", "morsels", "equal"]
        scales = sorted({result["workload"] for result in report["queries"]})
        self.text = (
            f"{', '.join(scales)}; {machine['build']} build, DataFusion {machine['datafusion']}. Medians of SQL text to "
            "last row, planning, reading of Parquet from a warm page cache and all copies included; engines interleaved in one "
            "process. A ratio is the engine's time over DataFusion's: below 1 is faster. GPU: what the device "
            "does not run is the CPU engine's.\n\n" + table(head, body) + clocks(self.folder / "clocks-tpch.csv") + self.tails())
        problems = [r for r in report["queries"] if r.get("problem") or not r["equal"]]
        self.problems += [f"{r['query']} on {r['engine']}: {r.get('problem', 'another answer')}" for r in problems]
        self.short = f"{len(queries)} queries"


def figure(text):
    """A number as ncu writes it: `1,234.5`, or a word where it could not count."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return float("nan")


def number(value):
    """Four digits, or a bar where nothing was measured."""
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def clocks(path):
    """One line on what nvidia-smi saw while a part ran."""
    columns = list(zip(*(row for row in csv.reader(read(path).splitlines()) if len(row) == 4)))
    if not columns:
        return ""
    ranges = []
    for name, unit, values in zip(["SM clock", "memory clock", "power", "temperature"], ["MHz", "MHz", "W", "C"], columns):
        numbers = [float(v) for v in values if re.fullmatch(r"\s*[\d.]+\s*", v)]
        if numbers:
            ranges.append(f"{name} {min(numbers):.0f} to {max(numbers):.0f} {unit}")
    return f"\nMeanwhile, by nvidia-smi: {', '.join(ranges)}.\n"


def device(folder):
    """What ran: device, driver, CUDA, clocks, from nvidia-smi; else from what the programs printed."""
    lines = []
    found = list(csv.reader(read(folder / "device.csv").splitlines(), skipinitialspace=True))
    if len(found) > 1 and len(found[0]) == len(found[1]) > 1:
        lines += list(zip(found[0], found[1]))
    cuda = re.search(r"CUDA Version: *([\d.]+)", read(folder / "nvidia-smi.log"))
    if cuda:
        lines.append(("CUDA", cuda[1]))
    if not lines:
        lines.append(("nvidia-smi", "not found, or it failed: no clocks and no driver's version are known"))
    for name, pattern in [("driver (doctor)", r"^ +driver +(.*)$"), ("device (doctor)", r"^ +gpu:0 +(.*)$"),
                          ("kernels (doctor)", r"^ +kernels +(.*)$"), ("build (doctor)", r"^(Staffa .*)$")]:
        line = re.search(pattern, read(folder / "doctor-doctor.log"), re.M)
        if line:
            lines.append((name, line[1]))
    bench = read(folder / "kernels-kernels.log").splitlines()
    if bench and re.search(r"\(\d+\.\d+\)$", bench[0]):
        lines.append(("device (benchmark)", bench[0]))
    return lines


def host():
    cpu = re.search(r"^model name\s*: (.*)$", read(pathlib.Path("/proc/cpuinfo")), re.M)
    memory = re.search(r"^MemTotal: +(\d+)", read(pathlib.Path("/proc/meminfo")), re.M)
    return f"{os.cpu_count()} cores of {cpu[1] if cpu else 'an unnamed processor'}, " + (
        f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "memory unknown")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    settings = dict(rows(folder / "settings.tsv"))
    results = {}
    for part, command, code, seconds in rows(folder / "results.tsv"):
        results.setdefault(part, []).append((command, code, seconds))
    parts = [Part(folder, name, entries) for name, entries in results.items()]

    facts = device(folder)
    print(f"# GPU suite of {settings['commit']}\n")
    print(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, commit {settings['commit']}; {host()}; "
          f"{read(folder / 'system.log').strip()}.\n")
    text = " ".join(value for _, value in facts)
    if os.environ.get("STAFFA_EMULATED_KERNELS") or "emulated" in text:
        print("**Not a GPU: the emulated driver. It proves results; its times mean nothing.**\n")
    if settings.get("smoke"):
        print("**A smoke run: small inputs, once. Its times mean nothing.**\n")
    if "debug build" in text or '"build": "debug"' in read(folder / "tpch.json"):
        print("**A debug build: its times mean nothing.**\n")
    print(table(["", ""], facts))
    print(table(["part", "result", "minutes", ""], [[p.name, p.verdict(), p.minutes(), p.what()] for p in parts]))
    for part in parts:
        print(f"## {TITLES[part.name]}\n\n{part.text or part.what() + chr(10)}")
    failed = [p.name for p in parts if p.problems]
    sys.exit(1 if failed or not parts else 0)


if __name__ == "__main__":
    main()
