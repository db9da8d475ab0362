package langflow

import "time"

const (
	// tick is how much a right Date lags at most: it has whole seconds, and uvicorn makes it
	// once a second.
	tick = 2 * time.Second
	// tolerance is by how much a clock may differ from ours and still be as right.
	tolerance = 2 * time.Second
	// staleAtMost bounds how old a server's first Date is believed to be. A server whose
	// event loop was blocked sends the Date of before: Langflow 1.13.0 on a busy computer
	// one of 8 s ago.
	staleAtMost = 30 * time.Second
	// unconfirmed is how long an offset that may come from an old Date waits for an answer
	// that has it too.
	unconfirmed = 10 * time.Second
)

// measured is what is known of the server's clock.
type measured struct {
	offset time.Duration
	lower  time.Time // when answers began to say that the offset is a little lower; zero: they don't
}

// Offset is the server's clock minus ours, from the newest responses with a usable Date;
// known is false before the first.
func (c *Client) Offset() (offset time.Duration, known bool) {
	if m := c.measured.Load(); m != nil {
		return m.offset, true
	}
	return 0, false
}

// take takes an offset that an answer has shown. One that is lower than what is known waits
// until a later answer shows it too: a Date can be old, which makes tokens look
// longer-lived than they are, but never early. Only a server's first Date may be far behind.
func (c *Client) take(offset time.Duration, a *answer) {
	held := c.measured.Load()
	next := &measured{offset: offset}
	known, measuredBefore := c.Offset()
	if lower := known - offset; lower > 0 && (measuredBefore || lower <= staleAtMost) {
		since := a.received
		if held != nil && !held.lower.IsZero() {
			since = held.lower
		}
		if a.received.Sub(since) < unconfirmed {
			next = &measured{known, since}
		}
	}
	c.measured.CompareAndSwap(held, next) // an answer that came meanwhile is as good
}

// offsetOf measures the offset from one answer. The server's clock read anything from Date
// to Date + tick at some moment between sending and receiving. If a difference of at most
// tolerance is possible, the offset is 0. Otherwise it is the upper end, which makes tokens
// look shorter-lived than they are, never longer.
func offsetOf(a *answer, date time.Time) time.Duration {
	low, high := date.Sub(a.received), date.Add(tick).Sub(a.begun())
	if low <= tolerance && high >= -tolerance {
		return 0
	}
	return high
}

// begun is when the request was sent, by a wall clock that was not put back meanwhile.
func (a *answer) begun() time.Time {
	if s := a.received.Add(-a.took); s.Before(a.sent) {
		return s
	}
	return a.sent
}

// observe takes the offset from any answer. No token confirms such a Date, so one that
// is more than ten years off the known time is not believed.
func (c *Client) observe(a *answer) {
	date, err := a.date()
	if err != nil {
		return
	}
	offset := offsetOf(a, date)
	if known, _ := c.Offset(); (offset - known).Abs() <= MaxLifetime {
		c.take(offset, a)
	}
}

// issuedAt returns the server's time when it made a token with this expClaim, and takes
// the offset from the same answer. That is its Date, unless the token would then be born
// dead or live for over ten years, or the offset known before shows that the Date is old:
// such a Date is odd, so our clock and that offset decide, then our clock alone. If the
// token is odd by all of them, the Date is not to blame.
func (c *Client) issuedAt(a *answer, exp float64, ok bool) time.Time {
	offset, _ := c.Offset()
	ours := a.received.Add(offset)
	date, err := a.date()
	switch {
	case err != nil:
	case !ok:
		c.observe(a)
		return date
	case believable(exp, date):
		old := a.begun().Add(offset).Sub(date) > tick+tolerance
		if old && !believable(exp, ours) { // the token confirms that the server's clock is behind
			c.measured.Store(&measured{offset: offsetOf(a, date)})
			return date
		}
		c.take(offsetOf(a, date), a)
		if old {
			return ours
		}
		return date
	case !believable(exp, ours) && !believable(exp, a.received):
		c.observe(a)
		return date
	}
	if ok && !believable(exp, ours) && believable(exp, a.received) {
		return a.received
	}
	return ours
}
