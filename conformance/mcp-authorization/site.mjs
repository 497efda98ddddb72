// mcp-authorization/site.mjs PORT CERTIFICATES REDIRECT_URI: a client's web site over TLS, with its metadata document.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [port, certificates, redirectUri] = process.argv.slice(2);
const clientId = `https://127.0.0.1:${port}/client.json`;
const metadata = {
    client_id: clientId,
    client_name: "Conformance Client",
    client_uri: `https://127.0.0.1:${port}/`,
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
};
const tls = { cert: readFileSync(`${certificates}/server.pem`), key: readFileSync(`${certificates}/server.key`) };
createServer(tls, (request, response) => {
    console.log(request.method, request.url);
    const found = request.url === "/client.json";
    response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
    response.end(found ? JSON.stringify(metadata) : "{}");
}).listen(Number(port), "127.0.0.1");
