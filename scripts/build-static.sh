#!/usr/bin/env bash
# A program for old clusters: one file that needs no library of the system, not even glibc. CPU only.
#   scripts/build-static.sh            for this machine's processor: x86_64 or aarch64
# Prints the path of the program.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-musl"
if command -v rustup >/dev/null; then
    rustup target add "$target" >&2
fi
# musl's own allocator is slow with many threads; RUSTFLAGS stay those of the person.
cargo build --release --locked --target "$target" >&2
program="target/$target/release/innerloop"
if command -v ldd >/dev/null && ldd "$program" 2>&1 | grep -q '=>'; then
    echo "$program is not static: $(ldd "$program")" >&2
    exit 1
fi
echo "$program"
