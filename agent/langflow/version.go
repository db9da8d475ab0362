package langflow

import (
	"strconv"
	"strings"
)

// AtLeast tells whether a server's version is a release of MAJOR.MINOR or a later
// one. langflow-base counts from 0 (0.13 is 1.13's). A version that can't be read,
// and one that came before a release (1.13.0.dev3), count as older.
func AtLeast(version, release string) bool {
	major, minor, ok := Release(version)
	wantMajor, wantMinor, wantOK := Release(release)
	return ok && wantOK && (major > wantMajor || major == wantMajor && minor >= wantMinor)
}

// Release reads the first two numbers of a release's version; false for anything
// else.
func Release(version string) (major, minor int, ok bool) {
	first, rest, ok := strings.Cut(version, ".")
	if !ok || strings.Trim(rest, "0123456789.") != "" {
		return 0, 0, false
	}
	second, _, _ := strings.Cut(rest, ".")
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	return max(major, 1), minor, errMajor == nil && errMinor == nil
}
