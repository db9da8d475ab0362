package notify

import (
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	if got := plain("a<b>&\x1b\n\u0085\"q\""); got != "a‹b›+\"q\"" {
		t.Errorf("%q", got)
	}
	if got := plain("no $(calc) `n"); strings.ContainsAny(got, "$`") {
		t.Errorf("PowerShell would run a part of %q", got)
	}
}
