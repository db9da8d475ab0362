package assets

import "embed"

// Page has the files of the control page, which the local API serves as they
// are. There is no build step, and they ask for nothing from anywhere else.
//
//go:embed page icons/app.svg
var Page embed.FS
