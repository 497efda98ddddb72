"""A person's MCP client with the official Python SDK: discovers, signs the person in, calls one tool.

    pip install 'mcp==2.*'
    python client.py SERVER_URL CLIENT_ID TOOL '{"argument": …}'

CLIENT_ID is what the administrator has registered, or the URL of the client's own metadata document.
"""

import asyncio
import json
import sys
import webbrowser
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata


class Memory:
    """Tokens and the client's identity. Keep them in the system's keyring instead, and nobody signs in twice."""

    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


async def main(server_url, client_id, tool, arguments):
    came_back = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nYou can close this window.")
        writer.close()
        if target.startswith("/callback?") and not came_back.done():
            came_back.set_result({name: values[0] for name, values in parse_qs(urlsplit(target).query).items()})

    async def open_browser(url):
        print(f"Sign in: {url}", file=sys.stderr, flush=True)
        webbrowser.open(url)

    async def wait_for_browser():
        answer = await came_back
        if "error" in answer:
            sys.exit(f"Not allowed: {answer['error']}")
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    redirect_uri = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/callback"
    memory, document = Memory(), client_id if client_id.startswith("https://") else None
    if document is None:
        memory.client_info = OAuthClientInformationFull(
            client_id=client_id, redirect_uris=[redirect_uri], token_endpoint_auth_method="none"
        )
    auth = OAuthClientProvider(
        server_url=server_url,
        client_metadata=OAuthClientMetadata(client_name="Example", redirect_uris=[redirect_uri]),
        storage=memory,
        redirect_handler=open_browser,
        callback_handler=wait_for_browser,
        client_metadata_url=document,
    )
    async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
        async with Client(streamable_http_client(server_url, http_client=http), mode="auto") as client:
            result = await client.call_tool(tool, arguments)
            print(result.content[0].text)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
