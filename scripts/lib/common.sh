# shellcheck shell=bash
# Shared by the scripts; sourced by bash, never run. All functions print to stderr.

# say TEXT..: a line that stands out between cargo's lines.
say() { printf '== %s\n' "$*" >&2; }

# fail TEXT..: says why and ends the script.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# at_least HAVE WANT: whether version HAVE is WANT or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# need_rust: cargo is on the PATH and as new as Cargo.toml's rust-version.
need_rust() {
    local have want
    command -v cargo >/dev/null || fail "cargo was not found: install Rust (rustup, stable) and try again"
    want=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    have=$(cargo --version | awk '{ print $2 }')
    at_least "$have" "$want" || fail "Rust $want or newer is needed, this is $have: run 'rustup update stable'"
}

# need_component NAME COMMAND: a part of the toolchain that not every installation has.
need_component() {
    cargo "$2" --version >/dev/null 2>&1 && return
    say "installing $1"
    rustup component add "$1" >&2 || fail "'cargo $2' is missing: run 'rustup component add $1'"
}

# compiles_c: whether `cc` makes a program; it needs the C library's headers too.
compiles_c() {
    command -v cc >/dev/null &&
        printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' |
        cc -x c -o /dev/null - 2>/dev/null
}

# need_c_compiler: Rust links with cc, and aws-lc, zstd, xz and mimalloc are C.
# On Debian and its kin root gets it installed; others are told what to install.
need_c_compiler() {
    local packages="gcc libc6-dev"
    compiles_c && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no working C compiler: installing $packages"
        apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
        # shellcheck disable=SC2086 # two words on purpose
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null ||
            fail "apt-get could not install: $packages"
    fi
    compiles_c || fail "no working C compiler 'cc' with headers (Debian: apt-get install $packages)"
}

# need_cxx_compiler: the emulated CUDA driver is C++.
need_cxx_compiler() {
    command -v "${CXX:-g++}" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no C++ compiler: installing g++"
        apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null ||
            fail "apt-get could not install g++"
    fi
    command -v "${CXX:-g++}" >/dev/null || fail "no C++ compiler 'g++' (Debian: apt-get install g++)"
}

# python_with_pip: prints the first Python that has pip: PYTHON, else what is on the PATH.
python_with_pip() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python; do
        [ -n "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1 && command -v "$candidate" && return
    done
    return 1
}
