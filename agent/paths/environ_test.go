package paths

import (
	"strings"
	"testing"
)

func TestForPrograms(t *testing.T) {
	got := strings.Join(ForPrograms([]string{"A=1", "LANGKEEP_TOKEN=x", "Langkeep_Url=y", "LANGKEEP_HOME=/srv", "XLANGKEEP_=2"}), " ")
	if got != "A=1 LANGKEEP_HOME=/srv XLANGKEEP_=2" {
		t.Errorf("it is %q", got)
	}
}
