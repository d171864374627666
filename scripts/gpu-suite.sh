#!/usr/bin/env bash
# Tests and measures Staffa on a machine with an NVIDIA GPU and no Rust, from binaries that
# `scripts/gpu-suite-pack` made elsewhere, and writes a report for docs/benchmarks.
#
#   scripts/gpu-suite.sh [OPTIONS] [TEST BINARY..]
#
#   --binaries DIR    a folder of scripts/gpu-suite-pack  [default: the folder that holds this script, if it is one]
#   --staffa FILE     the program, instead of the folder's
#   --bench FILE      the binary of kernels/benches, instead of the folder's
#   --out DIR         a folder DATE-COMMIT is made in it  [default: gpu-suite]
#   --part NAMES      doctor,tests,memcheck,racecheck,kernels,counters,tpch  [default: all]; may be given again
#   --scale N         of TPC-H  [default: 1]
#   --timeout SECONDS of each part  [default: 3600]
#   --commit TEXT     what the binaries were built from, where no folder says so
#   --smoke           small pages once, and Q1 and Q6 at scale 0.01 once: shows that the suite works
#
#   doctor      staffa doctor, whose self-test must have run on the GPU
#   tests       every GPU test binary; one that finds no device fails
#   memcheck    the kernels' tests under compute-sanitizer, where that is installed;
#   racecheck   likewise
#   kernels     the kernels' micro-benchmarks, as fractions of the measured copy bandwidth
#   counters    the same, small, with the device's counters, where ncu is installed and may read them
#   tpch        TPC-H on DataFusion, the CPU engine and the GPU, answers compared
#
# Needs bash, coreutils and python3 (3.8, with lzma). Uses nvidia-smi, compute-sanitizer and ncu where they are.
# TPC-H's tables are kept in STAFFA_DATA_DIR [default: data, in --out]. Goes on after a failed part.
# Exit code: 0 when no part failed, else 1. A part that cannot run for want of a tool has not failed;
# one without its binary has.
#
# shellcheck disable=SC2317,SC2329  # parts are called by their names
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
. "$here/lib/common.sh"

# usage: the head of this file.
usage() {
    local line
    while IFS= read -r line; do
        case $line in
        '#!'*) ;;
        '# shellcheck'*) return ;;
        *) line=${line#\#} && echo "${line# }" ;;
        esac
    done <"${BASH_SOURCE[0]}"
}

all_parts=(doctor tests memcheck racecheck kernels counters tpch)
# Time; memory's and multiprocessors' use; warps in flight; bytes that a sector of 32 is used for.
ncu_metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
ncu_metrics+=,sm__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active
ncu_metrics+=,smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio
parts=() tests=() binaries='' staffa='' bench='' out=gpu-suite scale=1 timeout=3600 commit='' smoke=''
while [ "$#" -gt 0 ]; do
    case $1 in
    --smoke) smoke=1 && shift && continue ;;
    -h | --help) usage && exit 0 ;;
    --binaries | --staffa | --bench | --out | --part | --scale | --timeout | --commit)
        [ "$#" -ge 2 ] || fail "$1 needs a value"
        ;;
    -*) fail "no option '$1'; --help lists them" ;;
    *) tests+=("$1") && shift && continue ;;
    esac
    case $1 in
    --binaries) binaries=$2 ;;
    --staffa) staffa=$2 ;;
    --bench) bench=$2 ;;
    --out) out=$2 ;;
    --part) IFS=, read -r -a names <<<"$2" && parts+=("${names[@]}") ;;
    --scale) scale=$2 ;;
    --timeout) timeout=$2 ;;
    --commit) commit=$2 ;;
    esac
    shift 2
done
[ "${#parts[@]}" -gt 0 ] || parts=("${all_parts[@]}")
for name in "${parts[@]}"; do
    case " ${all_parts[*]} " in
    *" $name "*) ;;
    *) fail "no part '$name'; there are: ${all_parts[*]}" ;;
    esac
done
[[ $timeout =~ ^[1-9][0-9]*$ ]] || fail "--timeout takes whole seconds, not '$timeout'"
[[ $scale =~ ^([0-9]+|[0-9]*\.[0-9]+)$ ]] || fail "--scale takes a number, not '$scale'"
command -v python3 >/dev/null || fail "python3 was not found"
if [ -z "$binaries" ] && [ -f "$here/../manifest.json" ]; then
    binaries=$(dirname "$here")
fi
[ -n "$binaries$staffa$bench${tests[*]:-}" ] ||
    fail "no binaries: name a folder of scripts/gpu-suite-pack (--binaries), or files"
for file in ${staffa:+"$staffa"} ${bench:+"$bench"} ${tests[@]+"${tests[@]}"}; do
    [ -x "$file" ] || fail "$file is not a program"
done

# Unpacked where the tests write too, and removed at the end; binaries are started from there.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
names=()
for i in "${!tests[@]}"; do
    name=${tests[i]##*/} # of cargo's gpu-47eae2f88dfde4ee: gpu
    [[ $name =~ ^(.+)-[0-9a-f]{16}$ ]] && name=${BASH_REMATCH[1]}
    names[i]=${name#test-}
    tests[i]=$(realpath "${tests[i]}")
done
[ -z "$staffa" ] || staffa=$(realpath "$staffa")
[ -z "$bench" ] || bench=$(realpath "$bench")
if [ -n "$binaries" ]; then
    say "unpacking $binaries"
    python3 "$here/lib/gpu_suite_pack.py" unpack "$binaries" "$work/bin" >"$work/list" ||
        fail "$binaries is not a whole folder of scripts/gpu-suite-pack"
    while IFS=$'\t' read -r kind name file; do
        case $kind in
        commit) commit=${commit:-$name} ;;
        program) staffa=${staffa:-$file} ;;
        bench) bench=${bench:-$file} ;;
        test) tests+=("$file") names+=("$name") ;;
        esac
    done <"$work/list"
fi

commit=${commit:-unknown}
mkdir -p "$out" || exit 1
out=$(realpath "$out")
export STAFFA_DATA_DIR="${STAFFA_DATA_DIR:-$out/data}"
out="$out/$(date -u +%Y-%m-%dT%H%M%S)-${commit//[^A-Za-z0-9._-]/_}"
run=$out n=1
until mkdir "$out" 2>/dev/null; do # another run may have begun in this second
    [ -d "$out" ] || fail "$out cannot be made"
    n=$((n + 1)) out="$run-$n"
done
# A test that finds no device fails instead of being skipped.
export STAFFA_REQUIRE_GPU=1

# tool NAME: where a tool of CUDA's is; it is often installed and not on the PATH.
tool() {
    local folder
    command -v "$1" && return
    for folder in "${CUDA_HOME:-/usr/local/cuda}" /usr/local/cuda /opt/cuda; do
        [ -x "$folder/bin/$1" ] && echo "$folder/bin/$1" && return
    done
    return 1
}

# run NAME COMMAND..: one command of a part, into its log, within what is left of the part's time.
run() {
    local name=$1 left=$((deadline - SECONDS)) start=$SECONDS code=124
    shift
    if [ "$left" -gt 0 ]; then
        (cd "$work" && exec timeout --kill-after=15 "$left" "$@") >"$out/$part-$name.log" 2>&1 </dev/null
        code=$?
    else
        echo "not started: the part's $timeout s were used up" >"$out/$part-$name.log"
    fi
    printf '%s\t%s\t%s\t%s\n' "$part" "$name" "$code" "$((SECONDS - start))" >>"$out/results.tsv"
    say "  $name: exit code $code, $((SECONDS - start)) s"
}

# without WHY..: the part did not run for want of a tool. lacking WHY..: it had to, and could not.
without() { printf '%s\t%s\t%s\t0\n' "$part" "$*" skipped >>"$out/results.tsv"; }
lacking() { printf '%s\t%s\t%s\t0\n' "$part" "$*" missing >>"$out/results.tsv"; }

doctor() {
    [ -n "$staffa" ] || { lacking "no staffa program was given" && return; }
    run doctor "$staffa" doctor
}

tests() {
    local i only
    [ "${#tests[@]}" -gt 0 ] || { lacking "no test binary was given" && return; }
    for i in "${!tests[@]}"; do
        # --show-output: a test that left something out says so in its output.
        # Of the operators' contracts, those that a device holds.
        only=()
        [ "${names[i]}" != operators ] || only=(device::)
        run "${names[i]}" "${tests[i]}" --show-output ${only[@]+"${only[@]}"}
    done
}

# sanitize TOOL OPTIONS..: the kernels' own tests, which use nothing of the layers above.
sanitize() {
    local sanitizer i found=''
    sanitizer=$(tool compute-sanitizer) || { without "compute-sanitizer is not installed" && return; }
    for i in "${!tests[@]}"; do
        case ${names[i]} in
        parquet | expression | group_by | join | partition | sort)
            found=1
            run "${names[i]}" "$sanitizer" --tool "$@" --error-exitcode 86 "${tests[i]}"
            ;;
        esac
    done
    [ -n "$found" ] || lacking "no test binary of the kernels was given"
}
memcheck() { sanitize memcheck; }
racecheck() { sanitize racecheck --racecheck-report all; }

kernels() {
    [ -n "$bench" ] || { lacking "no bench binary was given" && return; }
    run kernels "$bench" ${smoke:+--smoke}
}

# What the kernels' benchmark asks of the device's units, by ncu, where it is installed and may count.
counters() {
    # Not `ncu`: a function of that name would be found in the tool's place.
    local profiler launches=400
    [ -z "$smoke" ] || launches=20
    [ -n "$bench" ] || { lacking "no bench binary was given" && return; }
    profiler=$(tool ncu) || { without "ncu is not installed" && return; }
    run counters "$profiler" --csv --page raw --metrics "$ncu_metrics" --launch-count "$launches" "$bench" --smoke
}

tpch() {
    local size=(--scale "$scale")
    [ -n "$staffa" ] || { lacking "no staffa program was given" && return; }
    [ -z "$smoke" ] || size=(--scale 0.01 --queries "1,6" --runs 1)
    run tpch "$staffa" bench tpch "${size[@]}" --engines datafusion,cpu,gpu --format json --output "$out/tpch.json"
}

# Device 0 is what Staffa takes; CUDA is to count devices as nvidia-smi does, not the fastest first.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
gpu=${CUDA_VISIBLE_DEVICES:-0}
gpu=${gpu%%,*}
if smi=$(tool nvidia-smi); then
    "$smi" >"$out/nvidia-smi.log" 2>&1
    "$smi" --id="$gpu" --query-gpu=name,compute_cap,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,ecc.mode.current,mig.mode.current \
        --format=csv >"$out/device.csv" 2>&1
fi
uname -srm >"$out/system.log"
printf 'commit\t%s\nscale\t%s\ntimeout\t%s\nsmoke\t%s\n' "$commit" "$scale" "$timeout" "$smoke" >"$out/settings.tsv"

for part in "${parts[@]}"; do
    say "$part"
    deadline=$((SECONDS + timeout)) watcher=''
    # The clocks that a figure was made at are those under load.
    if [ -n "$smi" ] && { [ "$part" = kernels ] || [ "$part" = tpch ]; }; then
        "$smi" --id="$gpu" --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv,noheader,nounits \
            -lms 500 >"$out/clocks-$part.csv" 2>/dev/null </dev/null &
        watcher=$!
    fi
    "$part"
    [ -z "$watcher" ] || { kill "$watcher" && wait "$watcher"; } 2>/dev/null
done

status=0
python3 "$here/lib/gpu_suite_report.py" "$out" >"$out/report.md" || status=1
cat "$out/report.md"
say "written to $out"
exit "$status"
