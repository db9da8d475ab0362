package keychain

func systemError(err error) error { return credentialError(err) }
