package langflow

import "testing"

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"1.13.0": true, "1.13": true, "1.14.2": true, "2.0.0": true, "0.13.0": true, "0.14.1": true,
		"1.12.9": false, "1.10.3": false, "0.10.3": false, "1.4.3": false, "1.0.19.post2": false,
		"1.13.0.dev3": false, "1.13.0rc1": false, "": false, "1": false, "1.x": false, "latest": false, "1.-13": false, "x.13": false,
	} {
		if got := AtLeast(version, "1.13"); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
