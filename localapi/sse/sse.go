// Package sse reads Server-Sent Events.
package sse

import (
	"bufio"
	"bytes"
	"io"
	"iter"
)

// Event is one event of a stream.
type Event struct {
	Name string // "" stands for message
	Data []byte // valid until the next event
}

// Read reads the events of a stream (WHATWG HTML, section 9.2), none larger than
// most bytes. Those without data are skipped, and so is a byte order mark at the
// stream's start. The last value is an error: io.EOF at the stream's end,
// bufio.ErrTooLong, or the reader's.
func Read(r io.Reader, most int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, most)
		lines.Split((&splitter{}).split)
		var e Event
		first, empty := true, true
		for lines.Scan() {
			line := lines.Bytes()
			if first {
				line, first = bytes.TrimPrefix(line, []byte("\ufeff")), false
			}
			if len(line) == 0 {
				if !empty && !yield(Event{e.Name, bytes.TrimSuffix(e.Data, []byte("\n"))}, nil) {
					return
				}
				e, empty = Event{Data: e.Data[:0]}, true
				continue
			}
			field, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "event":
				e.Name = string(value)
			case "data":
				if len(e.Data)+len(value) > most {
					yield(Event{}, bufio.ErrTooLong)
					return
				}
				e.Data, empty = append(append(e.Data, value...), '\n'), false
			}
		}
		err := lines.Err()
		if err == nil {
			err = io.EOF
		}
		yield(Event{}, err)
	}
}

// splitter finds lines that end in any of the three ways that the format allows.
// Its state makes a long line cost linear time: no byte is searched twice.
type splitter struct {
	searched int  // bytes of the unfinished line that have no end in them
	afterCR  bool // the last line ended in a carriage return: a line feed belongs to it
}

// split is a bufio.SplitFunc. A last line without an end is dropped, as the
// format wants.
func (s *splitter) split(data []byte, atEOF bool) (advance int, line []byte, err error) {
	start := 0
	if s.afterCR && len(data) > 0 && data[0] == '\n' {
		start = 1
	}
	from := max(start, s.searched)
	i := bytes.IndexAny(data[from:], "\r\n")
	if i < 0 {
		s.searched = len(data)
		if atEOF {
			return len(data), nil, nil
		}
		return 0, nil, nil
	}
	i += from
	s.searched, s.afterCR = 0, data[i] == '\r'
	return i + 1, data[start:i], nil
}
