package chromium

import "path/filepath"

// quiet are arguments for this system alone: none. The browser encrypts its cookies
// for this user (DPAPI) without asking.
var quiet []string

// places are the full paths where the browsers may be: an installer puts them into one
// of three folders, for all users or for one.
func places(getenv func(string) string) []string {
	var all []string
	for _, program := range []string{
		`Google\Chrome\Application\chrome.exe`,
		`Microsoft\Edge\Application\msedge.exe`,
		`Chromium\Application\chrome.exe`,
		`BraveSoftware\Brave-Browser\Application\brave.exe`,
		`Vivaldi\Application\vivaldi.exe`,
	} {
		for _, name := range []string{"ProgramFiles", "ProgramFiles(x86)", "LocalAppData"} {
			if folder := getenv(name); filepath.IsAbs(folder) {
				all = append(all, filepath.Join(folder, program))
			}
		}
	}
	return all
}

// checkDesktop is nil: the system refuses a window where there is no desktop.
func checkDesktop(func(string) string) error { return nil }

// confined is false: browsers here have access to the user's folders.
func confined(string) bool { return false }
