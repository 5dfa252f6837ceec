#!/usr/bin/env bash
# Checks the language of comments and docs: at most BOUND percent of the lines may hold a word of the list below. A sentence built
# on such a word leaves its subject open. Counts Go comments, Markdown, and comments of YAML, shell and make separately; string
# literals, code spans and fenced code blocks do not count. Exits 1 if one of the three shares exceeds the bound.
#
#   tools/prose.sh [-l] [-n FILES] [BOUND]
#
#   -l        print each counted line as file:line: text
#   -n FILES  list this many files with the most counted lines (default 10)
#   BOUND     percent, default 2
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=0 files=10
while getopts ln: option; do
	case $option in
	l) list=1 ;;
	n) files=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
bound=${1:-2}

# Generated code, and files that are deleted but still in the index, are skipped.
git ls-files -z --cached --others --exclude-standard '*.go' '*.md' '*.yaml' '*.yml' '*.sh' Makefile |
	{ xargs -0r grep -LsE '^// Code generated .* DO NOT EDIT\.$' || true; } | # grep -L fails where no file is generated
	awk -v list="$list" -v files="$files" -v bound="$bound" '
	BEGIN { words = "(^|[^a-z0-9_])(who|whom|whose|whoever|what|whatever|nobody|somebody)([^a-z0-9_]|$)" }

	# goComment returns the comment in a line of Go. It tracks raw strings and block comments in inRaw and inBlock.
	function goComment(line,    i, n, c, text) {
		n = length(line)
		for (i = 1; i <= n; i++) {
			c = substr(line, i, 1)
			if (inBlock) {
				if (substr(line, i, 2) == "*/") { inBlock = 0; i++ } else text = text c
			} else if (inRaw) {
				inRaw = c != "`"
			} else if (c == "`") {
				inRaw = 1
			} else if (c == "\"" || c == "\047") {
				for (i++; i <= n && substr(line, i, 1) != c; i++) if (substr(line, i, 1) == "\\") i++
			} else if (substr(line, i, 2) == "//") {
				return text substr(line, i + 2)
			} else if (substr(line, i, 2) == "/*") {
				inBlock = 1; i++
			}
		}
		return text
	}

	# markdownText returns a line of Markdown without code spans and link targets, and nothing inside a fenced block.
	function markdownText(line) {
		if (line ~ /^[ \t]*(```|~~~)/) { inFence = !inFence; return "" }
		if (inFence) return ""
		gsub(/`[^`]*`/, "", line)
		gsub(/\]\([^)]*\)/, "]", line)
		return line ~ /^[ \t|:-]*$/ ? "" : line
	}

	# hashComment returns the comment that starts with # in a line of YAML, shell or make.
	function hashComment(line) {
		if (line ~ /^[ \t]*#/ || line ~ /[ \t]##? /) { sub(/^[^#]*([^ \t#]#[^#]*)*#+/, "", line); return line }
		return ""
	}

	function count(file, number, kind, text) {
		if (text !~ /[A-Za-z]/) return
		lines[kind]++
		if (tolower(text) ~ words) {
			hits[kind]++
			perFile[file]++
			if (list) printf "%s:%d: %s\n", file, number, text
		}
	}

	{
		file = $0; number = 0; inRaw = inBlock = inFence = 0
		kind = file ~ /\.go$/ ? "Go comments" : file ~ /\.md$/ ? "Markdown" : "YAML, shell and make comments"
		while ((getline line < file) > 0) {
			number++
			if (kind == "Go comments") text = goComment(line)
			else if (kind == "Markdown") text = markdownText(line)
			else text = hashComment(line)
			count(file, number, kind, text)
		}
		close(file)
	}

	END {
		for (kind in lines) {
			share = 100 * hits[kind] / lines[kind]
			failed = failed || share > bound
			printf "%s: %d of %d lines (%.1f %%, at most %s %%)\n", kind, hits[kind], lines[kind], share, bound
		}
		for (; files > 0; files--) {
			worst = ""
			for (file in perFile) if (worst == "" || perFile[file] > perFile[worst] || perFile[file] == perFile[worst] && file < worst) worst = file
			if (worst == "") break
			printf "  %4d %s\n", perFile[worst], worst
			delete perFile[worst]
		}
		if (failed) print "rewrite these lines with a named subject; tools/prose.sh -l lists them"
		exit failed
	}'
