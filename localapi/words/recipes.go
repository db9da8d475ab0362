package words

import (
	"strings"

	"langkeep/localapi/client"
)

// Recipes are ways to use a profile from programs: texts to copy, with no secret in them.
// Each gets its credential from a command or from the environment that exec gives.
func Recipes(p client.Profile) []client.Recipe {
	name := Safe(p.Name)
	ask := "langkeep token " + name + " --output header"
	if !HasTokens(p) {
		ask = "langkeep key " + name + " --output header"
	}
	run := func(program string) client.Step {
		return client.Step{Title: "Run it", Text: "langkeep exec " + name + " --scope run -- python " + program}
	}
	const flow = "my-flow is the endpoint name or the ID of a flow."
	return []client.Recipe{
		{Name: "shell", Title: "Shell", Note: flow, Steps: []client.Step{
			{Title: "Ask the server as you", Text: ask + " | curl -s -H @- " + shellWord(p.ServerURL+"/api/v1/users/whoami")},
			{Title: "Run a flow", Text: "langkeep key " + name + " --output header | curl -s -H @- -H 'Content-Type: application/json' \\\n" +
				`  -d '{"input_value":"hello"}' ` + shellWord(p.ServerURL+"/api/v1/run/my-flow")},
			{Title: "Let this shell use the account for 8 hours", Text: `eval "$(langkeep env ` + name + `)"`},
		}},
		{Name: "python", Title: "Python", Note: flow, Steps: []client.Step{
			{Title: "flow.py", Text: `import json, os, urllib.request

request = urllib.request.Request(
    os.environ["LANGFLOW_URL"] + "/api/v1/run/my-flow",
    data=json.dumps({"input_value": "hello"}).encode(),
    headers={"x-api-key": os.environ["LANGFLOW_API_KEY"], "Content-Type": "application/json"},
)
print(urllib.request.urlopen(request).read().decode())
`}, run("flow.py"),
		}},
		{Name: "langflow-sdk", Title: "langflow-sdk", Note: flow + " The SDK reads the environment that connect writes.", Steps: []client.Step{
			{Title: "Once", Text: "langkeep connect langflow-sdk " + name},
			{Title: "sdk.py", Text: "from langflow_sdk import get_client\n\n" +
				`print(get_client("` + name + `").run("my-flow", input_value="hello").first_text_output())` + "\n"},
			run("sdk.py"),
		}},
		{Name: "openai", Title: "OpenAI SDK", Note: flow + " It must have a chat input and a chat output.", Steps: []client.Step{
			{Title: "ask.py", Text: `import os
from openai import OpenAI

client = OpenAI(base_url=os.environ["LANGFLOW_URL"] + "/api/v1", api_key=os.environ["LANGFLOW_API_KEY"])
print(client.responses.create(model="my-flow", input="hello").output_text)
`}, run("ask.py"),
		}},
	}
}

// shellWord quotes a word for a POSIX shell where it has to be.
func shellWord(word string) string {
	const plain = lowerCase + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-" // every shell takes these as they are
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
