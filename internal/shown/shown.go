// Package shown escapes texts of SyncTargets and tenants for logs and terminals: they must not move the cursor, turn the reading direction,
// imitate another line, or fill the screen.
package shown

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is s as one line of at most the given number of characters with a note if it was cut. Characters that do not print (control characters,
// line breaks, marks of direction, invisible ones, broken UTF-8) are written as escapes, as in Go.
func Line(s string, most int) string { return text(s, most, false) }

// Lines is Line for a text of several lines: line breaks and tabs stay.
func Lines(s string, most int) string { return text(s, most, true) }

func text(s string, most int, breaks bool) string {
	var b strings.Builder
	count := 0
	for i, r := range s {
		if count++; count > most {
			fmt.Fprintf(&b, "… (%d bytes)", len(s))
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r) || breaks && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// escape is the escape of a character that does not print, as Go writes it.
func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xFFFF:
		return fmt.Sprintf(`\u%04x`, r)
	default:
		return fmt.Sprintf(`\U%08x`, r)
	}
}

// Printable is whether Lines would leave s as it is, were it not too long.
func Printable(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") || !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}

// JSON is a JSON text with the same value in which everything prints: a character that does not can only stand in a string, as an escape.
func JSON(data []byte) []byte {
	if Printable(string(data)) {
		return data
	}
	out := make([]byte, 0, len(data)+len(data)/4)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case unicode.IsPrint(r) || r == '\n' || r == '\t':
			out = append(out, data[:size]...)
		case r <= 0xFFFF:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		}
		data = data[size:]
	}
	return out
}
