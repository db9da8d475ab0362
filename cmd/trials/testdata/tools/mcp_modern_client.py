"""Speaks the protocol of 2026-07-28, or an earlier one, with an entry of a client's
configuration file.

mcp_modern_client.py auto|legacy FILE NAME
"""
import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult


async def answer(_, params) -> ElicitResult:
    print(params.message)
    return ElicitResult(action="accept", content={"city": "Rome"})


async def main() -> None:
    with open(sys.argv[2], encoding="utf-8") as file:
        entry = json.load(file)["mcpServers"][sys.argv[3]]
    program = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env"))
    async with Client(program, mode=sys.argv[1], elicitation_callback=answer) as client:
        print(client.protocol_version)
        print(" ".join(tool.name for tool in (await client.list_tools()).tools))
        result = await client.call_tool("mirror", {"input_value": "größer"})
        print(repr(result.content[0].text))
        print((await client.call_tool("weather", {})).content[0].text)
        progressed = asyncio.Event()

        async def progress(*_) -> None:
            progressed.set()

        call = asyncio.create_task(client.call_tool("slow", {"input_value": ""}, progress_callback=progress))
        await progressed.wait()
        print("progress")
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            print("cancelled")
        print(repr((await client.call_tool("mirror", {"input_value": "on"})).content[0].text))


asyncio.run(main())
