"""Creates, reads and deletes a flow with langflow-builder-mcp 0.2.5.

other_builder_client.py COMMAND ARGUMENT...   starts it
"""
import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        print("tools:", "create_flow" in {tool.name for tool in (await session.list_tools()).tools})
        made = await session.call_tool("create_flow", {"name": "By the other builder"})
        text = made.content[0].text
        if made.isError or '"id"' not in text:
            print("refused:", "403" in text)
            return
        flow = json.loads(text)["id"]
        read = await session.call_tool("get_flow", {"flow_id": flow})
        print("read:", json.loads(read.content[0].text)["name"])
        deleted = await session.call_tool("delete_flow", {"flow_id": flow})
        print("deleted:", not deleted.isError)
        gone = await session.call_tool("get_flow", {"flow_id": flow})
        print("gone:", "404" in gone.content[0].text)


asyncio.run(main())
