"""An MCP server of 2026-07-28, with the MCP SDK 2.3, where Langflow has its own.

mcp_modern_server.py PORT
"""
import asyncio
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("modern")


@server.tool()
def mirror(input_value: str) -> str:
    """Mirrors a text."""
    return input_value[::-1]


@server.tool()
async def slow(input_value: str, ctx: Context) -> str:
    """Says often that it is not done."""
    for n in range(300):
        await ctx.report_progress(n, 300)
        print("tick", flush=True)
        await asyncio.sleep(0.1)
    return "too late"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]), streamable_http_path="/api/v1/mcp/streamable")
