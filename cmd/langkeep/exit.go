package main

import (
	"errors"
	"fmt"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// The exit codes.
const (
	exitDone           = 0
	exitFailed         = 1
	exitUsage          = 2
	exitSignIn         = 3 // a sign-in is required
	exitUnreachable    = 4 // the server can't be reached, and the agent holds no token that lives long enough
	exitNoAgent        = 5
	exitKeychainLocked = 6 // or missing
	exitNotAllowed     = 7
)

// usageError is the error of a wrong call: the command prints its usage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// codeOf is the exit code for a command's error.
func codeOf(err error) int {
	var (
		usage   usageError
		exit    exitError
		problem *client.Problem
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage), errors.Is(err, client.ErrEnvironment):
		return exitUsage
	case errors.As(err, &problem):
		return codeOfProblem(problem.Kind())
	case errors.Is(err, client.ErrNoAgent), errors.Is(err, client.ErrStuck):
		return exitNoAgent
	}
	return exitFailed
}

func codeOfProblem(kind string) int {
	switch kind {
	case client.TypeUnauthorized, client.TypeForbidden, client.TypeForbiddenOrigin, client.TypeForbiddenHost, client.TypeLocked, client.TypeNotAllowedYet:
		return exitNotAllowed
	case client.TypeBadRequest:
		return exitUsage
	case client.TypeSignInRequired:
		return exitSignIn
	case client.TypeServerUnreachable:
		return exitUnreachable
	case client.TypeKeychainLocked:
		return exitKeychainLocked
	}
	return exitFailed
}

// codeOfState is the exit code for a profile that is not ready.
func codeOfState(s client.State) int {
	switch s {
	case client.Fresh, client.Retrying:
		return exitDone
	case client.SignInRequired, client.SignedOut:
		return exitSignIn
	case client.Stale:
		return exitUnreachable
	case client.KeychainLocked:
		return exitKeychainLocked
	}
	return exitFailed
}

// wordsOf is what a person reads of an error.
func wordsOf(err error) string {
	if problem, ok := errors.AsType[*client.Problem](err); ok {
		// The text around it names the profile, if that matters.
		return words.Problem(problem)
	}
	return err.Error()
}
