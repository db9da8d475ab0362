"""Lists the tools of an MCP server and calls the first, with the MCP SDK from 1.1 on.

mcp_client.py stdio FILE NAME   an entry of a client's configuration file
mcp_client.py http|sse URL KEY  streamable HTTP or SSE
"""
import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client


def open_transport(kind: str, where: str, what: str):
    if kind == "stdio":
        with open(where, encoding="utf-8") as file:
            entry = json.load(file)["mcpServers"][what]
        return stdio_client(StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env")))
    if kind == "http":
        from mcp.client.streamable_http import streamablehttp_client  # since 1.8
        return streamablehttp_client(where, headers={"x-api-key": what})
    return sse_client(where, headers={"x-api-key": what})


async def main() -> None:
    async with open_transport(*sys.argv[1:4]) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        print(" ".join(tool.name for tool in tools))
        result = await session.call_tool(tools[0].name, {"input_value": f"by {sys.argv[1]}"})
        failed = result.is_error if hasattr(result, "is_error") else result.isError  # since 2.0, and before
        print("error" if failed else "fine", " ".join(part.text for part in result.content))


asyncio.run(main())
