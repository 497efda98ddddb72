// oauth-clients/errors.mjs SETTINGS: what is refused, and how. Each request goes to our server and to `oidc-provider`; where
// the two answer differently, refusals.mjs says why ours is right.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { Browser } from "../people/browser.mjs";
import { Person } from "../people/person.mjs";
import { claims, note, test } from "../people/report.mjs";
import { startReference } from "./reference.mjs";
import * as refusals from "./refusals.mjs";
import { changed, CODE_GRANT, goodRequest, PAGE, REDIRECT } from "./refusals.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, resource, otherResource } = settings;
const serviceKey = JSON.parse(readFileSync(settings.keys.service, "utf8")).private_jwk;

const GOOD = goodRequest(resource);

/** One server under test: ours, or the other. */
class Server {
    constructor(issuer, metadata, person) {
        Object.assign(this, { issuer, metadata, person });
    }

    static async at(issuer, path, person) {
        const metadata = await (await fetch(`${issuer}${path}`)).json();
        return new Server(issuer, metadata, person);
    }

    /** What a browser without cookies gets: the error that went to the client, or "page", or "asked" if the request was good. */
    async authorize(parameters) {
        const browser = new Browser((url) => !url.startsWith(`${this.issuer}/`));
        const page = await browser.open(`${this.metadata.authorization_endpoint}?${parameters}`);
        if (page.arrived === undefined) return { said: page.status >= 400 ? PAGE : "asked", page };
        // The answer to a response type that isn't `code` may stand in the fragment.
        const { searchParams, hash } = page.arrived;
        const answer = searchParams.size > 0 ? searchParams : new URLSearchParams(hash.slice(1));
        return { said: answer.get("error") ?? "code", answer, arrived: page.arrived };
    }

    async post(endpoint, parameters) {
        const response = await fetch(this.metadata[endpoint], { method: "POST", body: parameters });
        const body = await response.json().catch(() => ({}));
        return {
            said: body.error === undefined ? response.status : `${response.status} ${body.error}`,
            body,
            headers: response.headers,
        };
    }

    async newCode() {
        const page = await this.person().follow(`${this.metadata.authorization_endpoint}?${changed(GOOD, {})}`);
        assert.ok(page.arrived?.searchParams.get("code"), `no code: ${page.arrived ?? page}`);
        return page.arrived.searchParams.get("code");
    }
}

/** `ask` puts the request to a server. Ours must answer as wanted, and the other the same, unless it is known why not. */
async function compare([ours, other], name, wanted, ask) {
    await test(name, async () => {
        const allowed = [wanted].flat();
        const found = await ask(ours);
        assert.ok(allowed.includes(found), `wanted ${allowed.join(" or ")}, found ${found}`);
        const [opinion, why] = [await ask(other), refusals.DIFFERENCES[name]];
        if (opinion === found) return;
        assert.ok(why !== undefined || allowed.includes(opinion), `oidc-provider answers ${opinion}, ours ${found}`);
        note(`${name}: ours ${found}, oidc-provider ${opinion}${why === undefined ? "" : `: ${why}`}`);
    });
}

async function checkAuthorization(servers) {
    const good = async (server) => (await server.authorize(changed(GOOD, {}))).said;
    await compare(servers, "authorization_takes_a_good_request", "asked", good);
    for (const [name, changes, wanted] of refusals.authorization(resource, otherResource)) {
        await compare(servers, `authorization_refuses_${name}`, wanted, async (server) => {
            const outcome = await server.authorize(changed(GOOD, changes));
            if (server.issuer === issuer) checkOutcome(outcome, changes);
            return outcome.said;
        });
    }
}

/** What is said beside the error: to the client who answers and what it had said, to a person a page. */
function checkOutcome({ answer, page }, changes) {
    if (answer === undefined) {
        assert.ok(page.status >= 400 && page.status < 500, `status ${page.status}`);
        assert.match(page.headers["content-type"], /^text\/html/);
        assert.match(page.headers["cache-control"] ?? "", /no-store/);
        return;
    }
    // RFC 9207 §2: `iss` stands in error responses too.
    assert.equal(answer.get("iss"), issuer, "iss");
    if (changes.state === undefined) assert.equal(answer.get("state"), GOOD.state, "state");
    assert.equal(answer.get("code"), null, "code");
}

async function checkPosts(servers, what, endpoint, base, table) {
    for (const [name, changes, wanted] of table) {
        const verb = typeof wanted === "number" ? "takes" : "refuses";
        await compare(servers, `${what}_${verb}_${name}`, wanted, async (server) => {
            const { said, body, headers } = await server.post(endpoint, changed(base, changes));
            if (server.issuer === issuer) assert.match(headers.get("cache-control") ?? "", /no-store/);
            if (body.error) assert.equal(body.access_token ?? body.request_uri, undefined);
            return said;
        });
    }
}

async function checkRedemption(servers) {
    for (const [name, changes, wanted] of refusals.redemption(otherResource)) {
        await compare(servers, `redemption_refuses_${name}`, wanted, async (server) => {
            const code = await server.newCode();
            return (await server.post("token_endpoint", changed({ ...CODE_GRANT, code }, changes))).said;
        });
    }
}

async function checkPushedUse(ours) {
    const push = async () => (await ours.post("pushed_authorization_request_endpoint", changed(GOOD, {}))).body;
    const opened = ({ request_uri }, more) => changed({ client_id: "editor", request_uri }, more ?? {});
    const answered = (pushed, more) =>
        ours.person().follow(`${ours.metadata.authorization_endpoint}?${opened(pushed, more)}`);
    await test("a_request_uri_has_the_form_and_life_of_rfc_9126", async () => {
        const { request_uri, expires_in } = await push();
        assert.match(request_uri, /^urn:ietf:params:oauth:request_uri:[\w-]{20,}$/);
        assert.ok(expires_in > 0 && expires_in <= 90, `expires_in ${expires_in}`);
    });
    await test("a_request_uri_is_of_no_use_to_another_client", async () => {
        assert.equal((await ours.authorize(opened(await push(), { client_id: "viewer" }))).said, PAGE);
    });
    await test("a_request_uri_may_be_opened_twice_before_sign_in", async () => {
        const pushed = await push();
        assert.equal((await ours.authorize(opened(pushed))).said, "asked");
        assert.equal((await ours.authorize(opened(pushed))).said, "asked");
    });
    await test("a_request_uri_is_over_once_there_was_an_answer", async () => {
        const pushed = await push();
        const page = await answered(pushed);
        assert.ok(page.arrived?.searchParams.get("code"), String(page.arrived ?? page));
        assert.equal((await ours.authorize(opened(pushed))).said, PAGE);
    });
    await test("what_stands_beside_a_request_uri_changes_nothing", async () => {
        const other = { scope: "tickets.write", redirect_uri: "https://elsewhere.example.com/", state: "other" };
        const page = await answered(await push(), other);
        assert.equal(page.arrived?.searchParams.get("state"), GOOD.state);
        const code = page.arrived.searchParams.get("code");
        const { body } = await ours.post("token_endpoint", changed(CODE_GRANT, { code }));
        assert.equal(claims(body.access_token).scope, GOOD.scope);
    });
}

async function checkMethods(ours) {
    for (const endpoint of ["token_endpoint", "pushed_authorization_request_endpoint", "revocation_endpoint"]) {
        await test(`${endpoint}_refuses_get`, async () => {
            const response = await fetch(ours.metadata[endpoint]);
            assert.equal(response.status, 405);
            assert.match(response.headers.get("allow") ?? "", /POST/);
        });
    }
    await test("token_endpoint_refuses_json", async () => {
        const response = await fetch(ours.metadata.token_endpoint, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: "{}",
        });
        assert.equal(response.status, 415);
    });
    await test("a_state_of_any_text_comes_back_unchanged", async () => {
        const state = `ä "<script>&='%00 + ${randomBytes(4).toString("hex")} \u202e`;
        const { answer } = await ours.authorize(changed(GOOD, { state, scope: "tickets.admin" }));
        assert.equal(answer.get("state"), state);
    });
}

const { d: _, ...publicKey } = serviceKey;
const reference = await startReference({ resource, otherResource, publicKey });
try {
    const someone = (at) => () => new Person(at, "Alice", [REDIRECT]);
    const ours = await Server.at(issuer, "/.well-known/oauth-authorization-server", someone(issuer));
    const other = await Server.at(reference.issuer, "/.well-known/openid-configuration", someone(reference.issuer));
    const servers = [ours, other];
    await checkAuthorization(servers);
    await checkPosts(servers, "par", "pushed_authorization_request_endpoint", GOOD, refusals.PUSHED);
    await checkPosts(servers, "token", "token_endpoint", {}, refusals.TOKEN);
    await checkRedemption(servers);
    await checkPushedUse(ours);
    await checkMethods(ours);
} finally {
    reference.close();
}
