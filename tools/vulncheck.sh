#!/usr/bin/env bash
# Checks the modules for vulnerabilities that their code reaches. Ends with 0: none known; 3: some found; 4: the vulnerability database
# can't be reached, so nothing was checked; 1: anything else.
#
#   tools/vulncheck.sh GOVULNCHECK MODULE...
set -uo pipefail

govulncheck=$1
shift
database=${GOVULNDB:-https://vuln.go.dev}

result=0
for module in "$@"; do
	echo "govulncheck ($module)"
	said=$(cd "$module" && "$govulncheck" -db "$database" ./... 2>&1)
	code=$?
	if ((code == 0 || code == 3)); then
		echo "$said"
	elif grep -qE 'fetching vulnerabilities|^govulncheck: .*(/index/|dial tcp|vulndb)' <<<"$said"; then
		echo "$said" >&2
		echo "the vulnerability database at $database can't be reached: nothing was checked" >&2
		exit 4
	else
		echo "$said" >&2
		code=1
	fi
	if ((code != 0 && result != 1)); then
		result=$code
	fi
done
exit "$result"
