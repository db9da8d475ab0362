package keychain

func systemError(err error) error { return securityError(err) }
