//go:build windows || darwin

package notify

// Desktop shows messages on the desktop, until close. Nobody can press a button here.
func Desktop(icon any, _ func(subject, do string)) (show func(Message) error, close func()) {
	return plainly(icon), func() {}
}
