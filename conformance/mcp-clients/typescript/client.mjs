#!/usr/bin/env node
// The same application as ../python/client.py, which says what it reads and prints, with the official TypeScript SDK.

import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

const say = (fields) => console.log(JSON.stringify(fields));
// The SDK's own warnings go to stderr, with everything else that isn't an event.
console.warn = console.info = console.debug = (...said) => console.error(...said);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function command() {
    const { value, done } = await lines.next();
    return done ? { do: "end" } : JSON.parse(value);
}

// What the token endpoint was asked for.
let grants = [];

async function watchedFetch(asked, init) {
    const response = await fetch(asked, init);
    const grant = init?.body instanceof URLSearchParams ? init.body.get("grant_type") : null;
    if (grant) grants.push({ grant, status: response.status, error: (await response.clone().json()).error });
    return response;
}

// What the SDK asks of its host: to keep things, and to open a page.
class Application {
    arrived;
    #stored = {};

    constructor(given, redirectUrl) {
        this.given = given;
        this.redirectUrl = redirectUrl;
        this.clientMetadataUrl = given.client_metadata_url;
        this.clientMetadata = { client_name: "TypeScript application", redirect_uris: [redirectUrl] };
        if (given.client_id) this.#stored.client = { client_id: given.client_id };
    }

    state = () => (this.#stored.state = crypto.randomUUID());
    clientInformation = () => this.#stored.client;
    saveClientInformation = (information) => void (this.#stored.client = information);
    tokens = () => this.#stored.tokens;
    saveTokens = (tokens) => void (this.#stored.tokens = tokens);
    codeVerifier = () => this.#stored.verifier;
    saveCodeVerifier = (verifier) => void (this.#stored.verifier = verifier);
    discoveryState = () => this.#stored.discovery;
    saveDiscoveryState = (state) => void (this.#stored.discovery = state);

    invalidateCredentials(what) {
        if (what === "all" || what === "tokens") delete this.#stored.tokens;
        if (what === "all" || what === "client") delete this.#stored.client;
    }

    redirectToAuthorization(url) {
        this.arrived = undefined;
        say({ authorize: url.href });
    }

    // The way back from the browser, or nothing if the window was closed.
    async callback() {
        await command();
        if (this.arrived === undefined) throw new Error("the window was closed");
        if (this.arrived.has("error")) throw new Error(this.arrived.get("error"));
        // The SDK leaves this to its host.
        if (this.arrived.get("state") !== this.#stored.state) throw new Error("state mismatch");
        return this.arrived;
    }
}

let application;
let client;
let transport;

const listener = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    const found = url.pathname === "/callback";
    response.writeHead(found ? 200 : 404, { "content-type": "text/plain", connection: "close" });
    response.end(found ? "You can close this window." : "Nothing here.");
    if (found) application.arrived = url.searchParams;
});

async function connect(url) {
    await client?.close();
    const attempt = async () => {
        transport = new StreamableHTTPClientTransport(new URL(url), {
            authProvider: application,
            fetch: watchedFetch,
        });
        client = new Client({ name: "application", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
        await client.connect(transport);
    };
    await orElseAuthorize(attempt, attempt);
    return { version: client.getNegotiatedProtocolVersion() };
}

// Does it, and if the person is needed first, does it again when the browser has come back.
async function orElseAuthorize(attempt, again) {
    try {
        return await attempt();
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        await transport.finishAuth(await application.callback());
        return await again();
    }
}

async function take(step) {
    switch (step.do) {
        case "connect":
            return await connect(application.given.url);
        case "list":
            return { tools: (await client.listTools(undefined, { cacheMode: "refresh" })).tools.map((tool) => tool.name).sort() };
    }
    let heard = 0;
    const onprogress = () => {
        if (++heard === 3 && step.do === "watch") say({ watching: true });
    };
    const call = () =>
        client.callTool({ name: step.tool, arguments: step.arguments ?? {} }, { onprogress, timeout: 60_000 });
    const result = await orElseAuthorize(call, call);
    return { text: result.content[0].text, is_error: Boolean(result.isError) };
}

function problem(error) {
    return { type: error.name, message: error.message, code: error.code, data: error.data };
}

async function main() {
    const given = await command();
    await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
    application = new Application(given, `http://127.0.0.1:${listener.address().port}/callback`);
    for (let step = await command(); step.do !== "end"; step = await command()) {
        grants = [];
        let outcome;
        try {
            outcome = await take(step);
        } catch (error) {
            outcome = { error: problem(error) };
        }
        say({ done: step.do, at: Date.now(), grants, ...outcome });
    }
    await client?.close();
    listener.close();
}

await main();
process.exit(0);
