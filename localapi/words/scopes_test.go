package words

import "testing"

func TestMay(t *testing.T) {
	for _, tt := range []struct {
		scopes []string
		want   string
	}{
		{[]string{"run"}, "run flows with inputs"},
		{[]string{"token", "proxy"}, "get access tokens and use the whole account, code and credentials included"},
		{[]string{"read", "manage", "edit"}, "see how the sessions are, sign in and out and use the account, without what takes code"},
		{[]string{"newer\x1b[2J"}, "newer[2J"},
		{nil, ""},
	} {
		if got := May(tt.scopes); got != tt.want {
			t.Errorf("%v may %q, want %q", tt.scopes, got, tt.want)
		}
	}
}
