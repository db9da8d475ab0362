package langflow

import (
	"strconv"
	"strings"
)

// Minor is the minor release of Langflow 1 that a server's version names: 13 for
// 1.13.0, and for langflow-base's 0.13.0, which is the same server. It is false
// for what is neither, such as "".
func Minor(version string) (int, bool) {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return n, err == nil && n >= 0 && (major == "1" || major == "0")
}
