#!/usr/bin/env bash
# Prints the lines of code (neither blank, nor comments, nor tests) of the packages between a copy's status and its patch. The exit status is 1
# if they exceed their bounds.
set -euo pipefail
cd "$(dirname "$0")/.."

lines() { # lines FILE...: lines of code of the files that exist
	local files=()
	for f in "$@"; do
		if [[ -f $f && $f != *_test.go ]]; then files+=("$f"); fi
	done
	if ((${#files[@]} == 0)); then echo 0; else cat "${files[@]}" | grep -vcE '^[[:space:]]*(//.*)?$'; fi
}

core=0 all=0
row() { # row NAME LINES
	printf '%-32s %5d\n' "$1" "$2"
	all=$((all + $2))
}
for p in status transform aggregate policy patch reconcile; do
	n=$(lines internal/$p/*.go)
	row "internal/$p" "$n"
	case $p in status | transform | aggregate) core=$((core + n)) ;; esac
done
row "actors/aggregator*, bucket*" "$(lines actors/aggregator*.go actors/bucket*.go)"

most_core=${MOST_CORE:-1900} most_all=${MOST_ALL:-5000}
printf '%-32s %5d of %d\n' "status, transform, aggregate" "$core" "$most_core" "all of these" "$all" "$most_all"
((core <= most_core && all <= most_all))
