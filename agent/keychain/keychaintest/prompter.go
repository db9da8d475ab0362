package keychaintest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Reaction is what a person does when asked for a password.
type Reaction int

// Reactions to a prompt.
const (
	Away     Reaction = iota // nothing
	Cancels                  // closes the prompt
	Consents                 // gives Password
)

// prompter stands where the desktop shows its password dialogs: gcr's internal
// D-Bus interface, as gnome-keyring 42.1 calls it.
type prompter struct {
	tb   testing.TB
	conn *dbus.Conn

	mu       sync.Mutex // protects the following, and the order of what is sent
	begun    int
	ended    int
	reaction Reaction
	shown    map[dbus.ObjectPath]*shown
}

// shown is a prompt on the screen.
type shown struct {
	daemon   string
	mine     *big.Int // our secret half of the key exchange
	exchange string   // the daemon's half, while the person is asked
}

const (
	prompterIface = "org.gnome.keyring.internal.Prompter"
	promptReady   = prompterIface + ".Callback.PromptReady"
	promptDone    = prompterIface + ".Callback.PromptDone"
)

// newPrompter joins the bus at address as the prompter.
func newPrompter(tb testing.TB, address string) *prompter {
	conn, err := dbus.Connect(address)
	if err != nil {
		tb.Fatal(err)
	}
	p := &prompter{tb: tb, conn: conn, shown: map[dbus.ObjectPath]*shown{}}
	if _, err := conn.RequestName("org.gnome.keyring.SystemPrompter", dbus.NameFlagDoNotQueue); err != nil {
		tb.Fatal(err)
	}
	// Messages are taken raw rather than through conn.Export, since the daemon
	// loses a callback that overtakes the reply to its own call.
	messages := make(chan *dbus.Message, 64)
	conn.Eavesdrop(messages)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for msg := range messages {
			p.handle(msg)
		}
	}()
	tb.Cleanup(func() {
		conn.Close()
		<-done
	})
	return p
}

func (p *prompter) react(r Reaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaction = r
	for prompt := range p.shown {
		p.answer(prompt)
	}
}

func (p *prompter) counts() (begun, ended int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun, p.ended
}

// handle does what the daemon asks for.
func (p *prompter) handle(msg *dbus.Message) {
	if iface, _ := msg.Headers[dbus.FieldInterface].Value().(string); msg.Type != dbus.TypeMethodCall || iface != prompterIface {
		return
	}
	daemon, _ := msg.Headers[dbus.FieldSender].Value().(string)
	member, _ := msg.Headers[dbus.FieldMember].Value().(string)
	var prompt dbus.ObjectPath
	if err := dbus.Store(msg.Body[:1], &prompt); err != nil {
		p.tb.Errorf("%s: %v", member, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.Send(&dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(daemon),
		dbus.FieldReplySerial: dbus.MakeVariant(msg.Serial()),
	}}, nil)
	switch member {
	case "BeginPrompting":
		mine, err := rand.Int(rand.Reader, prime())
		if err != nil {
			p.tb.Errorf("begin a prompt: %v", err)
			return
		}
		p.begun++
		p.shown[prompt] = &shown{daemon: daemon, mine: mine}
		public := new(big.Int).Exp(big.NewInt(2), mine, prime())
		p.ready(prompt, "", "[sx-aes-1]\npublic="+encode64(public.Bytes())+"\n")
	case "PerformPrompt":
		if s, exchange := p.shown[prompt], ""; s != nil && dbus.Store(msg.Body[3:], &exchange) == nil {
			s.exchange = exchange
			p.answer(prompt)
		}
	case "StopPrompting":
		p.ended++
		delete(p.shown, prompt)
		p.conn.Object(daemon, prompt).Call(promptDone, dbus.FlagNoReplyExpected)
	}
}

// answer does what the person does with a question; mu is held.
func (p *prompter) answer(prompt dbus.ObjectPath) {
	s := p.shown[prompt]
	if s.exchange == "" {
		return
	}
	switch p.reaction {
	case Cancels:
		p.ready(prompt, "no", "[sx-aes-1]\n")
	case Consents:
		answer, err := seal(s.mine, s.exchange, Password)
		if err != nil {
			p.tb.Errorf("answer a prompt: %v", err)
			return
		}
		p.ready(prompt, "yes", answer)
	default:
		return
	}
	s.exchange = ""
}

// ready tells the daemon that the prompt is on the screen, or was answered; mu
// is held.
func (p *prompter) ready(prompt dbus.ObjectPath, reply, exchange string) {
	p.conn.Object(p.shown[prompt].daemon, prompt).Call(promptReady, dbus.FlagNoReplyExpected, reply, map[string]dbus.Variant{}, exchange)
}

// seal encrypts a password for the peer of a GcrSecretExchange: Diffie-Hellman
// in the 1536-bit group of RFC 3526 (no padding), HKDF with SHA-256, AES-128-CBC, PKCS #7.
func seal(mine *big.Int, exchange, password string) (string, error) {
	_, public, ok := strings.Cut(exchange, "public=")
	if !ok {
		return "", fmt.Errorf("no public key in %q", exchange)
	}
	public, _, _ = strings.Cut(public, "\n")
	peer, err := base64.StdEncoding.DecodeString(public)
	if err != nil {
		return "", err
	}
	shared := new(big.Int).Exp(new(big.Int).SetBytes(peer), mine, prime())
	key, err := hkdf.Key(sha256.New, shared.Bytes(), nil, "", 16)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	iv := make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv) // never fails
	pad := aes.BlockSize - len(password)%aes.BlockSize
	data := []byte(password + strings.Repeat(string(rune(pad)), pad))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return "[sx-aes-1]\nsecret=" + encode64(data) + "\niv=" + encode64(iv) + "\n", nil
}

func encode64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// prime is that of the 1536-bit MODP group, RFC 3526 section 2.
func prime() *big.Int {
	p, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1"+
		"29024E088A67CC74020BBEA63B139B22514A08798E3404DD"+
		"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245"+
		"E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"+
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3D"+
		"C2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"+
		"83655D23DCA3AD961C62F356208552BB9ED529077096966D"+
		"670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF", 16)
	return p
}
