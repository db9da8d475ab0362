"""Makes the flow that echoes, with langflow-sdk, and runs it.

Prints the flow's id, its project's id, and what came back. The SDK's stream() is
left out: 0.4.0 asks for it in a way that 1.13.0 answers plainly, also without a
proxy.
"""
import json
import os

import httpx
from langflow_sdk import Client
from langflow_sdk.models import FlowCreate

url, key = os.environ["LANGFLOW_URL"], os.environ["LANGFLOW_API_KEY"]
types = httpx.get(f"{url}/api/v1/all", headers={"x-api-key": key}, timeout=60).raise_for_status().json()


def node(name: str) -> dict:
    """A component as the editor would put it on the canvas."""
    group = next(group for group in types.values() if name in group)
    return {
        "id": f"{name}-1", "type": "genericNode", "position": {"x": 0, "y": 0},
        "data": {"id": f"{name}-1", "type": name, "node": group[name]},
    }


def handle(value: dict) -> str:
    return json.dumps(value, separators=(",", ":")).replace('"', "œ")


source = {"dataType": "ChatInput", "id": "ChatInput-1", "name": "message", "output_types": ["Message"]}
field = node("ChatOutput")["data"]["node"]["template"]["input_value"]
target = {"fieldName": "input_value", "id": "ChatOutput-1", "inputTypes": field["input_types"], "type": field["type"]}
edge = {
    "id": "edge-1", "source": "ChatInput-1", "target": "ChatOutput-1",
    "sourceHandle": handle(source), "targetHandle": handle(target),
    "data": {"sourceHandle": source, "targetHandle": target},
}
client = Client(base_url=url, api_key=key)
flow = client.create_flow(FlowCreate(
    name="Echo", description="Says what it is told", endpoint_name="echo", mcp_enabled=True,
    data={"nodes": [node("ChatInput"), node("ChatOutput")], "edges": [edge], "viewport": {"x": 0, "y": 0, "zoom": 1}},
))
print(flow.id)
print(flow.folder_id)
print(client.run("echo", input_value="plain").first_text_output())
