package assets

import "embed"

//go:embed icons/tray-*.ico
var trayIcons embed.FS

// TrayIcon is the icon that the tray shows for a state: fresh, attention or
// offline. On Windows it is an ICO; the template is the same.
func TrayIcon(state string) (icon, template []byte, err error) {
	icon, err = trayIcons.ReadFile("icons/tray-" + state + ".ico")
	return icon, icon, err
}
