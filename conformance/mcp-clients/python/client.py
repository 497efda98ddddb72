#!/usr/bin/env python3
"""An application with the official Python SDK, as anybody would write it: it knows the URL of an MCP server, who it is itself,
and how to open a browser. All the rest the SDK finds out.

    client.py

Reads one line of JSON per command on stdin, and prints one line per event. The first line tells what the application has:

    {"url", "client_metadata_url" or "client_id"}

then, one after the other, {"do": "connect"}, {"do": "list"}, {"do": "call", "tool", "arguments"}, {"do": "watch", "tool"}
and {"do": "end"}. Each ends with {"done": …}: what the SDK made of
the answer, `error` included, when (`at`, milliseconds since 1970), and what the token endpoint was asked for meanwhile (`grants`).
Before that may come

    {"authorize": URL}      to be opened in a browser, whose way ends at the application's own loopback address. It goes on when
                            another line comes on stdin; if the browser has not come by then, the person has closed the window
    {"watching": true}      the stream of a call runs
"""

import asyncio
import json
import logging
import sys
import time
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata
from mcp.shared.exceptions import MCPError


def say(**fields):
    print(json.dumps(fields), flush=True)


class Abandoned(Exception):
    """The person closed the window."""


class Storage:
    """Tokens and the client's identity, in memory."""

    def __init__(self, client_info):
        self.tokens = None
        self.client_info = client_info

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


class Wire(httpx2.AsyncHTTPTransport):
    """Plain HTTP that writes down what the token endpoint was asked for."""

    def __init__(self):
        super().__init__()
        self.grants = []

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        grant = parse_qs(request.content.decode()).get("grant_type") if request.method == "POST" else None
        if grant:
            error = json.loads(await response.aread()).get("error")
            self.grants.append({"grant": grant[0], "status": response.status_code, "error": error})
        return response


class Application:
    """The commands, and what the SDK asks of its host: to open a page, and to wait for the way back."""

    def __init__(self, lines):
        self.lines = lines
        self.wire = Wire()
        self.callback = None
        self.context = None
        self.client = None

    async def begin(self):
        self.given = await self.command()
        server = await asyncio.start_server(self.serve_callback, "127.0.0.1", 0)
        redirect_uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"
        known = None
        if "client_id" in self.given:
            known = OAuthClientInformationFull(
                client_id=self.given["client_id"], redirect_uris=[redirect_uri], token_endpoint_auth_method="none"
            )
        self.auth = OAuthClientProvider(
            server_url=self.given["url"],
            client_metadata=OAuthClientMetadata(client_name="Python application", redirect_uris=[redirect_uri]),
            storage=Storage(known),
            redirect_handler=self.open_browser,
            callback_handler=self.wait_for_callback,
            client_metadata_url=self.given.get("client_metadata_url"),
        )

    async def command(self):
        line = await self.lines.readline()
        return json.loads(line) if line else {"do": "end"}

    async def serve_callback(self, reader, writer):
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        found = target.startswith("/callback?")
        status, text = ("200 OK", "You can close this window.") if found else ("404 Not Found", "Nothing here.")
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()
        )
        await writer.drain()
        writer.close()
        if found and self.callback is not None and not self.callback.done():
            self.callback.set_result({name: values[0] for name, values in parse_qs(urlsplit(target).query).items()})

    async def open_browser(self, url):
        self.callback = asyncio.get_running_loop().create_future()
        say(authorize=url)

    async def wait_for_callback(self):
        await self.command()
        if not self.callback.done():
            raise Abandoned("the window was closed")
        answer = self.callback.result()
        if "error" in answer:
            raise Abandoned(answer["error"])
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    async def connect(self):
        await self.disconnect()
        self.http = httpx2.AsyncClient(transport=self.wire, auth=self.auth, timeout=90)
        transport = streamable_http_client(self.given["url"], http_client=self.http)
        self.context = Client(transport, mode="auto")
        self.client = await self.context.__aenter__()
        return {"version": self.client.protocol_version}

    async def disconnect(self, cancelled=None):
        """Leaves the SDK's context; what went wrong in there comes out of it, and is returned."""
        if self.client is None:
            return None
        client, self.client = self.client, None
        try:
            await client.__aexit__(type(cancelled) if cancelled else None, cancelled, None)
        except Exception as error:
            return error
        finally:
            await self.http.aclose()
        return cancelled

    async def take(self, command):
        match command["do"]:
            case "connect":
                return await self.connect()
            case "list":
                return {"tools": sorted(tool.name for tool in (await self.client.list_tools(cache_mode="refresh")).tools)}
        heard = 0

        async def progress(*_):
            nonlocal heard
            heard += 1
            if heard == 3 and command["do"] == "watch":
                say(watching=True)

        result = await self.client.call_tool(
            command["tool"], command.get("arguments", {}), progress_callback=progress, read_timeout_seconds=60
        )
        return {"text": result.content[0].text, "is_error": bool(result.is_error)}

    async def run(self):
        await self.begin()
        while (command := await self.command())["do"] != "end":
            self.wire.grants.clear()
            try:
                outcome = await self.take(command)
            except asyncio.CancelledError as cancelled:
                # An authorization that fails ends the SDK's transport, and with it whoever waits for an answer.
                outcome = {"error": problem(await self.disconnect(cancelled))}
            except Exception as error:
                outcome = {"error": problem(error)}
            say(done=command["do"], at=int(time.time() * 1000), grants=self.wire.grants, **outcome)
        await self.disconnect()


def problem(error):
    """An exception as JSON; those of a task group stand for their first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    described = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, MCPError):
        described |= {"code": error.error.code, "data": error.error.data}
    return described


async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await Application(lines).run()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
