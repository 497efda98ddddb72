// A person's MCP client with the official TypeScript SDK: discovers, signs the person in, calls one tool.
//
//     npm install @modelcontextprotocol/client@2
//     node client.mjs SERVER_URL CLIENT_ID TOOL '{"argument": …}'
//
// CLIENT_ID is what the administrator has registered, or the URL of the client's own metadata document.

import { createServer } from "node:http";

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

const [serverUrl, clientId, tool, toolArguments] = process.argv.slice(2);

let comeBack;
const cameBack = new Promise((resolve) => (comeBack = resolve));
const listener = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    response.writeHead(200, { "content-type": "text/plain", connection: "close" }).end("You can close this window.");
    if (url.pathname === "/callback") comeBack(url.searchParams);
});
await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));

// What the SDK asks to be kept. Keep it in the system's keyring instead, and nobody signs in twice.
const kept = clientId.startsWith("https://") ? {} : { client: { client_id: clientId } };
const redirectUrl = `http://127.0.0.1:${listener.address().port}/callback`;
const authProvider = {
    redirectUrl,
    clientMetadataUrl: clientId.startsWith("https://") ? clientId : undefined,
    clientMetadata: { client_name: "Example", redirect_uris: [redirectUrl] },
    state: () => (kept.state = crypto.randomUUID()),
    clientInformation: () => kept.client,
    saveClientInformation: (information) => void (kept.client = information),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => void (kept.tokens = tokens),
    codeVerifier: () => kept.verifier,
    saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
    discoveryState: () => kept.discovery,
    saveDiscoveryState: (state) => void (kept.discovery = state),
    redirectToAuthorization: (url) => console.error(`Sign in: ${url.href}`),
};

async function connect() {
    const transport = new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider });
    const client = new Client({ name: "example", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
    try {
        await client.connect(transport);
        return client;
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        const answer = await cameBack;
        if (answer.has("error")) throw new Error(`Not allowed: ${answer.get("error")}`);
        // The SDK leaves this to its host.
        if (answer.get("state") !== kept.state) throw new Error("an answer that was not asked for");
        await transport.finishAuth(answer);
        return await connect();
    }
}

const client = await connect();
const result = await client.callTool({ name: tool, arguments: JSON.parse(toolArguments) });
console.log(result.content[0].text);
await client.close();
listener.close();
process.exit(0);
