"""Makes a flow that never ends, from the one that echoes, and prints its id.

slow_flow.py FLOW FILE   the id of the flow that echoes, and the file that gets a
                         byte every 10 ms while the new flow runs
"""
import os
import sys

from langflow_sdk import Client
from langflow_sdk.models import FlowCreate

client = Client(base_url=os.environ["LANGFLOW_URL"], api_key=os.environ["LANGFLOW_API_KEY"])
data = client.get_flow(sys.argv[1]).data
code = next(node for node in data["nodes"] if node["id"] == "ChatInput-1")["data"]["node"]["template"]["code"]
method = "    async def message_response(self) -> Message:\n"
assert method in code["value"], code["value"]
code["value"] = code["value"].replace(method, method + f"""
        import asyncio
        while True:
            with open({sys.argv[2]!r}, "a") as file:
                file.write(".")
            await asyncio.sleep(0.01)
""")
print(client.create_flow(FlowCreate(name="Slow", endpoint_name="slow", mcp_enabled=True, data=data)).id)
