package lean

import (
	"encoding/binary"
	"math/bits"
)

// These functions find the ends of tokens in a window, eight bytes at a time where possible. They read no input, so the window's end may
// cut a token.

// scalarEnd finds the end of a literal or a plain number that begins at b[i]; ok is false where there is more to it.
func scalarEnd(b []byte, i int) (end int, ok bool) {
	switch rest := b[i:]; {
	case len(rest) >= 4 && (string(rest[:4]) == "true" || string(rest[:4]) == "null"):
		return i + 4, true
	case len(rest) >= 5 && string(rest[:5]) == "false":
		return i + 5, true
	}
	end = i
	for end < len(b) && digit(b[end]) {
		end++
	}
	switch {
	case end == i, end == len(b), b[i] == '0' && end > i+1, b[end] == '.', b[end]|0x20 == 'e':
		return i, false
	}
	return end, true
}

// stringEnd finds the end of a string of which b[i:] is behind the opening quote. If ok, end is behind the closing quote; else it is
// where the window cuts the string, or at something that can't be in a string.
func stringEnd(b []byte, i int) (end int, ok bool) {
	for i >= 0 && i < len(b) {
		if i <= len(b)-16 { // most strings end within two words
			stop, second := special(word(b, i), false), special(word(b, i+8), false)
			if stop|second == 0 {
				i += 16
				continue
			}
			if stop == 0 {
				stop, i = second, i+8
			}
			i += bits.TrailingZeros64(stop) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c == '\\' && i+1 < len(b) && b[i+1] == '"': // the most frequent escape
			i += 2
		case c == '\\':
			n := escape(b[i:])
			if n <= 0 {
				return i, false
			}
			i += n
		case c < ' ':
			return i, false
		default:
			i++ // fewer than two words are left
		}
	}
	return i, false
}

// word is b[i:i+8].
func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }

// plain counts the bytes up to the first that does not stand for itself: a quote, an escape, a control character, or beyond ASCII.
func plain(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if stop := special(word(b, i), true); stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' && b[i] < 0x80 {
		i++
	}
	return i
}

// special marks, with their highest bits, those of eight bytes that are a quote, a backslash or a control character, or beyond ASCII if
// wanted. Only the lowest mark is sure: a subtraction borrows from the bytes above.
func special(x uint64, beyondASCII bool) uint64 {
	const each = 0x0101010101010101
	// Flipping 2 brings the quote (0x22) to 0x20 and leaves the control characters below: one comparison for both.
	marks := ((x ^ each*0x02) - each*0x21) | ((x ^ each*'\\') - each)
	if beyondASCII {
		return (marks | x) & (each * 0x80)
	}
	return marks &^ x & (each * 0x80)
}

// escape is the length of the escape at the beginning of b; 0 if b cuts it, -1 if there is none.
func escape(b []byte) int {
	if b[0] != '\\' {
		return -1
	}
	if len(b) == 1 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		for i := 2; i < 6; i++ {
			if i == len(b) {
				return 0
			}
			if c := b[i] | 0x20; !digit(b[i]) && (c < 'a' || c > 'f') {
				return -1
			}
		}
		return 6
	}
	return -1
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
