package assets

import "embed"

//go:embed icons/tray-*-48.png icons/tray-*-template.png
var trayIcons embed.FS

// TrayIcon is the icon that the tray shows for a state: fresh, attention or
// offline. macOS colours the template itself.
func TrayIcon(state string) (icon, template []byte, err error) {
	icon, err = trayIcons.ReadFile("icons/tray-" + state + "-48.png")
	if err != nil {
		return nil, nil, err
	}
	template, err = trayIcons.ReadFile("icons/tray-" + state + "-template.png")
	return icon, template, err
}
