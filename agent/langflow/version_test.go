package langflow

import "testing"

func TestMinor(t *testing.T) {
	for _, tt := range []struct {
		version string
		minor   int
		ok      bool
	}{
		{"1.13.0", 13, true}, {"0.10.3", 10, true}, {"1.4.3", 4, true}, {"1.14.0rc1", 14, true}, {"1.0.19.post2", 0, true},
		{"2.0.0", 0, false}, {"", 0, false}, {"1", 0, false}, {"1.x", 0, false}, {"latest", 0, false}, {"1.-3", -3, false},
	} {
		minor, ok := Minor(tt.version)
		if ok != tt.ok || ok && minor != tt.minor {
			t.Errorf("%q: %d %v", tt.version, minor, ok)
		}
	}
}
