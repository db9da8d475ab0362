//go:build real && linux

package tray

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/godbus/dbus/v5"
)

// The real desktops are asked for what they show: the screen for the icon, the
// accessibility bus for buttons and lines of menus.

// look is a picture of the screen. It comes as PPM: to pack it as PNG would take a second.
func (d *desktop) look() *image.NRGBA {
	d.t.Helper()
	var cmd *exec.Cmd
	if d.number == ":" { // sway has no X server as its screen
		cmd = d.command("grim", "-t", "ppm", "-")
	} else {
		cmd = exec.Command("import", "-window", "root", "-depth", "8", "ppm:-")
		cmd.Env = append(os.Environ(), "DISPLAY="+d.number)
	}
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("%s: %v", cmd.Path, err)
	}
	var width, height int
	if _, err := fmt.Sscanf(string(out[:min(len(out), 20)]), "P6\n%d %d\n255\n", &width, &height); err != nil || len(out) < 3*width*height {
		d.t.Fatalf("%s: %d bytes of another form, %v", cmd.Path, len(out), err)
	}
	screen, pixels := image.NewNRGBA(image.Rect(0, 0, width, height)), out[len(out)-3*width*height:]
	for i := range width * height {
		copy(screen.Pix[4*i:], pixels[3*i:3*i+3])
		screen.Pix[4*i+3] = 0xff
	}
	return screen
}

// keep writes a picture into the folder of LANGKEEP_TEST_PICTURES.
func (d *desktop) keep(screen image.Image, name string) {
	d.t.Helper()
	dir := os.Getenv("LANGKEEP_TEST_PICTURES")
	var encoded bytes.Buffer
	if err := errors.Join(png.Encode(&encoded, screen), os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), encoded.Bytes(), 0o644)); err != nil {
		d.t.Fatal(err)
	}
}

// still is the screen once two pictures of it are alike, but for what is small: a mouse that
// shows that a program starts, or a button on which a message's time runs out.
func (d *desktop) still() *image.NRGBA {
	d.t.Helper()
	var moving image.Rectangle
	defer func() {
		if d.t.Failed() {
			d.t.Logf("%v of the screen moves", moving)
		}
	}()
	now := d.look()
	d.await("a still screen", func() bool {
		before := now
		now = d.look()
		moving = changed(before, now)
		return moving.Dx() < least || moving.Dy() < least
	})
	return now
}

// tile is the width of the squares in which pictures are compared; least is that of a menu or
// a message at the least, in pixels.
const tile, least = 8, 50

// changed is the largest piece of the screen that is not as it was.
func changed(before, now *image.NRGBA) (largest image.Rectangle) {
	differs := func(at image.Point) bool {
		square := image.Rectangle{at, at.Add(image.Pt(tile, tile))}.Intersect(before.Rect)
		for y := square.Min.Y; y < square.Max.Y; y++ {
			from, to := before.PixOffset(square.Min.X, y), before.PixOffset(square.Max.X-1, y)+4
			if !bytes.Equal(before.Pix[from:to], now.Pix[from:to]) {
				return true
			}
		}
		return false
	}
	seen := map[image.Point]bool{}
	for y := 0; y < before.Rect.Max.Y; y += tile {
		for x := 0; x < before.Rect.Max.X; x += tile {
			var piece image.Rectangle
			for next := []image.Point{{X: x, Y: y}}; len(next) > 0; {
				at := next[len(next)-1]
				next = next[:len(next)-1]
				if seen[at] || !at.In(before.Rect) || !differs(at) {
					continue
				}
				seen[at] = true
				piece = piece.Union(image.Rectangle{at, at.Add(image.Pt(tile, tile))})
				for _, step := range []image.Point{{X: tile}, {X: -tile}, {Y: tile}, {Y: -tile}} {
					next = append(next, at.Add(step))
				}
			}
			if piece.Dx()*piece.Dy() > largest.Dx()*largest.Dy() {
				largest = piece
			}
		}
	}
	return largest
}

// awaitBeside waits until something of some size, such as a menu, is new on the screen and
// at rest, and returns its place.
func (d *desktop) awaitBeside(before *image.NRGBA) (place image.Rectangle) {
	d.t.Helper()
	d.await("something new on the screen", func() bool {
		was := place
		place = changed(before, d.look())
		return place.Dx() >= least && place.Dy() >= least && place == was
	})
	return place
}

// sighting is the icon of a ring around a node as the screen shows it.
type sighting struct {
	at               image.Point // its middle
	size             int         // its width in pixels
	line, gap, panel rgb         // the colours of the drawing, within it, and around it
}

type rgb [3]float64

// The drawing in points of its width of 16 (assets/icons/tray-*.svg).
const (
	drawn      = 16.0
	ringRadius = 6.0
	ringHalf   = 1.0
	nodeRadius = 2.5
	around     = 8.8
)

// nearEdge is how far from an edge of the screen the middle of a panel's icon may be: the
// messages, further inside, show the ring too.
const nearEdge = 48

// iconOn looks for the icon of a closed ring in a panel, whichever size and colours it has.
func iconOn(screen *image.NRGBA) (best sighting, found bool) {
	for size := 14; size <= 52; size++ {
		var line, gap, panel []image.Point
		point := float64(size) / drawn
		edge := 0.7 / point // a pixel at an edge has the colours of both sides
		half := int(math.Ceil(around * point))
		for y := -half; y <= half; y++ {
			for x := -half; x <= half; x++ {
				odd := float64(1-size%2) / 2
				r := math.Hypot(float64(x)+odd, float64(y)+odd) / point
				p := image.Pt(x, y)
				switch {
				case math.Abs(r-ringRadius) < max(ringHalf-edge, 0.35), r < nodeRadius-edge:
					line = append(line, p)
				case r > nodeRadius+edge && r < ringRadius-ringHalf-edge:
					gap = append(gap, p)
				case math.Abs(r-around) < 0.5:
					panel = append(panel, p)
				}
			}
		}
		for y := half; y < screen.Rect.Dy()-half; y++ {
			if y == nearEdge {
				y = screen.Rect.Dy() - nearEdge
			}
			for x := half; x < screen.Rect.Dx()-half; x++ {
				at := image.Pt(x, y)
				if !likely(screen, at, line, gap) {
					continue
				}
				s := sighting{at: at, size: size}
				var lineOff, gapOff, panelOff float64
				s.line, lineOff = mean(screen, at, line)
				s.gap, gapOff = mean(screen, at, gap)
				s.panel, panelOff = mean(screen, at, panel)
				apart := distance(s.line, s.gap)
				if apart > 60 && lineOff < apart*0.4 && gapOff < apart*0.4 && panelOff < 40 {
					return s, true
				}
			}
		}
	}
	return sighting{}, false
}

// likely is a quick look at the node, the gap and the ring, without which a whole screen
// would take 20 s.
func likely(screen *image.NRGBA, at image.Point, line, gap []image.Point) bool {
	node, between := pixel(screen, at), pixel(screen, at.Add(gap[0]))
	if distance(node, between) < 40 {
		return false
	}
	const looks = 8
	for i := range looks {
		ofLine, ofGap := pixel(screen, at.Add(line[i*len(line)/looks])), pixel(screen, at.Add(gap[i*len(gap)/looks]))
		if distance(ofLine, node) >= distance(ofLine, between) || distance(ofGap, between) >= distance(ofGap, node) {
			return false
		}
	}
	return true
}

// drawn is the name of the icon that the screen shows where that of a fresh session was.
func (s sighting) drawn(screen *image.NRGBA) string {
	point := float64(s.size) / drawn
	odd := float64(1-s.size%2) / 2
	of := func(x, y float64) rgb {
		return pixel(screen, s.at.Add(image.Pt(int(math.Round(x*point-odd)), int(math.Round(y*point-odd)))))
	}
	// ring is the average colour of the ring at six places, from an angle on.
	ring := func(radius, from float64) (average rgb) {
		for i := range 6 {
			sin, cos := math.Sincos((from + 60*float64(i)) * math.Pi / 180)
			for c, value := range of(radius*cos, radius*sin) {
				average[c] += value / 6
			}
		}
		return average
	}
	const corner = 6 // where the dot is beyond ring and disc
	if distance(of(corner, -corner), of(-corner, -corner)) > 60 {
		return iconAttention
	}
	line, gap := of(0, 0), ring((nodeRadius+ringRadius-ringHalf)/2, 0)
	isLine := func(c rgb) bool { return distance(c, line) < distance(c, gap) }
	switch dashes, between := isLine(ring(ringRadius, 0)), isLine(ring(ringRadius, 30)); {
	case dashes && between:
		return iconFresh
	case dashes:
		return iconOffline
	}
	return "another"
}

func pixel(img *image.NRGBA, at image.Point) rgb {
	i := img.PixOffset(at.X, at.Y)
	return rgb{float64(img.Pix[i]), float64(img.Pix[i+1]), float64(img.Pix[i+2])}
}

// distance is the greatest of the three channels' differences.
func distance(a, b rgb) float64 {
	return max(math.Abs(a[0]-b[0]), math.Abs(a[1]-b[1]), math.Abs(a[2]-b[2]))
}

// mean is the average colour of some pixels, and how far the farthest is from it.
func mean(img *image.NRGBA, at image.Point, some []image.Point) (average rgb, off float64) {
	for _, p := range some {
		for c, value := range pixel(img, at.Add(p)) {
			average[c] += value / float64(len(some))
		}
	}
	for _, p := range some {
		off = max(off, distance(pixel(img, at.Add(p)), average))
	}
	return average, off
}

// contrast is that of WCAG 2, from 1 to 21.
func contrast(a, b rgb) float64 {
	light := func(c rgb) float64 {
		var sum float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			v := c[i] / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		return sum
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// icon waits until the screen shows the icon of a fresh session at rest: a panel that begins
// moves and scales its icons.
func (d *desktop) icon() (s sighting) {
	d.t.Helper()
	d.await("the icon on the screen", func() (found bool) {
		before := s
		s, found = iconOn(d.look())
		return found && s == before
	})
	return s
}

// accessible is an object of the accessibility bus.
type accessible struct {
	Name string
	Path dbus.ObjectPath
}

const atspi = "org.a11y.atspi."

// showing is the bit of an object's state that says that it is on the screen.
const showing = 25

// doAs does what a screen reader does for a button or a line of a menu with a label, once
// it is on the screen.
func (d *desktop) doAs(label string) {
	d.t.Helper()
	d.await(label+" on the screen", func() bool {
		one, err := d.labelled(label)
		if err != nil {
			return false
		}
		var done bool
		return d.access.Object(one.Name, one.Path).Call(atspi+"Action.DoAction", 0, int32(0)).Store(&done) == nil && done
	})
}

// labelled looks for what is on the screen with a label.
func (d *desktop) labelled(label string) (accessible, error) {
	d.t.Helper()
	if d.access == nil {
		var address string
		if err := d.conn.Object("org.a11y.Bus", "/org/a11y/bus").Call("org.a11y.Bus.GetAddress", 0).Store(&address); err != nil {
			d.t.Fatal(err)
		}
		conn, err := d.joinAs(address)
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { conn.Close() })
		d.access = conn
	}
	return d.labelledIn(accessible{atspi + "Registry", "/org/a11y/atspi/accessible/root"}, label)
}

var errNoLabel = errors.New("nothing on the screen has this label")

// labelledIn looks below an object, depth first.
func (d *desktop) labelledIn(in accessible, label string) (accessible, error) {
	object := d.access.Object(in.Name, in.Path)
	if name, err := object.GetProperty(atspi + "Accessible.Name"); err == nil && name.Value() == label {
		var state []uint32
		if object.Call(atspi+"Accessible.GetState", 0).Store(&state) == nil && len(state) > 0 && state[0]&(1<<showing) != 0 {
			return in, nil
		}
	}
	var children []accessible
	if err := object.Call(atspi+"Accessible.GetChildren", 0).Store(&children); err != nil {
		return accessible{}, err
	}
	for _, child := range children {
		if one, err := d.labelledIn(child, label); err == nil {
			return one, nil
		}
	}
	return accessible{}, errNoLabel
}
