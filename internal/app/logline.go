package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/shown"
)

const (
	longLine  = 4 << 10 // bytes; the values of a longer line are cut
	longValue = 1000    // characters
)

// printable takes JSON lines and writes them so that a terminal shows them as they are: names and messages come from clusters that
// tenants write to.
type printable struct{ next io.Writer }

// Write is given one whole line, as zerolog does.
func (w printable) Write(line []byte) (int, error) {
	shortened := line
	if len(line) > longLine {
		shortened = shorten(line)
	}
	if _, err := w.next.Write(shown.JSON(shortened)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// shorten cuts the long values of a JSON line.
func shorten(line []byte) []byte {
	lax := []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}
	var out bytes.Buffer
	from, to := jsontext.NewDecoder(bytes.NewReader(line), lax...), jsontext.NewEncoder(&out, lax...)
	for {
		token, err := from.ReadToken()
		if err == nil && token.Kind() == '"' {
			token = jsontext.String(shortValue(token.String()))
		}
		if err == nil {
			err = to.WriteToken(token)
		}
		switch {
		case errors.Is(err, io.EOF):
			return out.Bytes() // with the line break that follows a whole value
		case err != nil: // a line that is no JSON is no line of ours
			return fmt.Appendf(nil, `{"level":"error","message":"a log line of %d bytes cannot be read"}`+"\n", len(line))
		}
	}
}

// shortValue keeps characters that do not print; shown.JSON escapes them in a reversible way.
func shortValue(s string) string {
	if len(s) <= longValue {
		return s
	}
	runes := 0
	for i := range s {
		if runes++; runes > longValue {
			return fmt.Sprintf("%s… (%d bytes)", s[:i], len(s))
		}
	}
	return s
}

// console is the writer of lines for people. zerolog hands it unescaped values, and prints the message as it is.
func console(w io.Writer, timeFormat string) io.Writer {
	return printable{zerolog.ConsoleWriter{Out: w, TimeFormat: timeFormat, FormatPrepare: func(line map[string]any) error {
		for name, value := range line {
			line[name] = printableValue(name, value)
		}
		return nil
	}}}
}

// printableValue leaves texts alone that zerolog quotes by itself.
func printableValue(name string, value any) any {
	switch v := value.(type) {
	case string:
		if name == zerolog.MessageFieldName {
			return shown.Line(v, longLine)
		}
	case []any:
		for i := range v {
			v[i] = printableValue(zerolog.MessageFieldName, v[i])
		}
	case map[string]any:
		inner := make(map[string]any, len(v))
		for key := range v {
			inner[shown.Line(key, longValue)] = printableValue(zerolog.MessageFieldName, v[key])
		}
		return inner
	}
	return value
}
