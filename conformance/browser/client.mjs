// A client of the authorization endpoint, with a place where its answers arrive, and nothing else.

import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";

const random = () => randomBytes(32).toString("base64url");

export class Client {
    /** A client that listens on loopback; `id` is in the registry. */
    static async listen(issuer, id) {
        const client = new Client();
        Object.assign(client, { issuer, id, arrived: [] });
        client.server = createServer((request, response) => {
            const url = new URL(request.url, client.redirectUri);
            const found = url.pathname === "/callback";
            if (found) client.arrived.push(url.searchParams);
            response.writeHead(found ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
            response.end("<!doctype html><html lang=en><title>Back</title><link rel=icon href=data:,><main><h1>You can close this window</h1></main>");
        });
        await new Promise((resolve) => client.server.listen(0, "127.0.0.1", resolve));
        client.redirectUri = `http://127.0.0.1:${client.server.address().port}/callback`;
        return client;
    }

    /** The URL to open, for these parameters. */
    request(parameters) {
        this.verifier = random();
        const url = new URL(`${this.issuer}/oauth/authorize`);
        url.search = new URLSearchParams({
            response_type: "code",
            client_id: this.id,
            redirect_uri: this.redirectUri,
            state: random(),
            code_challenge: createHash("sha256").update(this.verifier).digest("base64url"),
            code_challenge_method: "S256",
            ...parameters,
        });
        return url.href;
    }

    /** The tokens for the answer that arrived last. */
    async redeem() {
        const body = new URLSearchParams({
            grant_type: "authorization_code",
            code: this.arrived.at(-1).get("code"),
            redirect_uri: this.redirectUri,
            client_id: this.id,
            code_verifier: this.verifier,
        });
        const response = await fetch(`${this.issuer}/oauth/token`, { method: "POST", body });
        const answer = await response.json();
        if (!response.ok) throw new Error(`the token endpoint says ${response.status}: ${JSON.stringify(answer)}`);
        return answer;
    }

    close() {
        this.server.close();
        this.server.closeAllConnections();
    }
}
