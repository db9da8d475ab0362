package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const icons = "../icons"

func TestRenderedFilesAreThoseOfTheList(t *testing.T) {
	want := []string{sums}
	for _, name := range drawings {
		want = append(want, name+".svg")
	}
	for _, o := range outputs() {
		want = append(want, o.file)
		data, err := os.ReadFile(filepath.Join(icons, o.file))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := sizesOf(t, o.file, data); !slices.Equal(got, o.sizes) {
			t.Errorf("%s has %v pixels, want %v", o.file, got, o.sizes)
		}
	}
	entries, err := os.ReadDir(icons)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the folder has %v, want %v", got, want)
	}
}

func TestRenderedFilesAreOfTheseDrawings(t *testing.T) {
	want, err := checksums(icons)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(icons, sums))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("a drawing has changed: go run ./assets/render assets/icons (%v)", err)
	}
}

// sizesOf are the sizes of a PNG's or an ICO's images, which must be square.
func sizesOf(t *testing.T, name string, data []byte) []int {
	t.Helper()
	if filepath.Ext(name) == ".png" {
		c, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil || c.Width != c.Height {
			t.Errorf("%s: %dx%d, %v", name, c.Width, c.Height, err)
		}
		return []int{c.Width}
	}
	var sizes []int
	for i := range int(binary.LittleEndian.Uint16(data[4:])) {
		entry := data[6+16*i:]
		begin, length := binary.LittleEndian.Uint32(entry[12:]), binary.LittleEndian.Uint32(entry[8:])
		width := binary.LittleEndian.Uint32(data[begin+4:])
		if int(begin+length) > len(data) || entry[0] != entry[1] || width != uint32(entry[0]) {
			t.Errorf("%s: image %d is broken", name, i)
		}
		sizes = append(sizes, int(entry[0]))
	}
	return sizes
}

func TestTemplatesAreBlack(t *testing.T) {
	for _, o := range outputs() {
		if !strings.HasSuffix(o.file, "-template.png") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(icons, o.file))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
				if c.A > 0 {
					seen++
				}
				if c.A > 0 && (c.R|c.G|c.B) != 0 {
					t.Fatalf("%s is not black at %d,%d: %v", o.file, x, y, c)
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s is empty", o.file)
		}
	}
}

func TestICO(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	img.Set(0, 1, color.NRGBA{1, 2, 3, 128}) // the first pixel of the bottom row
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, img); err != nil {
		t.Fatal(err)
	}
	data, err := ico([][]byte{encoded.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if got := sizesOf(t, "x.ico", data); !slices.Equal(got, []int{2}) {
		t.Errorf("sizes %v", got)
	}
	if got := data[6+16+40:][:4]; !bytes.Equal(got, []byte{3, 2, 1, 128}) {
		t.Errorf("the first pixel is %v", got)
	}
}
