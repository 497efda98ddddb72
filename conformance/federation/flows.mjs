// federation/flows.mjs SETTINGS: people sign in at identity providers, good ones and bad ones.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { challengeOf, newState, newVerifier, Oauth4webapi } from "../people/clients.mjs";
import { Person } from "../people/person.mjs";
import { claims, test } from "../people/report.mjs";
import * as bad from "./misbehaving.mjs";
import { startProvider } from "./provider.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, resource } = settings;
const tls = {
    cert: readFileSync(`${settings.certificates}/server.pem`),
    key: readFileSync(`${settings.certificates}/server.key`),
};

const REDIRECT = "http://127.0.0.1:49152/callback";
const someone = (name = "Alice") => new Person(issuer, name, [REDIRECT]);

/** The address that a client opens in the person's browser. `hint` is their mail address, whose domain chooses the provider. */
async function newRequest(client, hint) {
    const [state, verifier] = [newState(), newVerifier()];
    const url = client.authorizationUrl({
        response_type: "code",
        redirect_uri: REDIRECT,
        state,
        code_challenge: await challengeOf(verifier),
        code_challenge_method: "S256",
        resource,
        scope: "tickets.read",
        ...(hint && { login_hint: hint }),
    });
    return { url: url.href, state, verifier };
}

async function signIn(client, person, hint) {
    const request = await newRequest(client, hint);
    const page = await person.follow(request.url);
    assert.ok(page.arrived, `the person did not come back: ${page}`);
    return client.redeem(page.arrived, { ...request, redirectUri: REDIRECT });
}

/** An error page, and nothing beside it: no session, no code, no way on. */
async function endsOnAnErrorPage(person, page) {
    assert.equal(page.arrived, undefined, "the person came back to the client");
    assert.ok(page.status >= 400 && page.status < 600, `status ${page.status}`);
    assert.match(page.headers["content-type"], /^text\/html/);
    assert.match(page.headers["cache-control"] ?? "", /no-store/);
    await hasNoSession(person);
}

async function hasNoSession(person) {
    const names = person.browser.cookieNames().filter((name) => name.includes("taskpass-session"));
    assert.deepEqual(names, [], "there is a session's cookie");
    const { status, headers } = await person.browser.request("GET", `${issuer}/account`);
    assert.ok(status >= 400 || /\/sign-in/.test(headers.location ?? ""), `the account page answers ${status}`);
}

const domainOf = (name) => `${name}.example.com`;

// --- The company's provider ---------------------------------------------------------------------------------------

async function checkProvider(client, enforcer, provider) {
    const person = someone();
    const first = await test("a_person_signs_in_at_the_provider_consents_and_has_a_token", async () => {
        const { access_token: token, refresh_token: refresh } = await signIn(client, person, "alice@example.com");
        const asked = person.browser.visited.find(({ url }) => url.startsWith(`${provider.issuer}/auth?`));
        const parameters = new URL(asked.url).searchParams;
        for (const name of ["state", "nonce", "code_challenge"])
            assert.ok(parameters.get(name)?.length >= 22, `${name} of the request at the provider`);
        assert.equal(parameters.get("code_challenge_method"), "S256");
        assert.equal(parameters.get("response_type"), "code");
        assert.match(claims(token).sub, /^usr_/);
        assert.equal((await enforcer.introspect(token)).active, true);
        assert.ok(refresh);
        return claims(token);
    });
    if (first === undefined) return;
    await test("the_consent_page_says_who_is_signed_in", () => {
        const page = person.pages.find(({ url }) => new URL(url).pathname === "/consent");
        assert.ok(
            page?.text.includes("Alice Example") || page?.text.includes("alice@example.com"),
            page?.text.slice(0, 300),
        );
    });
    await test("the_second_request_of_this_browser_needs_no_provider", async () => {
        const before = person.browser.visited.length;
        const { access_token: token } = await signIn(client, person, "alice@example.com");
        assert.ok(
            !person.browser.visited.slice(before).some(({ url }) => url.startsWith(provider.issuer)),
            "the provider was asked again",
        );
        assert.equal(claims(token).sid, first.sid);
    });
    await test("the_same_person_in_another_browser_is_the_same", async () => {
        const { access_token: token } = await signIn(client, someone(), "alice@example.com");
        assert.equal(claims(token).sub, first.sub);
        assert.notEqual(claims(token).sid, first.sid);
    });
    await test("another_person_is_another", async () => {
        const { access_token: token } = await signIn(client, someone("Bob"), "bob@example.com");
        assert.notEqual(claims(token).sub, first.sub);
    });
    await test("the_same_name_and_mail_address_at_another_provider_is_another_person", async () => {
        const subjects = [];
        for (const name of ["honest", "twin"]) {
            const { access_token: token } = await signIn(client, someone(), `alice@${domainOf(name)}`);
            subjects.push(claims(token).sub);
        }
        assert.equal(new Set([first.sub, ...subjects]).size, 3, "people were linked");
    });
    await test("without_a_hint_the_person_chooses_the_provider", async () => {
        const chooses = someone("Example Corp");
        const chooser = await chooses.browser.open((await newRequest(client)).url);
        assert.equal(chooser.status, 200);
        assert.ok(chooser.text.includes("Example Corp"), chooser.text.slice(0, 300));
        assert.ok(!chooser.text.includes("Not For People"), "a provider without sign-in is on the page");
        const page = await chooses.answer(await chooses.answer(chooser));
        assert.ok(page.url.startsWith(`${provider.issuer}/`), String(page));
    });
    await test("a_hint_of_an_unknown_domain_leads_to_the_chooser", async () => {
        const page = await someone().browser.open((await newRequest(client, "alice@nowhere.example.net")).url);
        assert.equal(page.status, 200);
        assert.ok(page.text.includes("Example Corp"));
    });
}

// --- Providers that do one thing wrong ------------------------------------------------------------------------------

async function checkWrong(client, wrong) {
    const cases = [
        [bad.WRONG_TOKENS, "id_token", 1],
        [bad.WRONG_TOKEN_ANSWERS, "token_answer", 1],
        // Before it is known who answers, no code goes anywhere.
        [bad.WRONG_RESPONSES, "response", 0],
        [bad.WRONG_DOCUMENTS, "document", 0],
    ];
    for (const [names, what, calls] of cases) {
        for (const name of names) {
            await test(`refuses_a_wrong_${what}_${name.replaceAll("-", "_")}`, async () => {
                const person = someone();
                const page = await person.follow((await newRequest(client, `alice@${domainOf(name)}`)).url);
                if (name === "refuses" && page.arrived) return saidNo(person, page);
                await endsOnAnErrorPage(person, page);
                assert.equal(wrong.times(name, "token"), calls, "calls of the token endpoint");
                assert.ok(!page.html.includes("<b>no</b>"), "the provider's words are markup on our page");
                return undefined;
            });
        }
    }
    await test("none_of_them_led_another_provider_to_be_asked_for_a_token", () => {
        assert.equal(wrong.times("honest", "token"), wrong.times("honest", "authorize"));
    });
}

/** The client may hear that the person said no at the provider. */
async function saidNo(person, page) {
    assert.equal(page.arrived.searchParams.get("error"), "access_denied");
    assert.equal(page.arrived.searchParams.get("iss"), issuer);
    assert.equal(page.arrived.searchParams.get("code"), null);
    await hasNoSession(person);
}

// --- Answers in the wrong place or at the wrong time ----------------------------------------------------------------

/** Goes as far as the provider's answer, which isn't delivered. */
async function answerOfProvider(client, person, name = "honest") {
    person.browser.stopAt = (url) => url.startsWith(`${issuer}/sign-in/callback/`);
    const page = await person.follow((await newRequest(client, `alice@${domainOf(name)}`)).url);
    assert.ok(page.arrived, `the provider did not answer: ${page}`);
    person.browser.stopAt = () => false;
    return page.arrived.href;
}

async function checkAnswers(client, wrong) {
    await test("refuses_an_answer_that_another_browser_brings", async () => {
        const [victim, attacker] = [someone(), someone()];
        const answer = await answerOfProvider(client, attacker);
        await answerOfProvider(client, victim);
        const before = wrong.times("honest", "token");
        await endsOnAnErrorPage(victim, await victim.browser.open(answer));
        assert.equal(wrong.times("honest", "token"), before, "the code was redeemed");
    });
    await test("refuses_an_answer_that_a_browser_without_cookies_brings", async () => {
        const [victim, attacker] = [someone(), someone()];
        const answer = await answerOfProvider(client, attacker);
        const before = wrong.times("honest", "token");
        await endsOnAnErrorPage(victim, await victim.browser.open(answer));
        assert.equal(wrong.times("honest", "token"), before, "the code was redeemed");
    });
    await test("refuses_the_same_answer_twice", async () => {
        const person = someone();
        const answer = await answerOfProvider(client, person);
        assert.equal((await person.browser.open(answer)).status, 200);
        const before = wrong.times("honest", "token");
        const again = await person.browser.open(answer);
        assert.ok(again.status >= 400, `status ${again.status}`);
        assert.equal(wrong.times("honest", "token"), before, "the code was redeemed again");
    });
    await test("refuses_a_code_of_one_provider_in_the_answer_of_another", async () => {
        const person = someone();
        const [stolen, own] = [
            await answerOfProvider(client, someone(), "twin"),
            await answerOfProvider(client, person),
        ];
        const answer = new URL(own);
        answer.searchParams.set("code", new URL(stolen).searchParams.get("code"));
        await endsOnAnErrorPage(person, await person.browser.open(answer.href));
    });
    await test("refuses_an_answer_that_names_another_provider", async () => {
        const person = someone();
        const answer = new URL(await answerOfProvider(client, person));
        const before = [wrong.times("honest", "token"), wrong.times("twin", "token")];
        answer.searchParams.set("iss", `${wrong.base}/twin`);
        await endsOnAnErrorPage(person, await person.browser.open(answer.href));
        assert.deepEqual([wrong.times("honest", "token"), wrong.times("twin", "token")], before, "a code was redeemed");
    });
    await test("refuses_an_answer_that_nobody_waits_for", async () => {
        const person = someone();
        await endsOnAnErrorPage(person, await person.browser.open(`${issuer}/sign-in/callback/honest?code=x&state=y`));
    });
}

// --- Logout ---------------------------------------------------------------------------------------------------------

async function checkLogout(client, enforcer, provider, wrong) {
    await test("a_logout_at_the_provider_ends_tokens_and_session", async () => {
        const person = someone();
        const { access_token: token, refresh_token: refresh } = await signIn(client, person, "alice@example.com");
        const other = await signIn(client, someone("Bob"), "bob@example.com");
        assert.equal((await enforcer.introspect(token)).active, true);
        const page = await person.browser.open(`${provider.issuer}/session/end`);
        await person.browser.submit(page, page.forms[0], { logout: "yes" });
        assert.deepEqual(provider.told.splice(0), ["taskpass was told"]);
        await isOver(client, enforcer, token, refresh);
        const account = await person.browser.request("GET", `${issuer}/account`);
        assert.notEqual(account.status, 200, "the session goes on");
        assert.equal((await enforcer.introspect(other.access_token)).active, true, "Bob's token");
    });

    const signedIn = await test("a_person_of_a_small_provider_signs_in", async () =>
        signIn(client, someone(), `alice@${domainOf("honest")}`));
    if (signedIn === undefined) return;
    const { access_token: token, refresh_token: refresh } = signedIn;
    const tell = (logout_token) =>
        fetch(`${issuer}/sign-in/logout/honest`, { method: "POST", body: new URLSearchParams({ logout_token }) });
    const own = `${wrong.base}/honest`;
    const honest = { clientId: wrong.clientId, subject: wrong.subject, sid: wrong.sids.honest };
    for (const [what, change] of Object.entries(bad.WRONG_LOGOUTS)) {
        await test(`refuses_a_logout_token_${what}`, async () => {
            const answer = await tell(bad.logoutToken(honest, own, change, wrong));
            // §2.8: an invalid request, or a failed logout, is 400.
            assert.equal(answer.status, 400);
            assert.equal((await enforcer.introspect(token)).active, true, "the token is dead");
        });
    }
    await test("refuses_a_logout_without_a_token", async () => {
        assert.equal(
            (await fetch(`${issuer}/sign-in/logout/honest`, { method: "POST", body: new URLSearchParams({}) })).status,
            400,
        );
    });
    await test("a_logout_of_somebody_else_touches_nobody", async () => {
        const stranger = { ...honest, subject: "mallory", sid: "unknown" };
        const { status } = await tell(bad.logoutToken(stranger, own));
        assert.ok([200, 204, 400].includes(status), `status ${status}`);
        assert.equal((await enforcer.introspect(token)).active, true);
    });
    // A `sid` is unique at its provider only.
    await test("a_logout_at_one_provider_touches_no_session_of_that_name_at_another", async () => {
        const same = await signIn(client, someone(), `alice@${domainOf("twin")}`);
        const { status } = await tell(bad.logoutToken({ ...honest, subject: "mallory", sid: wrong.sids.twin }, own));
        assert.ok([200, 204, 400].includes(status), `status ${status}`);
        assert.equal((await enforcer.introspect(same.access_token)).active, true, "the token is dead");
        await signIn(client, someone(), `alice@${domainOf("twin")}`);
    });
    await test("a_logout_of_the_person_ends_tokens", async () => {
        const answer = await tell(bad.logoutToken(honest, own));
        assert.ok([200, 204].includes(answer.status), `status ${answer.status}`);
        assert.match(answer.headers.get("cache-control") ?? "", /no-store/);
        await isOver(client, enforcer, token, refresh);
    });
}

async function isOver(client, enforcer, token, refresh) {
    assert.deepEqual(await enforcer.introspect(token), { active: false });
    await assert.rejects(client.refresh(refresh), (error) => error.error === "invalid_grant");
}

// --- Switched off ---------------------------------------------------------------------------------------------------

/** The administrator's command line. */
function administer(...words) {
    const [command, ...rest] = words;
    const output = execFileSync(settings.taskpass, [command, ...rest, "--credentials", settings.administrator], {
        stdio: "pipe",
    });
    return output.toString();
}

async function checkSwitchedOff(client, enforcer, wrong) {
    const twin = `${wrong.base}/twin`;
    // A new browser session at the provider.
    wrong.sids.twin = randomUUID();
    await test("a_person_who_is_switched_off_loses_tokens_and_session_and_does_not_get_in_again", async () => {
        const person = someone();
        const { access_token: token, refresh_token: refresh } = await signIn(
            client,
            person,
            `alice@${domainOf("twin")}`,
        );
        administer("revoke", "--user-issuer", twin, "--user-subject", "alice", "--reason", "conformance");
        await isOver(client, enforcer, token, refresh);
        const account = await person.browser.request("GET", `${issuer}/account`);
        assert.notEqual(account.status, 200, "the session goes on");
        const again = someone();
        await endsOnAnErrorPage(again, await again.follow((await newRequest(client, `alice@${domainOf("twin")}`)).url));
    });
    await test("a_person_who_is_reinstated_gets_in_and_the_old_tokens_stay_dead", async () => {
        administer("reinstate", "--user-issuer", twin, "--user-subject", "alice", "--reason", "conformance");
        const { access_token: token } = await signIn(client, someone(), `alice@${domainOf("twin")}`);
        assert.equal((await enforcer.introspect(token)).active, true);
    });
    await test("a_provider_that_is_switched_off_ends_what_came_through_it_and_lets_nobody_in", async () => {
        const person = someone();
        const { access_token: token, refresh_token: refresh } = await signIn(
            client,
            person,
            `alice@${domainOf("twin")}`,
        );
        const other = await signIn(client, someone("Bob"), "bob@example.com");
        const text = readFileSync(settings.registry, "utf8");
        const changed = `${settings.registry}.suspended`;
        writeFileSync(changed, text.replace(/^( *)- id: twin$/m, "$&\n$1  status: suspended"));
        administer("apply", "-f", changed);
        await isOver(client, enforcer, token, refresh);
        const page = await someone().browser.open((await newRequest(client, `alice@${domainOf("twin")}`)).url);
        assert.ok(page.url.startsWith(issuer), `the person was sent to ${page.url}`);
        assert.ok(!page.text.includes("Provider twin"), "it is on the page");
        assert.equal((await enforcer.introspect(other.access_token)).active, true, "Bob's token");
    });
}

const enforcerKey = JSON.parse(readFileSync(settings.enforcerKey, "utf8"));
const client = await Oauth4webapi.create(issuer, "editor");
const enforcer = await Oauth4webapi.create(issuer, "tickets-guard", enforcerKey);
const provider = await startProvider({ ...settings.provider, taskpass: issuer }, tls);
const wrong = new bad.Misbehaving(settings.misbehaving.base, "taskpass");
await wrong.start(settings.misbehaving.port, tls);
await checkProvider(client, enforcer, provider);
await checkWrong(client, wrong);
await checkAnswers(client, wrong);
await checkLogout(client, enforcer, provider, wrong);
await checkSwitchedOff(client, enforcer, wrong);
process.exit();
