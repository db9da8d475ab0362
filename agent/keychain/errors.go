package keychain

import (
	"errors"
	"os/exec"
	"syscall"
)

// securityError translates an exit code of macOS's /usr/bin/security, the OSStatus
// modulo 256.
func securityError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return ErrFailing
	}
	switch exit.ExitCode() {
	case 44: // errSecItemNotFound, -25300
		return ErrNotFound
	case 36, // errSecInteractionNotAllowed, -25308
		51,  // errSecAuthFailed, -25293
		128: // errSecUserCanceled, -128
		return ErrLocked
	case 37, // errSecNoDefaultKeychain, -25307
		50: // errSecNoSuchKeychain, -25294
		return ErrMissing
	}
	return ErrFailing
}

// credentialError translates an error of Windows' Credential Manager.
func credentialError(err error) error {
	if code, ok := errors.AsType[syscall.Errno](err); ok {
		switch code {
		case 1168: // ERROR_NOT_FOUND
			return ErrNotFound
		case 1312: // ERROR_NO_SUCH_LOGON_SESSION: a network logon, as over SSH
			return ErrMissing
		}
	}
	return ErrFailing
}
