#!/usr/bin/env node
// The official TypeScript SDK's client, taken through a list of steps.
//
//     client.mjs < SCRIPT
//
// Script and output are those of ../python/client.py.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

// What the last POST brought.
let wire = {};

const say = (fields) => console.log(JSON.stringify(fields));

// fetch that remembers what came back from `url`.
const watching = (url) => async (asked, init) => {
    const response = await fetch(asked, init);
    if (init?.method === "POST" && String(asked) === url) {
        wire.status = response.status;
        wire.challenge = response.headers.get("www-authenticate");
    }
    return response;
};

function problem(error) {
    const { name, message, code, data, status } = error;
    return { type: name, message, code, data, http: status };
}

async function take(client, step) {
    if (step.list) {
        const { tools } = await client.listTools(undefined, { cacheMode: "refresh" });
        return { tools: tools.map((tool) => tool.name).sort() };
    }
    let heard = 0;
    const onprogress = () => {
        if (++heard === 3 && step.watch) say({ name: "watching" });
    };
    const request = { name: step.call ?? step.watch, arguments: step.arguments ?? {} };
    const result = await client.callTool(request, { onprogress, timeout: step.timeout ?? 60_000 });
    return { text: result.content[0].text, is_error: Boolean(result.isError) };
}

async function main(script) {
    const headers = script.token ? { Authorization: `Bearer ${script.token}` } : {};
    const transport = new StreamableHTTPClientTransport(new URL(script.url), {
        requestInit: { headers },
        fetch: watching(script.url),
    });
    const mode = script.era < "2026" ? "legacy" : { pin: script.era };
    const client = new Client({ name: "conformance", version: "1.0.0" }, { versionNegotiation: { mode } });
    try {
        await client.connect(transport);
    } catch (error) {
        say({ name: "connect", at: Date.now(), ...wire, error: problem(error) });
        return;
    }
    say({ name: "connect", ...wire, version: client.getNegotiatedProtocolVersion() });
    for (const step of script.steps) {
        wire = {};
        let outcome;
        try {
            outcome = await take(client, step);
        } catch (error) {
            outcome = { error: problem(error) };
        }
        say({ name: step.name, at: Date.now(), ...wire, ...outcome });
    }
    await transport.terminateSession().catch(() => {});
    await client.close();
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
await main(JSON.parse(input));
