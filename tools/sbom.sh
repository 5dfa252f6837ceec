#!/usr/bin/env bash
# Writes the modules of a Go binary as a CycloneDX document and compares them with `go version -m` of the binary.
#
#   tools/sbom.sh CYCLONEDX-GOMOD BINARY OUTPUT
set -euo pipefail

generator=$1 binary=$2 output=$3

"$generator" bin -json -output "$output.new" "$binary" 2>/dev/null || {
	echo "cannot write an SBOM of $binary" >&2
	exit 1
}
modules() { go version -m "$binary" | awk '$1 == "dep" { at = $2 "@" $3 } $1 == "=>" { at = $2 "@" $3 } $1 == "dep" || $1 == "=>" { last = at } $1 == "dep" { n++ } { if (n) line[n] = last } END { for (i = 1; i <= n; i++) print line[i] }' | sort; }
listed() { sed -nE 's|^ *"purl": "pkg:golang/([^?"]*).*|\1|p' "$output.new" | sed 's/%2B/+/g; s/%2F/\//g' | grep -Ev "^$(go version -m "$binary" | awk '$1 == "mod" { print $2 }')(@|\$)" | sort -u; }
if ! difference=$(diff <(modules) <(listed)); then
	echo "the SBOM differs from $binary (<: only in the binary, >: only in the SBOM):" >&2
	echo "$difference" >&2
	exit 1
fi
mv "$output.new" "$output"
echo "$output: $(modules | wc -l) modules, as in $binary"
