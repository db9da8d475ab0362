//go:build !windows && !darwin

package assets

import (
	"embed"
	"fmt"
	"image"
	"image/png"
)

//go:embed icons/tray-*-16.png icons/tray-*-22.png icons/tray-*-24.png icons/tray-*-32.png icons/tray-*-48.png icons/tray-*-64.png
var trayIcons embed.FS

//go:embed icons/tray-*-symbolic.svg
var symbolicIcons embed.FS

// SymbolicIcon is the SVG of the icon that the tray shows for a state, for panels that give
// icons their own colour.
func SymbolicIcon(state string) ([]byte, error) {
	return symbolicIcons.ReadFile("icons/tray-" + state + "-symbolic.svg")
}

// traySizes are those of panels, at one pixel a point and at two.
var traySizes = []int{16, 22, 24, 32, 48, 64}

// TrayIcons are the icon that the tray shows for a state (fresh, attention or offline) in
// its sizes, the smallest first.
func TrayIcons(state string) ([]*image.NRGBA, error) {
	var all []*image.NRGBA
	for _, size := range traySizes {
		file, err := trayIcons.Open(fmt.Sprintf("icons/tray-%s-%d.png", state, size))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		read, err := png.Decode(file)
		if err != nil {
			return nil, err
		}
		img, ok := read.(*image.NRGBA) // the type of a PNG with 8 bits a channel and transparency
		if !ok {
			return nil, fmt.Errorf("the tray icon of %d pixels is a %T", size, read)
		}
		all = append(all, img)
	}
	return all, nil
}
