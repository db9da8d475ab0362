package mcp

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// maxDepth is how deep values may be in each other, as in encoding/json.
const maxDepth = 10000

// scanner reads a JSON text (RFC 8259) once. It takes the texts that encoding/json takes,
// and is there for answers of many megabytes, on which encoding/json spends most of the
// time that the relay takes.
type scanner struct {
	text  []byte
	at    int  // the next byte
	lines bool // there was a line's end between values
}

// next is the next byte; 0 at the end, which begins no value.
func (s *scanner) next() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// space skips white space.
func (s *scanner) space() {
	for ; ; s.at++ {
		switch s.next() {
		case '\n', '\r':
			s.lines = true
		case ' ', '\t':
		default:
			return
		}
	}
}

// take takes a byte, if it is the next.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

// whole takes one value with white space around it, and tells whether the text ends there.
func (s *scanner) whole() bool {
	s.space()
	if !s.value(0) {
		return false
	}
	s.space()
	return s.at == len(s.text)
}

// value takes a value, depth values deep.
func (s *scanner) value(depth int) bool {
	switch c := s.next(); c {
	case '"':
		return s.str()
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// object takes an object. It calls member, unless that is nil, with each name as it is
// written and the value.
func (s *scanner) object(depth int, member func(name, value []byte)) bool {
	if !s.take('{') || depth >= maxDepth {
		return false
	}
	s.space()
	if s.take('}') {
		return true
	}
	for {
		begin := s.at
		if s.next() != '"' || !s.str() {
			return false
		}
		name := s.text[begin:s.at]
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		begin = s.at
		if !s.value(depth + 1) {
			return false
		}
		if member != nil {
			member(name, s.text[begin:s.at])
		}
		s.space()
		if !s.take(',') {
			return s.take('}')
		}
		s.space()
	}
}

// array takes an array. It calls element, unless that is nil, with each value.
func (s *scanner) array(depth int, element func([]byte)) bool {
	if !s.take('[') || depth >= maxDepth {
		return false
	}
	s.space()
	if s.take(']') {
		return true
	}
	for {
		begin := s.at
		if !s.value(depth + 1) {
			return false
		}
		if element != nil {
			element(s.text[begin:s.at])
		}
		s.space()
		if !s.take(',') {
			return s.take(']')
		}
		s.space()
	}
}

func (s *scanner) word(word string) bool {
	for i := range len(word) {
		if !s.take(word[i]) {
			return false
		}
	}
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits takes one digit or more.
func (s *scanner) digits() bool {
	begin := s.at
	for c := s.next(); '0' <= c && c <= '9'; c = s.next() {
		s.at++
	}
	return s.at > begin
}

// str takes a string. Eight bytes at a time it looks for one that is not itself in a
// string: a quotation mark, a backslash or a control character.
func (s *scanner) str() bool {
	text, at := s.text, s.at+1
	for {
		for at+8 <= len(text) {
			const ones, high = 0x0101010101010101, 0x8080808080808080
			word := binary.LittleEndian.Uint64(text[at:])
			quote, slash := word^ones*'"', word^ones*'\\'
			// Each byte of interest sets its high bit; a borrow may set bits above one of them.
			if special := ((quote-ones)&^quote | (slash-ones)&^slash | (word-ones*' ')&^word) & high; special != 0 {
				at += bits.TrailingZeros64(special) / 8
				break
			}
			at += 8
		}
		if at == len(text) {
			return false
		}
		switch c := text[at]; {
		case c == '"':
			s.at = at + 1
			return true
		case c == '\\':
			n := escape(text[at+1:])
			if n == 0 {
				return false
			}
			at += 1 + n
		case c < ' ':
			return false
		default:
			at++
		}
	}
}

// escape is how many bytes of a text are what follows a backslash; 0: none can.
func escape(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
	default:
		return 0
	}
	const n = 5 // with four digits
	if len(text) < n {
		return 0
	}
	for _, c := range text[1:n] {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return 0
		}
	}
	return n
}

// nameOf is a member's name; "" for one that is nobody's here.
func nameOf(written []byte) string {
	inner := written[1 : len(written)-1]
	for _, c := range inner {
		if c == '\\' {
			var name string
			_ = json.Unmarshal(written, &name) // it is a string
			return name
		}
	}
	return string(inner)
}

// memberOf is the last member of that name in an object; nil if there is none, or the text
// is no object.
func memberOf(object []byte, name string) (value json.RawMessage) {
	s := scanner{text: object}
	s.space()
	if !s.object(0, func(written, v []byte) {
		if nameOf(written) == name {
			value = v
		}
	}) {
		return nil
	}
	return value
}
