#!/usr/bin/env bash
# Runs every native fuzz target of some modules, one after the other and each for some time, on one core (FUZZ_WORKERS=4: on four).
# An input that fails is written to testdata/fuzz of its package, by go test; from then on it is a case of the ordinary tests.
#
#   tools/fuzz.sh 60s PART-OF-A-NAME MODULE...
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
	echo "there is no fuzz target with \"$part\" in its name" >&2
	exit 1
fi
echo "$found fuzz targets ran for $time each, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
