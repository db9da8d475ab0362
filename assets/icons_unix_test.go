//go:build !windows && !darwin

package assets

import "testing"

// The panel gets colours that alpha has not darkened, or edges have a dark fringe.
func TestTrayIcons(t *testing.T) {
	for state, colour := range map[string][3]uint8{"fresh": {0x4b, 0x3c, 0xc4}, "offline": {0x5a, 0x62, 0x6c}} {
		images, err := TrayIcons(state)
		if err != nil || len(images) != len(traySizes) {
			t.Fatalf("%s has %d images, %v", state, len(images), err)
		}
		for i, img := range images {
			edges := 0
			if img.Rect.Dx() != traySizes[i] {
				t.Errorf("%s has %v in the place of %d", state, img.Rect, traySizes[i])
			}
			for at := 0; at < len(img.Pix); at += 4 {
				if alpha := img.Pix[at+3]; alpha < 0x40 || alpha > 0xc0 {
					continue
				}
				edges++
				for c, want := range colour {
					if got := int(img.Pix[at+c]); got < int(want)-4 || got > int(want)+4 {
						t.Fatalf("%s, %d pixels: an edge has %x, want %x", state, traySizes[i], img.Pix[at:at+4], colour)
					}
				}
			}
			if edges == 0 {
				t.Errorf("%s, %d pixels: no edge", state, traySizes[i])
			}
		}
	}
	if _, err := TrayIcons("attention"); err != nil {
		t.Error(err)
	}
}
