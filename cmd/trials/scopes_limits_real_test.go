//go:build real

package trials

import (
	"strings"
)

// testLimits is what a flow's own making lets a client with run do, as the threat
// model says: an input that is bound to a variable takes the name of another one.
func (s *scoped) testLimits() {
	bound := s.echo()
	field := template(bound["nodes"].([]object)[0])["input_value"].(object)
	field["value"], field["load_from_db"] = "GREETING", true
	id := s.create("proxy", "Greeting", bound)
	if said := s.must(200, "run", "POST", "/api/v1/run/"+id, `{"input_value":"STOLEN"}`); !strings.Contains(said, stolen) {
		s.Errorf("the threat model says that an input bound to a variable takes another's name, which %s does not: %.700s", s.version, said)
	}
}
