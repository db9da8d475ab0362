package vocabulary

import (
	"fmt"
	"strings"
)

// ValidName tells whether name can be that of a profile or a client: 1 to 63 of
// a-z, 0-9, dot, underscore and dash, a letter or digit at both ends, and not a
// name that Windows keeps for devices, with an extension or without.
func ValidName(name string) error {
	fail := func(why string) error {
		return fmt.Errorf("%q can't be a name: %s", name, why)
	}
	if name == "" || len(name) > 63 {
		return fail("it must have 1 to 63 characters")
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		switch {
		case !alnum && c != '.' && c != '_' && c != '-':
			return fail("use only a-z, 0-9, dot, underscore and dash")
		case !alnum && (i == 0 || i == len(name)-1):
			return fail("it must begin and end with a letter or a digit")
		}
	}
	stem, _, _ := strings.Cut(name, ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return fail("Windows keeps it for a device")
	}
	if len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && stem[3] >= '0' && stem[3] <= '9' {
		return fail("Windows keeps it for a device")
	}
	return nil
}
