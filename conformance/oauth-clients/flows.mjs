// oauth-clients/flows.mjs SETTINGS: people who sign in and consent, and what their clients do with it, with both libraries, as a
// public client and as one that authenticates.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { Person } from "../people/person.mjs";
import { claims, test } from "../people/report.mjs";
import { challengeOf, newState, newVerifier, Oauth4webapi, OpenidClient } from "../people/clients.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, resource } = settings;
const keyFile = (name) => JSON.parse(readFileSync(settings.keys[name], "utf8"));

const DETAILS = [
    {
        type: "mcp_tool_call",
        locations: [resource],
        tools: [{ name: "search_tickets", arguments: { "/limit": { maximum: 50 } } }],
    },
];

const KINDS = [
    { kind: "public", clientId: "editor", redirectUri: "http://127.0.0.1:49152/callback", rotates: true },
    {
        kind: "confidential",
        clientId: "service",
        redirectUri: "https://service.example.com/callback",
        key: "service",
        rotates: false,
    },
];

/** An authorization request, with what the client must remember of it. */
async function newRequest({ redirectUri }, more = {}) {
    const [state, verifier] = [newState(), newVerifier()];
    const asked = {
        response_type: "code",
        redirect_uri: redirectUri,
        state,
        code_challenge: await challengeOf(verifier),
        code_challenge_method: "S256",
        resource,
        scope: "tickets.read",
        authorization_details: JSON.stringify(DETAILS),
        ...more,
    };
    return { state, verifier, redirectUri, asked };
}

/** Through PAR and the person, back to the client. */
async function consented(client, kind, person, more) {
    const request = await newRequest(kind, more);
    const pushed = await client.push(request.asked);
    const page = await person.follow(client.authorizationUrl({ request_uri: pushed.request_uri }).href);
    assert.ok(page.arrived, `the person did not come back: ${page}`);
    return { ...request, pushed, callback: page.arrived };
}

// Each library has a person of its own, who sees each client for the first time.
const PEOPLE = new Map([
    [Oauth4webapi, "Alice"],
    [OpenidClient, "Carol"],
]);
const someone = (client, kind, name = PEOPLE.get(client.constructor)) => new Person(issuer, name, [kind.redirectUri]);
const tokens = async (client, kind, person = someone(client, kind), more = undefined) => {
    const request = await consented(client, kind, person, more);
    return client.redeem(request.callback, request);
};

/** The library must refuse, with this error of the server. */
async function refused(promise, error, status = 400) {
    const caught = await promise.then(
        (answer) => assert.fail(`not refused: ${JSON.stringify(Object.keys(answer ?? {}))}`),
        (caught) => caught,
    );
    if (caught.code === "ERR_ASSERTION") throw caught;
    const wanted = [error].flat();
    assert.ok(wanted.includes(caught.error), `wanted ${wanted.join(" or ")}, found ${caught.error ?? caught.message}`);
    if (caught.status !== undefined) assert.equal(caught.status, status, "status");
    return caught;
}

async function dead(enforcer, token) {
    assert.deepEqual(await enforcer.introspect(token), { active: false });
}

async function checkDiscovery(Library, name) {
    await test(`${name}_discovers_by_rfc_8414_and_by_openid_discovery`, async () => {
        const [oauth2, oidc] = [await Library.discover(issuer, "oauth2"), await Library.discover(issuer, "oidc")];
        const plain = (metadata) => JSON.parse(JSON.stringify(metadata));
        assert.deepEqual(plain(oauth2), plain(oidc));
        assert.equal(oauth2.issuer, issuer);
        assert.equal(oauth2.authorization_response_iss_parameter_supported, true);
        assert.deepEqual(oauth2.code_challenge_methods_supported, ["S256"]);
        assert.deepEqual(oauth2.response_types_supported, ["code"]);
        for (const grant of ["authorization_code", "refresh_token"])
            assert.ok(oauth2.grant_types_supported.includes(grant), grant);
        for (const method of ["none", "private_key_jwt"])
            assert.ok(oauth2.token_endpoint_auth_methods_supported.includes(method), method);
        assert.ok(oauth2.authorization_details_types_supported.includes("mcp_tool_call"));
    });
    await test(`${name}_discovers_a_tenant_with_a_path`, async () => {
        for (const algorithm of ["oauth2", "oidc"])
            assert.equal((await Library.discover(`${issuer}/t/other`, algorithm)).issuer, `${issuer}/t/other`);
    });
}

async function checkCode(client, enforcer, kind, name) {
    const person = someone(client, kind);
    const request = await test(`${name}_comes_back_with_a_code_after_sign_in_and_consent`, () =>
        consented(client, kind, person));
    if (request === undefined) return undefined;
    await test(`${name}_was_shown_to_the_person_whole`, () => {
        const page = person.pages.find(({ url }) => new URL(url).pathname.endsWith("/consent"));
        assert.ok(page, "there was no consent page");
        for (const shown of [
            settings.names[kind.kind],
            settings.names.resource,
            "search_tickets",
            "50",
            new URL(kind.redirectUri).hostname,
        ]) {
            assert.ok(page.text.includes(shown), `the page doesn't say '${shown}'`);
        }
    });
    await test(`${name}_gets_iss_and_its_state_back`, () => {
        const found = Object.fromEntries(request.callback.searchParams);
        assert.deepEqual(Object.keys(found).sort(), ["code", "iss", "state"]);
        assert.equal(found.iss, issuer);
        assert.equal(found.state, request.state);
    });
    await test(`${name}_would_not_take_a_response_of_another_issuer`, async () => {
        const forged = new URL(request.callback);
        forged.searchParams.set("iss", "https://elsewhere.example.com");
        await assert.rejects(
            async () => client.redeem(forged, request),
            (error) => /\biss\b/.test(`${error.message} ${error.cause?.message}`),
        );
    });
    const answer = await test(`${name}_redeems_the_code`, async () => {
        const answer = await client.redeem(request.callback, request);
        assert.equal(answer.token_type, "bearer");
        assert.ok(answer.expires_in > 0 && answer.expires_in <= 300, `expires_in ${answer.expires_in}`);
        assert.deepEqual(answer.authorization_details, DETAILS);
        assert.equal(answer.scope ?? "tickets.read", "tickets.read");
        assert.ok(answer.refresh_token, "no refresh token");
        return answer;
    });
    if (answer === undefined) return undefined;
    await test(`${name}_gets_a_token_of_the_person_for_one_resource`, () => checkClaims(answer.access_token, kind));
    await test(`${name}_gets_what_the_enforcer_sees`, async () => {
        const seen = await enforcer.introspect(answer.access_token);
        assert.equal(seen.active, true);
        const inside = claims(answer.access_token);
        for (const member of ["iss", "sub", "client_id", "aud", "exp", "iat", "jti", "scope"])
            assert.deepEqual(seen[member], inside[member], member);
        assert.deepEqual(seen.authorization_details, DETAILS);
    });
    await test(`${name}_loses_all_it_bought_when_the_code_comes_twice`, async () => {
        await refused(client.redeem(request.callback, request), "invalid_grant");
        await dead(enforcer, answer.access_token);
        await refused(client.refresh(answer.refresh_token), "invalid_grant");
    });
    return person;
}

function checkClaims(token, kind) {
    const found = claims(token);
    assert.equal(found.iss, issuer);
    assert.match(found.sub, /^usr_/);
    assert.equal(found.client_id, kind.clientId);
    assert.ok(
        [resource, [resource]].some((aud) => JSON.stringify(aud) === JSON.stringify(found.aud)),
        `aud ${JSON.stringify(found.aud)}`,
    );
    assert.equal(found.scope, "tickets.read");
    assert.deepEqual(found.authorization_details, DETAILS);
    assert.match(found.sid, /^ses_/);
    assert.ok(found.consent, "no consent");
    assert.equal(found.act, undefined);
    assert.ok(found.exp - found.iat <= 300);
}

async function checkRefresh(client, enforcer, kind, name) {
    const first = await test(`${name}_refreshes`, async () => {
        const bought = await tokens(client, kind);
        const renewed = await client.refresh(bought.refresh_token);
        assert.notEqual(claims(renewed.access_token).jti, claims(bought.access_token).jti);
        const kept = ["sub", "aud", "client_id", "task", "consent", "sid", "scope", "authorization_details"];
        for (const member of kept)
            assert.deepEqual(claims(renewed.access_token)[member], claims(bought.access_token)[member], member);
        assert.equal((await enforcer.introspect(renewed.access_token)).active, true);
        return { bought, renewed };
    });
    if (first === undefined) return;
    const { bought, renewed } = first;
    if (kind.rotates) {
        // A client whose answer was lost asks again: one successor, not two.
        await test(`${name}_gets_the_same_successor_when_it_asks_again_at_once`, async () => {
            assert.ok(
                renewed.refresh_token && renewed.refresh_token !== bought.refresh_token,
                "the refresh token was not rotated",
            );
            assert.equal((await client.refresh(bought.refresh_token)).refresh_token, renewed.refresh_token);
        });
        await test(`${name}_goes_on_with_the_successor`, async () => {
            const third = await client.refresh(renewed.refresh_token);
            assert.notEqual(third.refresh_token, renewed.refresh_token);
        });
    } else {
        // FAPI 2.0 §5.3.2.1: the server "shall not use refresh token rotation" for those that authenticate.
        await test(`${name}_keeps_its_refresh_token`, async () => {
            assert.ok(
                [undefined, bought.refresh_token].includes(renewed.refresh_token),
                "the refresh token was rotated",
            );
            await client.refresh(bought.refresh_token);
        });
    }
    await test(`${name}_may_refresh_for_less_and_not_for_more`, async () => {
        const wide = await tokens(client, kind, someone(client, kind), { scope: "tickets.read tickets.write" });
        const less = await client.refresh(wide.refresh_token, { scope: "tickets.read" });
        assert.equal(claims(less.access_token).scope, "tickets.read");
        await refused(
            client.refresh(less.refresh_token ?? wide.refresh_token, { scope: "tickets.read tickets.admin" }),
            "invalid_scope",
        );
    });
    await test(`${name}_is_refused_a_refresh_for_another_resource`, async () => {
        const bought = await tokens(client, kind);
        await refused(client.refresh(bought.refresh_token, { resource: settings.otherResource }), "invalid_target");
    });
}

async function checkRevocation(client, enforcer, kind, name) {
    await test(`${name}_hands_back_its_refresh_token_and_all_is_over`, async () => {
        const bought = await tokens(client, kind);
        await client.revoke(bought.refresh_token);
        await dead(enforcer, bought.access_token);
        await refused(client.refresh(bought.refresh_token), "invalid_grant");
    });
    await test(`${name}_hands_back_its_access_token`, async () => {
        const bought = await tokens(client, kind);
        await client.revoke(bought.access_token);
        await dead(enforcer, bought.access_token);
    });
    await test(`${name}_hears_no_complaint_about_an_unknown_token`, () => client.revoke("nobody-knows-this-one"));
}

async function checkNo(client, kind, name) {
    await test(`${name}_hears_a_no_with_state_and_iss`, async () => {
        const request = await newRequest(kind, { scope: "tickets.write" });
        const { request_uri } = await client.push(request.asked);
        const page = await someone(client, kind, "Bob").follow(client.authorizationUrl({ request_uri }).href, "deny");
        assert.ok(page.arrived, `the person did not come back: ${page}`);
        assert.equal(page.arrived.searchParams.get("iss"), issuer);
        assert.equal(page.arrived.searchParams.get("code"), null);
        await refused(client.redeem(page.arrived, request), "access_denied");
    });
}

async function checkVerification(client, kind, name) {
    await test(`${name}_token_passes_rfc_9068_with_the_published_keys`, async () => {
        const { access_token: token } = await tokens(client, kind);
        assert.equal((await client.verify(token, resource)).client_id, kind.clientId);
    });
}

for (const Library of [Oauth4webapi, OpenidClient]) {
    const library = Library.packageName.replace("-", "_");
    await checkDiscovery(Library, library);
    for (const kind of KINDS) {
        const name = `${library}_${kind.kind}_client`;
        const client = await test(`${name}_is_set_up`, () =>
            Library.create(issuer, kind.clientId, kind.key && keyFile(kind.key)));
        const enforcer = await Library.create(issuer, "tickets-guard", keyFile("tickets-guard")).catch(() => undefined);
        if (client === undefined || enforcer === undefined) continue;
        await checkCode(client, enforcer, kind, name);
        await checkRefresh(client, enforcer, kind, name);
        await checkRevocation(client, enforcer, kind, name);
        await checkNo(client, kind, name);
        if (Library === Oauth4webapi) await checkVerification(client, kind, name);
    }
}
