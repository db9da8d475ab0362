//go:build real

package trials

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"unicode/utf16"
)

// The types of resources, as winuser.h numbers them.
const (
	typeIcon      = 3
	typeGroupIcon = 14
	typeVersion   = 16
	typeManifest  = 24
)

// TestResources builds langkeep.exe as a release is built, and looks for what
// assets/windows says in it.
func TestResources(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("make is not at hand on every Windows")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	build := func() []byte {
		exe := filepath.Join(t.TempDir(), "langkeep.exe")
		cmd := exec.Command("make", "-C", root, "build", "VERSION=v1.2.3", "BINARY="+exe)
		cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		data, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	exe := build()
	t.Cleanup(func() {
		// A plain go build has none.
		files, _ := filepath.Glob("../langkeep/*.syso")
		for _, file := range files {
			_ = os.Remove(file)
		}
	})
	if !bytes.Equal(exe, build()) {
		t.Error("built twice it is not the same")
	}
	found := resources(t, exe)

	manifest, err := os.ReadFile(filepath.Join(root, "assets", "windows", "langkeep.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if got := found[typeManifest]; len(got) != 1 || !bytes.Equal(got[0], manifest) {
		t.Errorf("the manifest is %q", got)
	}
	if !bytes.Contains(manifest, []byte(">detached</consoleAllocationPolicy>")) {
		t.Error("the manifest lets Windows open a console")
	}
	icon, err := os.ReadFile(filepath.Join(root, "assets", "icons", "app.ico"))
	if err != nil {
		t.Fatal(err)
	}
	images := iconImages(icon)
	if len(found[typeGroupIcon]) != 1 || len(found[typeIcon]) != len(images) {
		t.Errorf("%d icons of %d images, want 1 of %d", len(found[typeGroupIcon]), len(found[typeIcon]), len(images))
	}
	for i, image := range images {
		if !slices.ContainsFunc(found[typeIcon], func(got []byte) bool { return bytes.Equal(got, image) }) {
			t.Errorf("image %d of app.ico is not in it", i)
		}
	}
	if got := found[typeVersion]; len(got) != 1 {
		t.Errorf("%d versions", len(got))
	} else {
		for _, text := range []string{"Langkeep", "langkeep.exe", "v1.2.3", "MIT licence"} {
			if !bytes.Contains(got[0], wide(text)) {
				t.Errorf("the version has no %q", text)
			}
		}
		// VS_FIXEDFILEINFO: signature, version of the structure, file version.
		fixed := []byte{0xbd, 0x04, 0xef, 0xfe, 0, 0, 1, 0, 2, 0, 1, 0, 0, 0, 3, 0}
		if !bytes.Contains(got[0], fixed) {
			t.Error("the file's version is not 1.2.3.0")
		}
	}
}

func wide(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// iconImages are the images of an ICO file: a header of 6 bytes, and entries of 16
// with each one's size and offset at their end.
func iconImages(ico []byte) [][]byte {
	var images [][]byte
	for i := range int(binary.LittleEndian.Uint16(ico[4:])) {
		entry := ico[6+16*i:]
		size, offset := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
		images = append(images, ico[offset:offset+size])
	}
	return images
}

// resources reads the section .rsrc of a program: a tree of type, name and
// language, by the "PE Format" of learn.microsoft.com.
func resources(t *testing.T, exe []byte) map[uint32][][]byte {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(exe))
	if err != nil {
		t.Fatal(err)
	}
	section := f.Section(".rsrc")
	if section == nil {
		t.Fatal("it has no resources")
	}
	data, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	const inner = 1 << 31 // the entry is a folder
	found := map[uint32][][]byte{}
	var walk func(at uint32, kind uint32, depth int)
	walk = func(at uint32, kind uint32, depth int) {
		entries := int(binary.LittleEndian.Uint16(data[at+12:])) + int(binary.LittleEndian.Uint16(data[at+14:]))
		for i := range entries {
			entry := data[int(at)+16+8*i:]
			name, offset := binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:])
			if depth == 0 {
				kind = name
			}
			if offset&inner != 0 && depth < 2 {
				walk(offset&^inner, kind, depth+1)
				continue
			}
			address, size := binary.LittleEndian.Uint32(data[offset:]), binary.LittleEndian.Uint32(data[offset+4:])
			begin := address - section.VirtualAddress
			found[kind] = append(found[kind], data[begin:begin+size])
		}
	}
	walk(0, 0, 0)
	return found
}
