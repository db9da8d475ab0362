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
	return ReadInto(r, most, new([]byte))
}

// ReadInto is Read with a buffer for the events' data; in the end it is the one that was
// used, which may be larger. Memory that is used again costs little.
func ReadInto(r io.Reader, most int, buffer *[]byte) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		in := bufio.NewReaderSize(r, chunk)
		l := lines{most: most, first: true, data: (*buffer)[:0]}
		defer func() { *buffer = l.data }()
		for {
			if _, err := in.Peek(1); err != nil { // a last line without an end is dropped, as the format wants
				yield(Event{}, err)
				return
			}
			part, _ := in.Peek(in.Buffered()) // as much as there is
			n, whole := l.take(part)
			_, _ = in.Discard(n) // which is there
			if l.tooLong {
				yield(Event{}, bufio.ErrTooLong)
				return
			}
			if whole {
				if l.begun && !yield(Event{l.name, bytes.TrimSuffix(l.data, []byte("\n"))}, nil) {
					return
				}
				l.name, l.data, l.begun = "", l.data[:0], false
			}
		}
	}
}

// chunk is how much of a stream is read at once, in bytes.
const chunk = 32 << 10

// lines puts the lines of a stream together to events. The text of a data field goes
// straight to its place, piece by piece as it comes, so that a long line costs one copy.
type lines struct {
	most    int
	tooLong bool

	line    []byte // the unfinished one, unless isData
	isData  bool   // the unfinished line is a data field, whose name has been read
	first   bool   // it is the first one of the stream
	afterCR bool   // the last one ended in a carriage return: a line feed belongs to it

	name  string
	data  []byte // each line with a line feed behind it
	begun bool   // there is data
}

// take takes the first line of a part of the stream, or the whole part if no line ends in
// it: n bytes. whole tells that the event has ended with the line.
func (l *lines) take(part []byte) (n int, whole bool) {
	if l.afterCR {
		l.afterCR = false
		if part[0] == '\n' {
			return 1, false
		}
	}
	end := lineEnd(part)
	if end < 0 {
		l.add(part)
		return len(part), false
	}
	l.add(part[:end])
	l.afterCR = part[end] == '\r'
	return end + 1, l.end()
}

// lineEnd is the place of the first byte that ends a line; -1 if none does.
func lineEnd(part []byte) int {
	// A search for two bytes is slow, and two searches would look at all of the part for
	// each of its short lines.
	const near = 256
	if i := bytes.IndexAny(part[:min(near, len(part))], "\r\n"); i >= 0 || len(part) <= near {
		return i
	}
	part = part[near:]
	end := bytes.IndexByte(part, '\n')
	if end < 0 {
		end = len(part)
	}
	if cr := bytes.IndexByte(part[:end], '\r'); cr >= 0 {
		end = cr
	}
	if end == len(part) {
		return -1
	}
	return near + end
}

// add adds to the unfinished line.
func (l *lines) add(text []byte) {
	if l.isData {
		l.data = append(Grown(l.data, len(text)), text...)
	} else {
		l.line = append(l.line, text...)
		if l.first && len(l.line) >= len(byteOrderMark) {
			l.line, l.first = bytes.TrimPrefix(l.line, byteOrderMark), false
		}
		const name = "data:"
		if value, ok := bytes.CutPrefix(l.line, []byte(name)); ok && len(value) > 0 && !l.first {
			l.isData = true
			l.data = append(l.data, bytes.TrimPrefix(value, []byte(" "))...)
			l.line = l.line[:0]
		}
	}
	l.tooLong = max(len(l.data), len(l.line)) > l.most
}

// Grown returns a buffer with room for n more bytes. It grows in fewer steps than append
// takes, which leave more behind than the text itself has.
func Grown(buffer []byte, n int) []byte {
	if len(buffer)+n <= cap(buffer) {
		return buffer
	}
	return append(make([]byte, 0, 3*cap(buffer)+n), buffer...)
}

var byteOrderMark = []byte("\ufeff")

// end ends the unfinished line, and tells whether that ends the event.
func (l *lines) end() (whole bool) {
	line := l.line
	l.line, l.first = l.line[:0], false
	field, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case l.isData, string(field) == "data":
		l.data, l.isData, l.begun = append(l.data, '\n'), false, true
	case len(line) == 0:
		return true
	case string(field) == "event":
		l.name = string(bytes.TrimPrefix(value, []byte(" ")))
	}
	return false
}
