"""Runs a flow with the OpenAI SDK, of which only base URL and key are set."""
import os
import sys

from openai import OpenAI

client = OpenAI(base_url=os.environ["LANGFLOW_URL"] + "/api/v1", api_key=os.environ["LANGFLOW_API_KEY"])
print(client.responses.create(model=sys.argv[1], input="from openai").output_text)
