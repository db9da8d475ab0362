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
// most bytes. Those without data are skipped. The last value is an error: io.EOF
// at the stream's end, bufio.ErrTooLong, or the reader's.
func Read(r io.Reader, most int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, most)
		lines.Split(scanLines)
		var e Event
		empty := true
		for lines.Scan() {
			line := lines.Bytes()
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

// scanLines is a bufio.SplitFunc for lines that end in any of the three ways
// that the format allows. What the last line has without an end is dropped, as
// the format wants.
func scanLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF:
		return len(data), nil, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n' || i+1 < len(data) && data[i+1] != '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data):
		return i + 2, data[:i], nil
	case atEOF:
		return i + 1, data[:i], nil
	}
	return 0, nil, nil // more may follow the carriage return
}
