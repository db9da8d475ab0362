//go:build !linux

package keychain

import "context"

// newGate makes a gate that lets everything through: neither macOS nor Windows tells
// beforehand whether it would ask the person.
func newGate() gate { return noGate{} }

type noGate struct{}

func (noGate) check(context.Context) error { return nil }
func (noGate) open(context.Context) error  { return nil }
func (noGate) history(context.Context) int { return 0 }

func (noGate) recorded(_ context.Context, write func() error) (bool, error) { return true, write() }
