package localapi

import (
	"os"
	"testing"
)

func TestProcessFigures(t *testing.T) {
	before, resident, ok := processFigures()
	if !ok || before < 3 || resident < 1<<20 {
		t.Fatalf("%v open files, %v bytes, %v", before, resident, ok)
	}
	for range 50 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if after, _, _ := processFigures(); after < before+40 || after > before+60 {
		t.Errorf("%v open files and 50 more are %v", before, after)
	}
}
