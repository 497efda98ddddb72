// The company's identity provider: `oidc-provider` over TLS, with its pages for development.

import https from "node:https";
import Provider from "oidc-provider";

const PEOPLE = {
    alice: { name: "Alice Example", email: "alice@example.com", email_verified: true, groups: ["support"] },
    bob: { name: "Bob Example", email: "bob@example.com", email_verified: true, groups: [] },
};

export async function startProvider(settings, tls) {
    const { port, issuer, taskpass, secret } = settings;
    const client = {
        client_id: "taskpass",
        client_secret: secret,
        redirect_uris: [`${taskpass}/sign-in/callback/corp`],
        backchannel_logout_uri: `${taskpass}/sign-in/logout/corp`,
        backchannel_logout_session_required: true,
    };
    const told = [];
    const provider = new Provider(issuer, {
        clients: [client],
        claims: { openid: ["sub"], profile: ["name", "groups"], email: ["email", "email_verified"] },
        // The claims stand in the ID token, as most companies' providers do it.
        conformIdTokenClaims: false,
        pkce: { required: () => true },
        features: {
            devInteractions: { enabled: true },
            backchannelLogout: { enabled: true },
            rpInitiatedLogout: { enabled: true },
        },
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
        // It guards itself against loopback addresses; here everything is one.
        fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    });
    provider.on("backchannel.success", (_, { clientId }) => told.push(`${clientId} was told`));
    provider.on("backchannel.error", (_, error, { clientId }) =>
        told.push(`${clientId} did not take it: ${error.message}`),
    );
    const server = https.createServer(tls, provider.callback());
    await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    return { issuer, told, close: () => server.close() };
}
