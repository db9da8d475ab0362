//go:build windows || darwin

package notify

import (
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/guard"
)

// A code would be among a program's arguments.
func TestNoCode(t *testing.T) {
	show, end := Desktop(nil, nil)
	defer end()
	if err := show(Code(guard.ShownCode{Code: secret.New("123456")})); err != errInArguments {
		t.Error(err)
	}
}
