#!/usr/bin/env node
// What happens to a person with an MCP client, from the URL of a guarded server to the day when they take it back.
//
//     story.mjs SETTINGS
//
// The settings are those that ./run writes.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

import { complaints, startChromium } from "../people/chromium.mjs";
import { allow, deny, isConsent, isSignIn, signInAs, withdraw, words } from "../people/pages.mjs";
import { test } from "../people/report.mjs";
import { Application } from "./application.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, servers } = settings;
const site = `https://localhost:${settings.site.port}`;
// From the page that says so to the end of the stream, in milliseconds.
const BOUND_MS = 1000;

// --- The site where the applications' makers publish what they are ---------------------------------------------

const fetched = {};
// The last two call themselves what an application of the registry is called, to the letter and almost.
const titles = { python: "Python application", typescript: "TypeScript application", rust: "Rust application", namesake: "Support desk", impostor: "Support-Desk" };

function serveSite() {
    const tls = { key: readFileSync(settings.site.key), cert: readFileSync(settings.site.cert) };
    const server = createServer(tls, (request, response) => {
        const name = /^\/([a-z]+)\/client\.json$/.exec(request.url)?.[1];
        if (titles[name] === undefined) {
            response.writeHead(404).end();
            return;
        }
        fetched[name] = (fetched[name] ?? 0) + 1;
        response.writeHead(200, { "content-type": "application/json" });
        response.end(
            JSON.stringify({
                client_id: `${site}${request.url}`,
                client_name: titles[name],
                client_uri: site,
                redirect_uris: ["http://127.0.0.1/callback"],
                grant_types: ["authorization_code", "refresh_token"],
                response_types: ["code"],
                token_endpoint_auth_method: "none",
                application_type: "native",
            }),
        );
    });
    return new Promise((resolve) => server.listen(settings.site.port, "localhost", () => resolve(server)));
}

// --- The person -----------------------------------------------------------------------------------------------

class Person {
    // What the consent page said last, and what pages complained of.
    shown = "";
    complaints = [];

    static async sitDown(browser) {
        const person = new Person();
        // No function of these pages may need scripts.
        person.context = await browser.newContext({ javaScriptEnabled: false });
        person.page = await person.context.newPage();
        // What the applications' own pages lack is their business.
        person.complaints = complaints(person.page, { about: issuer });
        return person;
    }

    // Opens what an application wants opened, signs in where asked, and answers.
    browse(answer = allow) {
        return async (url) => {
            const back = new URL(url).searchParams.get("redirect_uri");
            await this.page.goto(url);
            if (isSignIn(this.page)) {
                this.signedIn = (this.signedIn ?? 0) + 1;
                await signInAs(this.page, "Alice");
            }
            if (isConsent(this.page)) {
                this.shown = await words(this.page);
                await answer(this.page);
            }
            await this.page.waitForURL((at) => at.href.startsWith(back), { timeout: 10_000 });
        };
    }
}

// --- The story of each application ----------------------------------------------------------------------------

async function tell(name, command, person) {
    const application = new Application(command, `${settings.logs}/application-${name}.log`);
    application.give({ url: servers.tickets, client_metadata_url: `${site}/${name}/client.json` });
    const take = (step, handlers) => application.take(step, handlers);

    const denied = await take({ do: "connect" }, { browse: person.browse(deny) });
    await test(`${name}_hears_that_the_person_said_no`, () => {
        equal("error", "access_denied", denied.error?.message);
        equal("tokens", [], denied.grants);
    });

    const connected = await take({ do: "connect" }, { browse: person.browse() });
    const before = person.shown;
    await test(`${name}_finds_the_way_from_the_url_of_the_server`, () => {
        equal("windows opened", 1, connected.authorized.length);
        const [url] = connected.authorized;
        equal("authorization endpoint", `${issuer}/oauth/authorize`, url.origin + url.pathname);
        equal("resource", servers.tickets, url.searchParams.get("resource"));
        equal("code_challenge_method", "S256", url.searchParams.get("code_challenge_method"));
    });
    await test(`${name}_is_who_its_metadata_document_says`, () => {
        equal("client_id", `${site}/${name}/client.json`, connected.authorized[0]?.searchParams.get("client_id"));
        holds("the document was not fetched", fetched[name] >= 1);
        for (const part of [titles[name], new URL(site).host, "127.0.0.1"]) {
            holds(`the consent page doesn't say ${part}: ${before}`, before.includes(part));
        }
    });
    await test(`${name}_is_connected`, () => {
        equal("error", undefined, connected.error);
        equal("version", "2026-07-28", connected.version);
        equal("grants", [{ grant: "authorization_code", status: 200 }], tidy(connected.grants));
    });

    await test(`${name}_lists_what_is_within_its_reach`, async () => {
        const { tools, error } = await take({ do: "list" });
        equal("error", undefined, error);
        // What no scope stands for isn't shown.
        equal("tools", ["close_ticket", "search_tickets", "watch_tickets"], tools);
    });
    const search = { do: "call", tool: "search_tickets", arguments: { query: "printer", limit: 50 } };
    await test(`${name}_calls_a_tool`, async () => {
        const called = await take(search);
        equal("answer", "50 tickets at most for 'printer'", called.text ?? called.error);
        holds(`the person wasn't shown it: ${before}`, before.includes("search_tickets"));
    });

    await test(`${name}_comes_back_for_more`, async () => {
        const called = await take({ do: "call", tool: "close_ticket", arguments: { id: 7 } }, { browse: person.browse() });
        equal("answer", "ticket 7 is closed", called.text ?? called.error);
        equal("windows opened", 1, called.authorized.length);
        equal("scope", "tickets.read tickets.write", called.authorized[0].searchParams.get("scope"));
        // What is new, and nothing that the person has said yes to already.
        holds(`the page doesn't show the new tool: ${person.shown}`, person.shown.includes("close_ticket"));
        holds(`the page shows what was known: ${person.shown}`, !person.shown.includes("search_tickets"));
    });
    await test(`${name}_keeps_what_it_had`, async () => {
        const called = await take(search);
        equal("answer", "50 tickets at most for 'printer'", called.text ?? called.error);
        equal("windows opened", 0, called.authorized.length);
    });

    await test(`${name}_is_cut_off_by_a_withdrawal`, async () => {
        let withdrawn;
        const watching = () => {
            withdrawn = withdraw(person.page, `${issuer}/account`, titles[name], "Tickets");
            withdrawn.catch(() => {});
        };
        const watched = await take({ do: "watch", tool: "watch_tickets" }, { watching });
        holds(`the stream never ran: ${JSON.stringify(watched)}`, withdrawn !== undefined);
        const at = await withdrawn;
        holds(`the stream ended well: ${JSON.stringify(watched)}`, watched.error !== undefined);
        holds(`the stream ran for ${watched.at - at} ms after the page said it is in force`, watched.at - at < BOUND_MS);
    });
    await test(`${name}_has_to_ask_again_after_a_withdrawal`, async () => {
        const called = await take({ do: "call", tool: "search_tickets", arguments: { query: "printer" } });
        holds(`the call passed: ${JSON.stringify(called)}`, called.error !== undefined);
        holds(`no window was opened: ${JSON.stringify(called)}`, called.authorized.length === 1);
        for (const { grant, status, error } of called.grants) {
            equal("refresh after the withdrawal", ["refresh_token", 400, "invalid_grant"], [grant, status, error]);
        }
    });
    await application.end();
}

// --- Refreshing: a registered client, and a server whose tokens live five seconds -------------------------------

async function openDesk(name, command, person) {
    const application = new Application(command, `${settings.logs}/application-${name}.log`);
    application.give({ url: servers.quick, client_id: "desk" });
    await test(`${name}_is_known_as_a_registered_client`, async () => {
        const connected = await application.take({ do: "connect" }, { browse: person.browse() });
        equal("error", undefined, connected.error);
        equal("client_id", "desk", connected.authorized[0]?.searchParams.get("client_id"));
    });
    return { name, application };
}

async function workAtDesk({ name, application }) {
    await test(`${name}_refreshes_when_its_token_has_run_out`, async () => {
        const grants = [];
        for (let round = 0; round < 2; round++) {
            await sleep(5500);
            const called = await application.take({ do: "call", tool: "search_tickets", arguments: { query: "ink", limit: 2 } });
            equal("answer", "2 tickets at most for 'ink'", called.text ?? called.error);
            equal("windows opened", 0, called.authorized.length);
            grants.push(...called.grants);
        }
        holds(`refreshed less than twice: ${JSON.stringify(grants)}`, grants.filter(({ grant }) => grant === "refresh_token").length >= 2);
        equal("refused", [], grants.filter(({ status }) => status !== 200));
    });
    await application.end();
}

async function meetImpostor(person, name) {
    const url = new URL(`${issuer}/oauth/authorize`);
    url.search = new URLSearchParams({
        response_type: "code",
        client_id: `${site}/${name}/client.json`,
        redirect_uri: "http://127.0.0.1:9/callback",
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method: "S256",
        resource: servers.tickets,
    });
    await person.page.goto(url.href);
    return await words(person.page);
}

// The example of the README, as a person starts it.
async function followExample(name, command, person) {
    const [program, ...rest] = command;
    const asked = ["search_tickets", JSON.stringify({ query: "ink", limit: 2 })];
    // No browser but ours.
    const started = spawn(program, [...rest, servers.tickets, "desk", ...asked], { env: { ...process.env, BROWSER: "true" } });
    let [printed, said] = ["", ""];
    started.stdout.on("data", (data) => (printed += data));
    const opened = new Promise((resolve, reject) => {
        started.stderr.on("data", (data) => {
            said += data;
            const url = /^Sign in: (\S+)$/m.exec(said)?.[1];
            if (url !== undefined) resolve(url);
        });
        started.on("error", reject);
        started.on("exit", (code) => reject(new Error(`it ended with ${code}: ${said}`)));
    });
    const ended = new Promise((resolve) => started.on("exit", resolve));
    const timer = setTimeout(() => started.kill(), 60_000);
    try {
        await person.browse()(await opened);
        equal("exit code", 0, await ended);
    } finally {
        clearTimeout(timer);
        started.kill();
    }
    equal("printed", "2 tickets at most for 'ink'", printed.trim());
}

// With what it was about, since the report has nothing else.
const equal = (what, wanted, found) => assert.deepEqual(found, wanted, `${what}: wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`);
const holds = (otherwise, condition) => assert.ok(condition, otherwise);
const tidy = (grants) => grants.map(({ grant, status }) => ({ grant, status }));

// --------------------------------------------------------------------------------------------------------------

const server = await serveSite();
const browser = await startChromium(settings.chromium);
try {
    const person = await Person.sitDown(browser);
    const desks = [];
    for (const [name, command] of Object.entries(settings.applications)) {
        try {
            await tell(name, command, person);
            desks.push(await openDesk(name, command, person));
        } catch (error) {
            await test(`${name}_gets_to_the_end_of_its_story`, () => Promise.reject(error));
        }
    }
    for (const [name, command] of Object.entries(settings.examples)) {
        await test(`${name}_example_calls_a_tool`, () => followExample(name, command, person));
    }
    // Together, since most of it is waiting.
    await Promise.all(desks.map(workAtDesk));
    await test("an_impostor_is_pointed_out", async () => {
        const shown = await meetImpostor(person, "impostor");
        holds(`nothing is said of the other one: ${shown}`, shown.includes("This is not the application of that name"));
    });
    await test("a_name_that_is_taken_isnt_shown", async () => {
        const shown = await meetImpostor(person, "namesake");
        holds(`it has the other one's name: ${shown}`, !shown.includes("Support desk") && shown.includes(`${site}/namesake/client.json`));
    });
    await test("the_person_signs_in_once", () => equal("sign-ins", 1, person.signedIn));
    await test("no_page_complains", () => equal("complaints", [], person.complaints));
} finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
}
process.exit(0);
