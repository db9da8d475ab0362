package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	jsonDepth  = 100 // arrays and objects in each other; a flow has about 15
	jsonNumber = 64  // bytes; Python reads integers of any length, slowly
)

// parseJSON reads a JSON text (RFC 8259) that every parser reads alike: objects
// become map[string]any, arrays []any, strings string, numbers number, then bool
// and nil.
//
// Errors are all that parsers differ in: a name twice in an object (the first or
// the last one counts), NaN and Infinity (Python's json takes them), invalid
// UTF-8 and half of a surrogate pair (Go replaces them, orjson refuses them,
// Python's json keeps them), a byte order mark, other encodings, text after the
// end, and depths that end some parsers.
func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	p := jsonParser{text: text}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at != len(text) {
		return nil, fmt.Errorf("there is more after its end, at byte %d", p.at)
	}
	return v, nil
}

// number is a JSON number as it was written.
type number string

type jsonParser struct {
	text []byte
	at   int
}

func (p *jsonParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// take passes over a byte, if it is the next one.
func (p *jsonParser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) wrong() error { return fmt.Errorf("it is not JSON at byte %d", p.at) }

func (p *jsonParser) value(depth int) (any, error) {
	p.space()
	if p.at == len(p.text) {
		return nil, p.wrong()
	}
	if depth > jsonDepth {
		return nil, fmt.Errorf("it is deeper than %d levels", jsonDepth)
	}
	switch c := p.text[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for word, v := range map[string]any{"true": true, "false": false, "null": nil} {
		if len(p.text)-p.at >= len(word) && string(p.text[p.at:p.at+len(word)]) == word {
			p.at += len(word)
			return v, nil
		}
	}
	return nil, p.wrong()
}

func (p *jsonParser) object(depth int) (any, error) {
	p.at++ // {
	o := map[string]any{}
	p.space()
	if p.take('}') {
		return o, nil
	}
	for {
		p.space()
		if p.at == len(p.text) || p.text[p.at] != '"' {
			return nil, p.wrong()
		}
		name, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("an object has %.60q twice", name)
		}
		p.space()
		if !p.take(':') {
			return nil, p.wrong()
		}
		if o[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		p.space()
		if p.take('}') {
			return o, nil
		}
		if !p.take(',') {
			return nil, p.wrong()
		}
	}
}

func (p *jsonParser) array(depth int) (any, error) {
	p.at++ // [
	a := []any{}
	p.space()
	if p.take(']') {
		return a, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		p.space()
		if p.take(']') {
			return a, nil
		}
		if !p.take(',') {
			return nil, p.wrong()
		}
	}
}

func (p *jsonParser) quoted() (string, error) {
	p.at++ // "
	var s []byte
	start := p.at
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			s = append(s, p.text[start:p.at]...)
			p.at++
			return string(s), nil
		case c < ' ':
			return "", p.wrong()
		case c == '\\':
			s = append(s, p.text[start:p.at]...)
			r, err := p.escaped()
			if err != nil {
				return "", err
			}
			s = utf8.AppendRune(s, r)
			start = p.at
		default:
			p.at++
		}
	}
	return "", p.wrong()
}

var jsonEscapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads what begins with a backslash: one escape, or two that are a
// surrogate pair.
func (p *jsonParser) escaped() (rune, error) {
	p.at++ // \
	if p.at == len(p.text) {
		return 0, p.wrong()
	}
	if p.text[p.at] != 'u' {
		r, ok := jsonEscapes[p.text[p.at]]
		if !ok {
			return 0, p.wrong()
		}
		p.at++
		return r, nil
	}
	p.at--
	r, err := p.unit()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	low, err := p.unit()
	if err != nil {
		return 0, err
	}
	pair := utf16.DecodeRune(r, low)
	if pair == utf8.RuneError {
		return 0, p.wrong()
	}
	return pair, nil
}

// unit reads \u and four hexadecimal digits.
func (p *jsonParser) unit() (rune, error) {
	if len(p.text)-p.at < 6 || p.text[p.at] != '\\' || p.text[p.at+1] != 'u' {
		return 0, p.wrong()
	}
	var r rune
	for _, c := range p.text[p.at+2 : p.at+6] {
		digit, err := strconv.ParseUint(string(rune(c)), 16, 8)
		if err != nil {
			return 0, p.wrong()
		}
		r = r<<4 | rune(digit)
	}
	p.at += 6
	return r, nil
}

func (p *jsonParser) number() (any, error) {
	start := p.at
	digits := func() bool {
		from := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		return p.at > from
	}
	p.take('-')
	if !p.take('0') && !digits() {
		return nil, p.wrong()
	}
	if p.take('.') && !digits() {
		return nil, p.wrong()
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if !digits() {
			return nil, p.wrong()
		}
	}
	n := string(p.text[start:p.at])
	if len(n) > jsonNumber {
		return nil, fmt.Errorf("it has a number of more than %d digits", jsonNumber)
	}
	if f, err := strconv.ParseFloat(n, 64); err != nil || f-f != 0 {
		return nil, errors.New("it has a number that is too large") // Python's json reads it as infinity
	}
	return number(n), nil
}
