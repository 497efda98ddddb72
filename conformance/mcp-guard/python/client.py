#!/usr/bin/env python3
"""The official Python SDK's client, taken through a list of steps.

    client.py < SCRIPT    {"url", "token", "era": "2026-07-28" or "2025-11-25", "steps": [{"name", "list": true},
                           {"name", "call": TOOL, "arguments": {…}}, {"name", "watch": TOOL, "timeout": MS}]}

Prints one line of JSON per step: what the SDK made of the answer (`tools`, `text` or `error`), when (`at`, milliseconds
since 1970), and what was on the wire (`status`, `challenge`). The step `connect` comes first. A watch also prints
{"name": "watching"} once its stream runs.
"""

import asyncio
import json
import logging
import sys
import time

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

# What the last POST brought.
wire = {}


def say(**fields):
    print(json.dumps(fields), flush=True)


def now():
    return int(time.time() * 1000)


class Wire(httpx2.AsyncHTTPTransport):
    """Plain HTTP that remembers what came back from `url`."""

    def __init__(self, url):
        super().__init__()
        self.url = url

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        if request.method == "POST" and request.url == self.url:
            wire.update(status=response.status_code, challenge=response.headers.get("www-authenticate"))
        return response


def problem(error):
    """An exception as JSON; those of a task group stand for their first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    described = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, MCPError):
        described |= {"code": error.error.code, "data": error.error.data}
    return described


async def take(client, step):
    """One step; returns what the SDK made of it."""
    if "list" in step:
        return {"tools": sorted(tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools)}
    heard = 0

    async def progress(*_):
        nonlocal heard
        heard += 1
        if heard == 3 and "watch" in step:
            say(name="watching")

    name = step.get("call") or step["watch"]
    patience = step.get("timeout", 60_000) / 1000
    result = await client.call_tool(
        name, step.get("arguments", {}), progress_callback=progress, read_timeout_seconds=patience
    )
    return {"text": result.content[0].text, "is_error": bool(result.is_error)}


async def main(script):
    headers = {"Authorization": f"Bearer {script['token']}"} if script.get("token") else {}
    mode = "legacy" if script["era"] < "2026" else "auto"
    step = {"name": "connect"}
    try:
        async with httpx2.AsyncClient(transport=Wire(script["url"]), headers=headers, timeout=90) as http:
            async with Client(streamable_http_client(script["url"], http_client=http), mode=mode) as client:
                say(**step, **wire, version=client.protocol_version)
                for step in script["steps"]:
                    wire.clear()
                    try:
                        outcome = await take(client, step)
                    except MCPError as error:
                        outcome = {"error": problem(error)}
                    say(name=step["name"], at=now(), **wire, **outcome)
    except Exception as error:
        say(name=step["name"], at=now(), **wire, error=problem(error))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(json.load(sys.stdin)))
