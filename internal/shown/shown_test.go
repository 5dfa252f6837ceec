package shown_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/shown"
)

func TestLine(t *testing.T) {
	for name, tt := range map[string]struct{ in, line, lines string }{
		"plain":                 {"3/3 ready", "3/3 ready", "3/3 ready"},
		"other scripts":         {"готово 完了 ✓ é", "готово 完了 ✓ é", "готово 完了 ✓ é"},
		"colour":                {"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`, `\x1b[31mred\x1b[0m`},
		"title of the terminal": {"\x1b]0;own\x07", `\x1b]0;own\x07`, `\x1b]0;own\x07`},
		"eight-bit escape":      {"a\u009b31m", `a\u009b31m`, `a\u009b31m`},
		"over the line":         {"bad\rgood", `bad\rgood`, `bad\rgood`},
		"another line":          {"a\n{\"level\":\"info\"}", `a\n{"level":"info"}`, "a\n{\"level\":\"info\"}"},
		"tab":                   {"a\tb", `a\tb`, "a\tb"},
		"backspace, delete, 0":  {"a\b\x7f\x00", `a\x08\x7f\x00`, `a\x08\x7f\x00`},
		"right to left":         {"a\u202egnp.exe\u202c", `a\u202egnp.exe\u202c`, `a\u202egnp.exe\u202c`},
		"isolates, marks":       {"\u2066\u2069\u200f", `\u2066\u2069\u200f`, `\u2066\u2069\u200f`},
		"invisible":             {"a\u200bb\ufeff\u00ad", `a\u200bb\ufeff\u00ad`, `a\u200bb\ufeff\u00ad`},
		"line separator":        {"a\u2028b", `a\u2028b`, `a\u2028b`},
		"tags":                  {"a\U000E0041", `a\U000e0041`, `a\U000e0041`},
		"broken UTF-8":          {"a\xff\xc3", `a\xff\xc3`, `a\xff\xc3`},
		"replacement character": {"a\uFFFD", "a\uFFFD", "a\uFFFD"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shown.Line(tt.in, 100); got != tt.line {
				t.Errorf("Line: %q, want %q", got, tt.line)
			}
			if got := shown.Lines(tt.in, 100); got != tt.lines {
				t.Errorf("Lines: %q, want %q", got, tt.lines)
			}
			if got := shown.Printable(tt.in); got != (tt.in == tt.lines) {
				t.Errorf("Printable: %v", got)
			}
		})
	}
}

func TestLongTextsAreCut(t *testing.T) {
	if got := shown.Line(strings.Repeat("é", 1<<20), 10); got != "éééééééééé… (2097152 bytes)" {
		t.Errorf("%.100q", got)
	}
	if got := shown.Line("1234567890", 10); got != "1234567890" {
		t.Errorf("%q: exactly as long as may be", got)
	}
}

func TestWhatIsShownPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		for _, r := range shown.Line(in, 1<<20) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U is left", r)
			}
		}
		if !shown.Printable(shown.Lines(in, 1<<20)) {
			t.Fatal("several lines do not print")
		}
		data, err := json.Marshal(map[string]any{in: []any{in, 1}})
		if err != nil {
			t.Fatal(err)
		}
		escaped := shown.JSON(data)
		var before, after any
		if err := json.Unmarshal(data, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(escaped, &after); err != nil {
			t.Fatalf("%v: %q", err, escaped)
		}
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if string(a) != string(b) {
			t.Fatalf("%q became %q", a, b)
		}
		if !shown.Printable(string(escaped)) {
			t.Fatalf("%q is left", escaped)
		}
	})
}
