#!/usr/bin/env bash
# Runs every native fuzz target of the given modules in turn, each for TIME, on one core (FUZZ_WORKERS=4: on four).
# go test writes a failing input to testdata/fuzz of the package; the ordinary tests replay it from then on.
#
#   tools/fuzz.sh TIME PART-OF-A-NAME MODULE...
set -euo pipefail

time=$1 part=$2
shift 2

found=0
failed=()
for module in "$@"; do
	while read -r package dir; do
		for target in $(cat "$dir"/*_test.go 2>/dev/null | sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' | grep -F -e "$part" || true); do
			found=$((found + 1))
			echo "== $target, $package, for $time"
			go -C "$module" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel "${FUZZ_WORKERS:-1}" "$package" </dev/null || failed+=("$target, $package")
		done
	done < <(go -C "$module" list -f '{{.ImportPath}} {{.Dir}}' ./...)
done

if ((found == 0)); then
	echo "no fuzz target has \"$part\" in its name" >&2
	exit 1
fi
echo "$found fuzz targets ran for $time each, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
