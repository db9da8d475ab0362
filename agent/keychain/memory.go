package keychain

import (
	"context"
	"fmt"
	"sync"
)

// NewMemory makes a Store that forgets everything when the program ends.
func NewMemory() Store { return &memory{items: map[string]Item{}} }

type memory struct {
	mu    sync.Mutex // protects the following
	items map[string]Item
}

func (*memory) Kind() string                 { return "memory" }
func (*memory) Ready(context.Context) error  { return nil }
func (*memory) Unlock(context.Context) error { return nil }
func (*memory) Close() error                 { return nil }

func (m *memory) Get(_ context.Context, account string) (Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.items[account]
	if !ok {
		return Item{}, fmt.Errorf("%s: %w", account, ErrNotFound)
	}
	return it, nil
}

func (m *memory) Set(_ context.Context, account string, it Item) error {
	if err := checkSize(account, it); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[account] = it
	return nil
}

func (m *memory) Delete(_ context.Context, account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, account)
	return nil
}
