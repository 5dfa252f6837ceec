package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/app"
)

// hostile are texts that a tenant may write into names and messages.
var hostile = map[string]string{
	"colours and cursor": "\x1b[2J\x1b[1;1Hall is well",
	"title":              "\x1b]0;mine\x07",
	"eight-bit escape":   "\u009b2J",
	"over the line":      "stale\rready    ",
	"another line":       "x\n{\"level\":\"info\",\"message\":\"all is well\"}",
	"right to left":      "web\u202etxt.exe\u202c",
	"invisible":          "we\u200bb\ufeff",
	"nothing":            "\x00\x7f\b\b\b",
	"broken":             "\xff\xfe",
	"long":               strings.Repeat("long ", 1<<18),
	"long and hostile":   strings.Repeat("\x1b[31m\u202e", 1<<17),
}

func say(l zerolog.Logger, text string) {
	l.Warn().Str("object", text).Err(errors.New(text)).Strs("all", []string{text, text}).Bytes("raw", []byte(text)).
		Dict("more", zerolog.Dict().Str("inner", text)).Interface("any", map[string]any{text: []any{text}}).Msg(text)
}

func TestHostileTextsInLogs(t *testing.T) {
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			for _, form := range app.LogFormats {
				t.Setenv("NO_COLOR", "1")
				var log bytes.Buffer
				l, err := app.NewLogger(&log, form, "info")
				if err != nil {
					t.Fatal(err)
				}
				say(l, text)
				line, rest, _ := strings.Cut(log.String(), "\n")
				if rest != "" {
					t.Errorf("%s: another line: %.300q", form, rest)
				}
				for _, r := range line {
					if !unicode.IsPrint(r) {
						t.Errorf("%s: %U is left in %.300q", form, r, line)
						break
					}
				}
				if len(line) > 64<<10 {
					t.Errorf("%s: %d bytes", form, len(line))
				}
				if form == app.LogJSON {
					checkValues(t, line, text)
				}
			}
		})
	}
}

// checkValues requires that logged values can be read back, as far as they were not cut.
func checkValues(t *testing.T, line, text string) {
	t.Helper()
	var got struct{ Level, Object, Error, Message string }
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v: %.300q", err, line)
	}
	want := strings.ToValidUTF8(text, "\uFFFD\uFFFD")
	for _, value := range []string{got.Object, got.Error, got.Message} {
		value, _, cut := strings.Cut(value, "… (")
		if got.Level != "warn" || !cut && value != want || cut && (!strings.HasPrefix(text, value) || len(value) < 1000) {
			t.Errorf("%.300q became %.300q", text, value)
		}
	}
}
