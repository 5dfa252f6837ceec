#!/usr/bin/env bash
# Checks the modules for known vulnerabilities that their code reaches. Exit code 0: none; 3: some found; 4: the vulnerability database
# is unreachable, so nothing was checked; 1: any other error.
#
#   tools/vulncheck.sh GOVULNCHECK MODULE...
set -uo pipefail

govulncheck=$1
shift
database=${GOVULNDB:-https://vuln.go.dev}

result=0
for module in "$@"; do
	echo "govulncheck ($module)"
	output=$(cd "$module" && "$govulncheck" -db "$database" ./... 2>&1)
	code=$?
	if ((code == 0 || code == 3)); then
		echo "$output"
	elif grep -qE 'fetching vulnerabilities|^govulncheck: .*(/index/|dial tcp|vulndb)' <<<"$output"; then
		echo "$output" >&2
		echo "the vulnerability database at $database is unreachable: nothing was checked" >&2
		exit 4
	else
		echo "$output" >&2
		code=1
	fi
	if ((code != 0 && result != 1)); then
		result=$code
	fi
done
exit "$result"
