"""An MCP server of 2026-07-28, with the MCP SDK 2.3, where Langflow has its own.

mcp_modern_server.py PORT
"""
import asyncio
import sys
from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from pydantic import BaseModel

server = MCPServer("modern")


@server.tool()
def mirror(input_value: str) -> str:
    """Mirrors a text."""
    return input_value[::-1]


class Place(BaseModel):
    city: str


async def which() -> Elicit[Place]:
    return Elicit("Which city?", Place)


@server.tool()
async def weather(place: Annotated[Place, Resolve(which)]) -> str:
    """Asks for the city, and tells its weather."""
    return f"sunny in {place.city}"


@server.tool()
async def slow(input_value: str, ctx: Context) -> str:
    """Says often that it is not done."""
    for n in range(300):
        await ctx.report_progress(n, 300)
        print("tick", flush=True)
        await asyncio.sleep(0.1)
    return "too late"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]), streamable_http_path="/api/v1/mcp/streamable")
