package words

import (
	"path/filepath"
	"strings"

	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
)

const (
	gateway       = string(langflow.Gateway)
	commandFailed = string(langflow.CommandFailed)
)

// behindGateway tells whether a gateway in front of the server refused.
func behindGateway(p client.Profile) bool { return text(p.Reason) == gateway }

// WantsBrowser tells whether a sign-in in the browser is the way through the gateway that
// refused: nothing else is set up, and a person can sign in there.
func WantsBrowser(p client.Profile) bool {
	if !behindGateway(p) || len(p.HeaderCommand) > 0 || len(p.GatewayHeaders) > 0 {
		return false
	}
	switch text(p.Gateway) {
	case vocabulary.BasicGateway, vocabulary.ClientCertificate:
		return p.State == client.SignInRequired // the browser let us through before
	}
	return true
}

// SignInHelps tells whether a sign-in, in the browser or with what the gateway wants, gets
// the profile on.
func SignInHelps(p client.Profile) bool {
	switch p.State {
	case client.SignInRequired, client.SignedOut:
		return true
	case client.Stale, client.Retrying:
		return behindGateway(p) && len(p.HeaderCommand) == 0
	}
	return false
}

// gatewayName is a gateway's name at the beginning of a sentence; others than package
// vocabulary's are from a newer agent.
func gatewayName(name string) string {
	switch name {
	case vocabulary.CloudflareAccess:
		return "Cloudflare Access"
	case vocabulary.OAuth2Proxy:
		return "oauth2-proxy"
	case vocabulary.IAP:
		return "Google's Identity-Aware Proxy"
	case vocabulary.EasyAuth:
		return "Azure's sign-in (Easy Auth)"
	case vocabulary.BasicGateway:
		return "A web server"
	}
	return "A gateway"
}

// Gateway says what the gateway in front of a server wants.
func Gateway(name, host string) string {
	who := gatewayName(name) + " in front of " + host
	switch name {
	case vocabulary.BasicGateway:
		return who + " wants a user name and password of its own."
	case vocabulary.ClientCertificate:
		return who + " wants a client certificate."
	}
	return who + " wants you to sign in."
}

// gatewayAdvice says what lets a profile through a gateway, lower case.
func gatewayAdvice(name, profile string) string {
	if profile == "" {
		profile = "NAME"
	}
	run := "run " + login + profile
	switch name {
	case vocabulary.CloudflareAccess:
		return run + " --browser, or with a service token: --header CF-Access-Client-Id --header CF-Access-Client-Secret"
	case vocabulary.BasicGateway:
		return run + " --header Authorization, and give Basic and the base64 of NAME:PASSWORD"
	case vocabulary.ClientCertificate:
		return run + " --client-cert FILE --client-key FILE"
	}
	return run + " --browser, or with --header or --header-command if it lets programs in"
}

// ofGateway says why the gateway in front of a profile's server refused.
func ofGateway(p client.Profile) string {
	who := gatewayName(text(p.Gateway)) + " in front of " + Host(p)
	const kept = "Your Langflow session is kept."
	switch {
	case len(p.HeaderCommand) > 0:
		return "The gateway refused what " + command(p.HeaderCommand) + " gave."
	case len(p.GatewayHeaders) > 0 && text(p.Gateway) != vocabulary.ClientCertificate:
		return joined(who+" refused the headers that Langkeep keeps for it.", kept)
	case p.ClientCert != nil && text(p.Gateway) == vocabulary.ClientCertificate:
		return joined(who+" refused the client certificate.", kept)
	}
	return joined(Gateway(text(p.Gateway), Host(p)), kept)
}

const lowerCase = "abcdefghijklmnopqrstuvwxyz"

// isSubcommand tells whether an argument can be shown: one that tells the program what
// to do. No pattern is used here, since each costs every command's start 0.1 ms.
func isSubcommand(word string) bool {
	return word != "" && len(word) <= 20 && word[0] != '-' && strings.Trim(word, lowerCase+"-") == ""
}

// Command shows a command by its program and up to two subcommands: cloudflared access
// token. Further arguments may be secrets. It is "" for none.
func Command(words []string) string {
	if len(words) == 0 {
		return ""
	}
	shown := []string{filepath.Base(Safe(words[0]))}
	for _, word := range words[1:] {
		if len(shown) == 3 || !isSubcommand(word) {
			break
		}
		shown = append(shown, word)
	}
	return strings.Join(shown, " ")
}

// command is Command in a sentence.
func command(words []string) string { return "`" + Command(words) + "`" }

// ofCommand says that a command failed. detail is the agent's.
func ofCommand(whose, detail string) string {
	program, is := strings.CutPrefix(detail, "the command ")
	switch {
	case detail == "":
		return whose + " failed."
	case !is: // such as a profile that names none
		return Sentence(detail)
	}
	return whose + " failed: " + strings.TrimRight(program, ".") + "."
}

// profilesCommand says that one of a profile's commands failed.
func profilesCommand(p client.Profile) string {
	detail := Safe(text(p.ReasonDetail))
	ofToken := isExternal(p) && len(p.TokenCommand) > 0 &&
		(len(p.HeaderCommand) == 0 || strings.HasPrefix(detail, "the command "+Safe(p.TokenCommand[0])+" "))
	if ofToken || isExternal(p) && len(p.HeaderCommand) == 0 {
		return ofCommand("The token's command", detail)
	}
	return ofCommand("The gateway's command", detail)
}

// byGateway tells whether the gateway's cookies are the session: the gateway tells the
// server who it let in, so there is no access token.
func byGateway(p client.Profile) bool { return isExternal(p) && len(p.TokenCommand) == 0 }

// HasTokens tells whether a profile's session has access tokens.
func HasTokens(p client.Profile) bool {
	return (p.Method == nil || *p.Method != client.APIKey) && !byGateway(p)
}

func isExternal(p client.Profile) bool { return p.Method != nil && *p.Method == client.External }
