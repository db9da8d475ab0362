// Render makes the PNG and ICO files of the icons from their SVG, with
// rsvg-convert of librsvg. Run it after a drawing has changed:
//
//	go run ./assets/render assets/icons
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// output is one file to be made. Sizes are in pixels: one for a PNG, the images
// in it for an ICO.
type output struct {
	file  string
	svg   string
	sizes []int
}

// sums is the file that says which drawings the others were made from.
const sums = "SHA256SUMS"

// drawings are what there is as SVG.
var drawings = []string{
	"app", "tray-fresh", "tray-attention", "tray-offline",
	"tray-fresh-symbolic", "tray-attention-symbolic", "tray-offline-symbolic",
}

// outputs lists every file.
func outputs() []output {
	var all []output
	for _, svg := range drawings {
		if state, ok := strings.CutSuffix(svg, "-symbolic"); ok {
			// macOS shows it at 16 points, with up to two pixels each.
			all = append(all, output{file: state + "-template.png", svg: svg, sizes: []int{32}})
			continue
		}
		sizes, ico := []int{16, 22, 24, 32, 48, 64}, []int{16, 20, 24, 32, 48}
		if svg == "app" {
			sizes, ico = []int{16, 32, 48, 64, 128, 256, 512}, []int{16, 24, 32, 48, 64}
		}
		for _, px := range sizes {
			all = append(all, output{file: fmt.Sprintf("%s-%d.png", svg, px), svg: svg, sizes: []int{px}})
		}
		all = append(all, output{file: svg + ".ico", svg: svg, sizes: ico})
	}
	return all
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: render FOLDER")
	}
	if err := render(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func render(dir string) error {
	for _, o := range outputs() {
		drawing, err := os.ReadFile(filepath.Join(dir, o.svg+".svg"))
		if err != nil {
			return err
		}
		var images [][]byte
		for _, px := range o.sizes {
			img, err := rasterize(drawing, px)
			if err != nil {
				return fmt.Errorf("%s: %w", o.file, err)
			}
			images = append(images, img)
		}
		data := images[0]
		if filepath.Ext(o.file) == ".ico" {
			if data, err = ico(images); err != nil {
				return fmt.Errorf("%s: %w", o.file, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, o.file), data, 0o644); err != nil {
			return err
		}
	}
	text, err := checksums(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, sums), text, 0o644)
}

// checksums are those of the drawings, as sha256sum writes them.
func checksums(dir string) ([]byte, error) {
	var b bytes.Buffer
	for _, name := range drawings {
		data, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&b, "%s  %s.svg\n", hex.EncodeToString(sum[:]), name)
	}
	return b.Bytes(), nil
}

// rasterize draws it as a square PNG.
func rasterize(svg []byte, px int) ([]byte, error) {
	cmd := exec.Command("rsvg-convert", "-w", strconv.Itoa(px), "-h", strconv.Itoa(px))
	cmd.Stdin = bytes.NewReader(svg)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("rsvg-convert (of librsvg2-bin): %w: %s", err, stderr.Bytes())
	}
	img, err := png.Decode(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	// Written again, since librsvg compresses for speed.
	var small bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, img)
	return small.Bytes(), err
}

// ico puts PNGs into one ICO, as bitmaps of 32 bits a pixel: Windows' LoadImage
// promises PNG inside an ICO for 256 pixels only.
func ico(images [][]byte) ([]byte, error) {
	const header, entry = 6, 16
	var dir, data bytes.Buffer
	put := func(b *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(b, binary.LittleEndian, v) // a bytes.Buffer takes all
		}
	}
	put(&dir, uint16(0), uint16(1), uint16(len(images)))
	for _, encoded := range images {
		img, err := png.Decode(bytes.NewReader(encoded))
		if err != nil {
			return nil, err
		}
		begin := data.Len()
		size := img.Bounds().Dx()
		// BITMAPINFOHEADER; the height counts the mask too.
		put(&data, uint32(40), int32(size), int32(2*size), uint16(1), uint16(32), uint32(0), uint32(0), int32(0), int32(0), uint32(0), uint32(0))
		writePixels(&data, img, size)
		mask := (size + 31) / 32 * 4 * size
		data.Write(make([]byte, mask)) // alpha decides
		put(&dir, uint8(size), uint8(size), uint8(0), uint8(0), uint16(1), uint16(32), uint32(data.Len()-begin), uint32(header+entry*len(images)+begin))
	}
	return append(dir.Bytes(), data.Bytes()...), nil
}

// writePixels writes rows from the bottom up, each pixel as blue, green, red,
// alpha.
func writePixels(b *bytes.Buffer, img image.Image, size int) {
	for y := size - 1; y >= 0; y-- {
		for x := range size {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			b.Write([]byte{c.B, c.G, c.R, c.A})
		}
	}
}
