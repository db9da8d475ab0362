package chromium

import "path/filepath"

// quiet are arguments for this system alone: none. The browser keeps the key to its
// cookies in the keychain, where it may look without asking.
var quiet []string

// places are the full paths where the browsers may be.
func places(getenv func(string) string) []string {
	folders := []string{"/Applications"}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		folders = append(folders, filepath.Join(home, "Applications"))
	}
	var all []string
	for _, name := range []string{"Google Chrome", "Microsoft Edge", "Chromium", "Brave Browser", "Vivaldi"} {
		for _, folder := range folders {
			all = append(all, filepath.Join(folder, name+".app", "Contents", "MacOS", name))
		}
	}
	return all
}

// checkDesktop is nil: the system refuses a window where there is no desktop.
func checkDesktop(func(string) string) error { return nil }

// confined is false: browsers here have access to the user's folders.
func confined(string) bool { return false }
