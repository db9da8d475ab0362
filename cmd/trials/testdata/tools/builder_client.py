"""Builds, runs and deletes a flow with Langflow's MCP server for that.

builder_client.py FILE NAME     an entry of a client's configuration file
"""
import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

SPEC = """name: By the builder
nodes:
  A: ChatInput
  B: ChatOutput
edges:
  A.message -> B.input_value
"""


async def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        entry = json.load(file)["mcpServers"][sys.argv[2]]
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env"))
    async with stdio_client(server) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        offered = {tool.name for tool in (await session.list_tools()).tools}

        async def call(tool: str, **arguments: object) -> str:
            if tool not in offered:
                raise SystemExit(f"there is no tool {tool}")
            result = await session.call_tool(tool, arguments)
            text = " ".join(part.text for part in result.content)
            if result.isError:
                raise SystemExit(f"{tool}: {text}")
            return text

        made = json.loads(await call("create_flow_from_spec", spec=SPEC))
        flow = made.get("id") or made["flow_id"]
        shown = json.loads(await call("get_flow_info", flow_id=flow))
        print("built:", ", ".join(sorted(word for word in ("ChatInput", "ChatOutput") if word in json.dumps(shown))))
        said = "by the builder"
        print("ran:", said if said in await call("run_flow", flow_id=flow, input_value=said) else "something else")
        added = await session.call_tool("add_component", {"flow_id": flow, "component_type": "URLComponent"})
        print("a component that asks any host:", "refused" if added.isError else "added")
        await call("delete_flow", flow_id=flow)
        print("deleted")


asyncio.run(main())
