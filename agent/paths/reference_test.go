package paths

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"langkeep/assets/casebook"
)

// docs/configuration.md describes the files with the comments of paths.go.
func TestFilesReference(t *testing.T) {
	const document = "docs/configuration.md"
	var folders [][]string
	for _, system := range []struct{ name, goos string }{{"Linux", "linux"}, {"macOS", "darwin"}, {"Windows", "windows"}} {
		// Absolute, as resolve wants them; the reader sees them without.
		root, variable := "/", "$%s"
		if system.goos == "windows" {
			root, variable = "C:/", "%%%s%%"
		}
		getenv := func(name string) string {
			if name == "LANGKEEP_HOME" {
				return ""
			}
			return root + fmt.Sprintf(variable, name)
		}
		p, err := resolve(system.goos, getenv, 1000, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		row := []string{system.name}
		for _, dir := range []string{p.Config, p.State, p.Run} {
			dir = strings.TrimPrefix(filepath.ToSlash(dir), filepath.ToSlash(root))
			if system.goos == "windows" { // where this may not run
				dir = strings.ReplaceAll(dir, "/", `\`)
			}
			row = append(row, "`"+dir+"`")
		}
		folders = append(folders, row)
	}
	casebook.Table(t, document, "TestFilesReference in agent/paths: folders", []string{"system", "configuration", "state", "run"}, folders)

	comments := casebook.Comments(t, "paths.go")
	p := Paths{Config: "configuration", State: "state", Run: "run"}
	var files [][]string
	v := reflect.ValueOf(p)
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		if m.Type.NumOut() != 1 || m.Type.Out(0).Kind() != reflect.String || m.Name == "KeychainService" || m.Name == "ProfilesDir" {
			continue
		}
		var args []reflect.Value
		if m.Type.NumIn() == 2 {
			args = []reflect.Value{reflect.ValueOf("NAME")}
		}
		path := filepath.ToSlash(v.Method(i).Call(args)[0].String())
		folder, name, _ := strings.Cut(path, "/")
		// "Lock is held by…": the name is in the first column already.
		what := strings.TrimPrefix(comments["Paths."+m.Name], m.Name+" ")
		if what == "" {
			t.Errorf("nothing says what %s is", m.Name)
		}
		files = append(files, []string{"`" + name + "`", folder, what})
	}
	casebook.Table(t, document, "TestFilesReference in agent/paths: files", []string{"file", "folder", "what it is"}, files)
}
