#!/usr/bin/env bash
# A release archive: the program, completions for five shells, the manual page, licence and README.
#   scripts/release.sh [PROGRAM] [TARGET]     default: the static program that scripts/build-static.sh builds
# Writes dist/innerloop-VERSION-TARGET.tar.gz and its SHA-256. `cargo binstall` expects these names (Cargo.toml).
set -euo pipefail
cd "$(dirname "$0")/.."
program="${1:-$(scripts/build-static.sh)}"
target="${2:-$(uname -m)-unknown-linux-musl}"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
name="innerloop-$version-$target"
folder="dist/$name"
rm -rf "$folder"
mkdir -p "$folder/completions" "$folder/man/man1"
cp "$program" "$folder/innerloop"
cp LICENSE README.md CHANGELOG.md "$folder/"
for shell in bash elvish fish powershell zsh; do
    "$program" completions "$shell" >"$folder/completions/innerloop.$shell"
done
"$program" man >"$folder/man/man1/innerloop.1"
# The same bytes from the same commit: names sorted, no owner, the time of the commit.
time="$(git log -1 --format=%ct 2>/dev/null || echo 0)"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" -C dist -cf - "$name" | gzip -n >"dist/$name.tar.gz"
(cd dist && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "dist/$name.tar.gz"
