//go:build !windows && !darwin

package tray

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/paths"
	"langkeep/assets"
)

// The tray icon of freedesktop's desktops: a StatusNotifierItem, whose menu speaks
// com.canonical.dbusmenu. We serve both ourselves, since a menu must hold still while it is
// open and each size of the icon needs pixels of its own.
const (
	itemPath            = dbus.ObjectPath("/StatusNotifierItem")
	menuPath            = itemPath + "/menu"
	itemInterface       = "org.kde.StatusNotifierItem"
	menuInterface       = "com.canonical.dbusmenu"
	propertiesInterface = "org.freedesktop.DBus.Properties"
	menuVersion         = 3 // of com.canonical.dbusmenu
)

// Run shows the tray until stopped is closed. Without a desktop it returns ErrNoDesktop at
// once. If the desktop goes away later Run says so once, and goes on.
func Run(c Config, stopped <-chan struct{}) error {
	gone := make(chan struct{})
	conn, changes, there, err := join()
	if err != nil {
		return err
	}
	defer conn.Close()
	t := newBinding(c, stopped, gone)
	n := newNotifierItem(conn, t.tell)
	if recolours(os.Getenv("XDG_CURRENT_DESKTOP")) {
		if err := writeIcons(c.Icons); err != nil {
			c.Log.Warn("the tray icon does not have the panel's colour", "error", err)
		} else {
			n.iconDir = c.Icons
		}
	}
	t.surface = n
	t.build()
	if err := n.export(); err != nil {
		return fmt.Errorf("%w: the session bus: %w", ErrNoDesktop, err)
	}
	shown := sync.OnceFunc(func() {
		if c.Shown != nil {
			c.Shown()
		}
	})
	register := func() {
		if err := n.register(); err != nil {
			c.Log.Warn("the panel does not take the tray icon", "error", err)
			return
		}
		shown()
	}
	go func() {
		defer close(gone)
		if there {
			register()
		} else {
			c.Say("no tray on this desktop yet: the icon shows when there is one")
			if c.Absent != nil {
				c.Absent()
			}
		}
		for sig := range changes {
			if len(sig.Body) == 3 && sig.Body[0] == trayHost && sig.Body[2] != "" {
				register()
			}
		}
	}()
	t.loop()
	<-stopped
	return nil
}

// notifierItem is the surface on the session bus.
type notifierItem struct {
	conn *dbus.Conn
	tell func(menuState)

	mu       sync.Mutex     // protects the following, and the nodes
	props    map[string]any // the item's properties; nil before export
	nodes    []*node        // by id; the first is the menu itself
	revision uint32
	icon     []pixels
	iconName string // of a file in iconDir; "": the panel shows the pixels
	tooltip  string
	iconDir  string // "": the panel may not know how to colour an icon
}

// node is an item of the menu, or a separator.
type node struct {
	of       *notifierItem
	id       int32
	children []*node
	shown    map[string]dbus.Variant // its properties
	clicked  func()
}

// layout is a node with its children as the bus has them: dbus.Variant of layout.
type layout struct {
	ID         int32
	Properties map[string]dbus.Variant
	Children   []dbus.Variant
}

// properties are a node's without its children.
type properties struct {
	ID    int32
	Shown map[string]dbus.Variant
}

// event is of EventGroup.
type event struct {
	ID   int32
	Kind string
	Data dbus.Variant
	Time uint32
}

// pixels are an icon in one size: 4 bytes a pixel, alpha, red, green and blue, of which
// alpha multiplies none.
type pixels struct {
	Width, Height int32
	Data          []byte
}

// toolTip is ToolTip's type.
type toolTip struct {
	IconName string
	Icon     []pixels
	Title    string
	Text     string
}

func newNotifierItem(conn *dbus.Conn, tell func(menuState)) *notifierItem {
	n := &notifierItem{conn: conn, tell: tell}
	n.nodes = []*node{{of: n, shown: map[string]dbus.Variant{"children-display": dbus.MakeVariant("submenu")}}}
	return n
}

// export puts the item and its menu on the bus.
func (n *notifierItem) export() error {
	n.mu.Lock()
	n.props = map[string]any{
		"Category": "ApplicationStatus", "Id": "langkeep", "Title": "Langkeep", "Status": "Active", "IconAccessibleDesc": "Langkeep",
		"WindowId": int32(0), "ItemIsMenu": true, "Menu": menuPath,
		"IconName": n.iconName, "IconThemePath": n.iconDir, "OverlayIconName": "", "AttentionIconName": "",
		"IconPixmap": n.icon, "ToolTip": toolTip{Title: n.tooltip},
	}
	n.mu.Unlock()
	menu := map[string]any{
		"Version": uint32(menuVersion), "TextDirection": "ltr", "Status": "normal", "IconThemePath": []string{},
	}
	of := menuObject{n}
	// Tables, since godbus finds the methods of a type by their names, for which the linker
	// would have to keep every method of every type.
	for _, o := range []struct {
		path    dbus.ObjectPath
		iface   string
		methods map[string]any
	}{
		{itemPath, propertiesInterface, n.propertiesOf(itemInterface, n.props)},
		{menuPath, propertiesInterface, n.propertiesOf(menuInterface, menu)},
		{menuPath, menuInterface, map[string]any{
			"GetLayout": of.GetLayout, "GetGroupProperties": of.GetGroupProperties, "GetProperty": of.GetProperty,
			"Event": of.Event, "EventGroup": of.EventGroup, "AboutToShow": of.AboutToShow, "AboutToShowGroup": of.AboutToShowGroup,
		}},
	} {
		if err := n.conn.ExportMethodTable(o.methods, o.path, o.iface); err != nil {
			return err
		}
	}
	reply, err := n.conn.RequestName(fmt.Sprintf("%s-%d-1", itemInterface, os.Getpid()), dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("another program has this process's name")
	}
	return err
}

// propertiesOf are the methods for reading the properties of an object's one interface.
func (n *notifierItem) propertiesOf(iface string, of map[string]any) map[string]any {
	fault := func(kind string) *dbus.Error { return dbus.NewError(propertiesInterface+".Error."+kind, nil) }
	return map[string]any{
		"Get": func(wanted, name string) (dbus.Variant, *dbus.Error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			value, ok := of[name]
			switch {
			case wanted != iface:
				return dbus.Variant{}, fault("InterfaceNotFound")
			case !ok:
				return dbus.Variant{}, fault("PropertyNotFound")
			}
			return dbus.MakeVariant(value), nil
		},
		"GetAll": func(wanted string) (map[string]dbus.Variant, *dbus.Error) {
			if wanted != iface {
				return nil, fault("InterfaceNotFound")
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			all := map[string]dbus.Variant{}
			for name, value := range of {
				all[name] = dbus.MakeVariant(value)
			}
			return all, nil
		},
		"Set": func(_, _ string, _ dbus.Variant) *dbus.Error { return fault("ReadOnly") },
	}
}

// publish changes a property of the item, and tells the panel.
func (n *notifierItem) publish(name string, value any, signal string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.props == nil {
		return
	}
	n.props[name] = value
	n.emit(itemPath, propertiesInterface+".PropertiesChanged", itemInterface, map[string]dbus.Variant{name: dbus.MakeVariant(value)}, []string{})
	n.emit(itemPath, itemInterface+"."+signal)
}

// register tells the panel of the item.
func (n *notifierItem) register() error {
	ctx, cancel := context.WithTimeout(context.Background(), busLimit)
	defer cancel()
	return n.conn.Object(trayHost, "/StatusNotifierWatcher").
		CallWithContext(ctx, trayHost+".RegisterStatusNotifierItem", 0, string(itemPath)).Err
}

func (n *notifierItem) add(parent item, title string, box bool, clicked func()) item {
	above, _ := parent.(*node)
	added := n.append(above, map[string]dbus.Variant{
		"label": dbus.MakeVariant(label(title)), "enabled": dbus.MakeVariant(true), "visible": dbus.MakeVariant(true),
	})
	added.clicked = clicked
	if box {
		added.shown["toggle-type"], added.shown["toggle-state"] = dbus.MakeVariant("checkmark"), dbus.MakeVariant(int32(0))
	}
	return added
}

func (n *notifierItem) separator() {
	n.append(nil, map[string]dbus.Variant{"type": dbus.MakeVariant("separator"), "visible": dbus.MakeVariant(true)})
}

// append adds a node to another, or with nil to the menu.
func (n *notifierItem) append(above *node, shown map[string]dbus.Variant) *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	if above == nil {
		above = n.nodes[0]
	}
	added := &node{of: n, id: int32(len(n.nodes)), shown: shown}
	above.children = append(above.children, added)
	above.shown["children-display"] = dbus.MakeVariant("submenu")
	n.nodes = append(n.nodes, added)
	n.revision++
	n.emit(menuPath, menuInterface+".LayoutUpdated", n.revision, above.id)
	return added
}

// emit sends a signal, once the item is on the bus. A bus that has gone is noticed elsewhere.
func (n *notifierItem) emit(path dbus.ObjectPath, name string, values ...any) {
	if n.props != nil {
		_ = n.conn.Emit(path, name, values...)
	}
}

// isOpen is false: panels tell of it, if anything.
func (n *notifierItem) isOpen() bool { return false }

func (n *notifierItem) setIcon(name string) {
	icon, err := iconPixels(name)
	if err != nil {
		panic(err) // can't fail: the files are embedded, and a test reads them
	}
	n.icon = icon
	n.publish("IconPixmap", icon, "NewIcon")
	if n.iconDir != "" {
		n.iconName = symbolicName(name)
		n.publish("IconName", n.iconName, "NewIcon")
	}
}

// recolours tells whether panels of a desktop, by XDG_CURRENT_DESKTOP, give a symbolic icon
// their own colour: GNOME's extension AppIndicator does, and Plasma. waybar 0.9.17 and
// Xfce's panel 4.18 show its file as it is.
func recolours(desktop string) bool {
	names := strings.Split(desktop, ":")
	return slices.Contains(names, "GNOME") || slices.Contains(names, "KDE")
}

// symbolicName is the name of a state's icon that the panel colours. GTK takes it for
// symbolic by its end.
func symbolicName(state string) string { return "langkeep-" + state + "-symbolic" }

// writeIcons writes the symbolic icons into a folder, since panels take such from files
// only.
func writeIcons(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, state := range []string{iconFresh, iconAttention, iconOffline} {
		svg, err := assets.SymbolicIcon(state)
		if err == nil {
			err = paths.WriteFile(filepath.Join(dir, symbolicName(state)+".svg"), svg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *notifierItem) setTooltip(s string) {
	n.tooltip = s
	n.publish("ToolTip", toolTip{Title: s}, "NewToolTip")
}

// iconPixels are an icon in each of its sizes.
func iconPixels(name string) ([]pixels, error) {
	images, err := assets.TrayIcons(name)
	if err != nil {
		return nil, err
	}
	var all []pixels
	for _, img := range images {
		p := pixels{Width: int32(img.Rect.Dx()), Height: int32(img.Rect.Dy())}
		for i := 0; i < len(img.Pix); i += 4 {
			p.Data = append(p.Data, img.Pix[i+3], img.Pix[i], img.Pix[i+1], img.Pix[i+2])
		}
		all = append(all, p)
	}
	return all, nil
}

// set changes a property of an item.
func (i *node) set(name string, value any) {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	i.shown[name] = dbus.MakeVariant(value)
	i.of.emit(menuPath, menuInterface+".ItemsPropertiesUpdated",
		[]properties{{i.id, map[string]dbus.Variant{name: i.shown[name]}}}, []struct {
			ID    int32
			Names []string
		}{})
}

func (i *node) SetTitle(title string) { i.set("label", label(title)) }
func (i *node) Enable()               { i.set("enabled", true) }
func (i *node) Disable()              { i.set("enabled", false) }
func (i *node) Check()                { i.set("toggle-state", int32(1)) }
func (i *node) Uncheck()              { i.set("toggle-state", int32(0)) }
func (i *node) Show()                 { i.set("visible", true) }
func (i *node) Hide()                 { i.set("visible", false) }

// label escapes the sign that marks a menu's access key.
func label(title string) string { return strings.ReplaceAll(title, "_", "__") }

// menuObject has the methods of com.canonical.dbusmenu.
type menuObject struct{ n *notifierItem }

var errNoItem = dbus.MakeFailedError(fmt.Errorf("the menu has no such item"))

// node is called with mu held; it returns nil for an id that there is not.
func (m menuObject) node(id int32) *node {
	if id < 0 || int(id) >= len(m.n.nodes) {
		return nil
	}
	return m.n.nodes[id]
}

func (m menuObject) GetLayout(id, depth int32, names []string) (uint32, layout, *dbus.Error) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	of := m.node(id)
	if of == nil {
		return 0, layout{}, errNoItem
	}
	return m.n.revision, of.layout(depth, names), nil
}

// layout describes a node and so many levels below; -1 is all of them.
func (i *node) layout(depth int32, names []string) layout {
	l := layout{ID: i.id, Properties: i.wanted(names), Children: []dbus.Variant{}}
	if depth != 0 {
		for _, child := range i.children {
			l.Children = append(l.Children, dbus.MakeVariant(child.layout(depth-1, names)))
		}
	}
	return l
}

// wanted are the properties of these names; without names all.
func (i *node) wanted(names []string) map[string]dbus.Variant {
	some := map[string]dbus.Variant{}
	for name, value := range i.shown {
		if len(names) == 0 || slices.Contains(names, name) {
			some[name] = value
		}
	}
	return some
}

func (m menuObject) GetGroupProperties(ids []int32, names []string) ([]properties, *dbus.Error) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	all := []properties{}
	if len(ids) == 0 {
		for _, i := range m.n.nodes {
			all = append(all, properties{i.id, i.wanted(names)})
		}
	}
	for _, id := range ids {
		if i := m.node(id); i != nil {
			all = append(all, properties{id, i.wanted(names)})
		}
	}
	return all, nil
}

func (m menuObject) GetProperty(id int32, name string) (dbus.Variant, *dbus.Error) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	if i := m.node(id); i != nil {
		if value, ok := i.shown[name]; ok {
			return value, nil
		}
	}
	return dbus.Variant{}, errNoItem
}

func (m menuObject) Event(id int32, kind string, _ dbus.Variant, _ uint32) *dbus.Error {
	m.n.mu.Lock()
	of := m.node(id)
	if of == nil {
		m.n.mu.Unlock()
		return errNoItem
	}
	m.n.mu.Unlock()
	switch {
	case kind == "clicked" && of.clicked != nil:
		of.clicked()
	case kind == "opened" && id == 0: // the whole menu, which stays open as submenus come and go
		m.n.tell(opened)
	case kind == "closed" && id == 0:
		m.n.tell(closed)
	}
	return nil
}

func (m menuObject) EventGroup(events []event) (missing []int32, _ *dbus.Error) {
	missing = []int32{}
	for _, e := range events {
		if m.Event(e.ID, e.Kind, e.Data, e.Time) != nil {
			missing = append(missing, e.ID)
		}
	}
	return missing, nil
}

// AboutToShow is called before a menu opens, the whole one or one in it. The changes come
// as signals, so nothing else needs an update.
func (m menuObject) AboutToShow(id int32) (bool, *dbus.Error) {
	if id == 0 {
		m.n.tell(asked)
	}
	return false, nil
}

func (m menuObject) AboutToShowGroup(ids []int32) (updates, missing []int32, _ *dbus.Error) {
	if slices.Contains(ids, 0) {
		m.n.tell(asked)
	}
	return []int32{}, []int32{}, nil
}
