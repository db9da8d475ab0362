package assets

import _ "embed"

//go:embed icons/app-64.png
var appIcon []byte

// AppIcon is the program's icon, a PNG of 64 pixels.
func AppIcon() []byte { return appIcon }
