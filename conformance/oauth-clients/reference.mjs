// The authorization server whose opinion is asked for: `oidc-provider`, with the same clients, resources and people as ours.

import Provider, { errors } from "oidc-provider";

/** Starts it on a free port of loopback. */
export async function startReference({ resource, otherResource, publicKey }) {
    const scopes = { [resource]: "tickets.read tickets.write", [otherResource]: "calendar.read" };
    const { server, issuer } = await listen();
    const provider = new Provider(issuer, {
        clients: [
            publicClient("editor"),
            publicClient("viewer"),
            {
                client_id: "service",
                token_endpoint_auth_method: "private_key_jwt",
                token_endpoint_auth_signing_alg: "ES256",
                jwks: { keys: [publicKey] },
                redirect_uris: ["https://service.example.com/callback"],
                grant_types: ["authorization_code", "refresh_token"],
            },
        ],
        scopes: ["openid", "offline_access"],
        pkce: { required: () => true },
        features: {
            devInteractions: { enabled: true },
            pushedAuthorizationRequests: { enabled: true },
            revocation: { enabled: true },
            resourceIndicators: {
                enabled: true,
                defaultResource: () => resource,
                useGrantedResource: () => true,
                getResourceServerInfo(_, indicator) {
                    if (scopes[indicator] === undefined) throw new errors.InvalidTarget();
                    return { scope: scopes[indicator], accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
                },
            },
            richAuthorizationRequests: {
                enabled: true,
                types: { mcp_tool_call: { validate() {} } },
                authorizationDetailsForGrantSource: () => undefined,
                authorizationDetailsForAccessToken: () => undefined,
                authorizationDetailsForIntrospection: () => undefined,
            },
        },
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    });
    provider.on("server_error", (_, error) => console.error(error));
    server.on("request", provider.callback());
    return { issuer, close: () => server.close() };
}

function publicClient(id) {
    return {
        client_id: id,
        application_type: "native",
        token_endpoint_auth_method: "none",
        redirect_uris: ["http://127.0.0.1/callback"],
        grant_types: ["authorization_code", "refresh_token"],
    };
}

async function listen() {
    const { createServer } = await import("node:http");
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { server, issuer: `http://127.0.0.1:${server.address().port}` };
}
