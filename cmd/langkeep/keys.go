package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type keysOptions struct {
	*app
	revoke string
	json   bool
}

func newKeys(a *app) *cobra.Command {
	o := &keysOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "keys [NAME] [--json] [--revoke ID]",
		Short: "List the account's API keys, or revoke one",
		Long: `List all API keys of the profile's account on its server, whoever made them:
Langkeep's own and those that may be lying in files. Keys that never end are
marked. With --revoke, delete one there, at once and for everybody who uses it.`,
		Example: `  langkeep keys prod
  langkeep keys prod --revoke 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("revoke") && o.revoke == "" {
				return usagef("--revoke needs the id of a key: langkeep keys lists them")
			}
			return nil
		},
		RunE: a.onProfile(o.run),
	})
	cmd.Flags().StringVar(&o.revoke, "revoke", "", "the `ID` of a key to delete on the server")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the list as JSON")
	return cmd
}

func (o *keysOptions) run(ctx context.Context, c *client.Client, name string) error {
	if o.revoke != "" {
		if err := c.RevokeKey(ctx, name, o.revoke); err != nil {
			return err
		}
		o.say(name + ": that key is revoked")
		return nil
	}
	if o.json {
		return o.resultJSON(c.KeysJSON(ctx, name))
	}
	keys, err := c.Keys(ctx, name)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		o.say(name + ": the account has no api keys; langkeep key makes one")
		return nil
	}
	return o.result(keyTable(keys, o.clock.Now()))
}

// keyTable is what people see of keys. Its last column names them in full, so
// that an id can be copied.
func keyTable(keys []client.AccountKey, now time.Time) string {
	rows := [][]string{{"ID", "ENDS", "LAST USED", "USES", "NAME"}}
	for _, k := range keys {
		rows = append(rows, []string{words.Safe(k.ID), keyEnd(k, now), day(k.LastUsedAt), strconv.Itoa(k.Uses), words.Safe(keyName(k))})
	}
	return table(rows...)
}

func keyEnd(k client.AccountKey, now time.Time) string {
	switch {
	case !k.Active:
		return "off"
	case k.ExpiresAt == nil:
		return "never"
	case !k.ExpiresAt.After(now):
		return "over"
	}
	return words.In(k.ExpiresAt.Sub(now))
}

func keyName(k client.AccountKey) string {
	switch {
	case k.Current:
		return k.Name + " (current)"
	case k.Managed:
		return k.Name + " (ours, earlier)"
	}
	return k.Name
}

// day is a moment of the past in local time.
func day(t *time.Time) string {
	if t == nil {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04")
}
