package doctor

import "context"

// bus is the part of a session bus that the checks need.
type bus interface {
	// owned tells whether a program has the name.
	owned(ctx context.Context, name string) (bool, error)
	// startable tells whether a program is started when the name is asked for.
	startable(ctx context.Context, name string) (bool, error)
	// trayHost is the watcher's IsStatusNotifierHostRegistered.
	trayHost(ctx context.Context) (bool, error)
	close()
}

// The names of the freedesktop specifications StatusNotifierItem and Desktop
// Notifications.
const (
	watcherName       = "org.kde.StatusNotifierWatcher"
	notificationsName = "org.freedesktop.Notifications"
)

// desktopChecks are the checks of a desktop with a session bus.
func desktopChecks(join func(context.Context) (bus, error)) []Check {
	// on gives a check the bus; the first check is about the bus itself.
	on := func(look func(context.Context, bus) Finding) func(context.Context) Finding {
		return func(ctx context.Context) Finding {
			b, err := join(ctx)
			if err != nil {
				return warning("See session-bus.", "There is no session bus to look at it by.")
			}
			defer b.close()
			return look(ctx, b)
		}
	}
	return []Check{
		{Name: "session-bus", Look: func(ctx context.Context) Finding {
			b, err := join(ctx)
			if err != nil {
				return warning("Start the agent in a desktop session; without one use --store file.",
					"There is no session bus, and so no tray, no notifications and no keychain.")
			}
			b.close()
			return ok("It answers.")
		}},
		{Name: "tray", Look: on(trayFinding)},
		{Name: "notifications", Look: on(notificationsFinding)},
	}
}

// Clipboard checks whether the tray can copy a secret that it can also clear.
func Clipboard(look func() error) Check {
	return Check{Name: "clipboard", Look: func(context.Context) Finding {
		if err := look(); err != nil {
			return warning("Use langkeep token and langkeep key instead.", "The tray's menu has no copy entries (%v).", err)
		}
		return ok("What the tray copies is cleared after 30 s.")
	}}
}

func trayFinding(ctx context.Context, b bus) Finding {
	const advice = "Add a tray to the panel (on GNOME the extension AppIndicator), or use langkeep open."
	owned, err := b.owned(ctx, watcherName)
	if err == nil && !owned {
		return warning(advice, "This desktop shows no tray icons.")
	}
	host := false
	if err == nil {
		host, err = b.trayHost(ctx)
	}
	switch {
	case err != nil:
		return warning("Restart the panel.", "The tray doesn't answer: %v.", err)
	case !host:
		return warning(advice, "Programs can offer tray icons, but no panel shows them.")
	}
	return ok("A panel shows tray icons.")
}

func notificationsFinding(ctx context.Context, b bus) Finding {
	owned, err := b.owned(ctx, notificationsName)
	if err != nil {
		return warning("Restart the desktop session.", "The session bus doesn't say: %v.", err)
	}
	if owned {
		return ok("A program shows notifications.")
	}
	if startable, err := b.startable(ctx, notificationsName); err == nil && startable {
		return ok("A program that shows notifications starts with the first one.")
	}
	return warning("Install a notification daemon, such as dunst, if you want them.", "No program shows notifications.")
}
