#!/usr/bin/env node
// A person goes through every page of Taskpass in a real browser without scripts.
//
//     story.mjs SETTINGS
//
// The settings are those that ./run writes.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

import { complaints, startChromium } from "../people/chromium.mjs";
import { allow, inForce, isConsent, isSignIn, signInAs, words } from "../people/pages.mjs";
import { note, test } from "../people/report.mjs";
import { attack } from "./attacks.mjs";
import { Client } from "./client.mjs";
import { tabThrough, tabTo } from "./keyboard.mjs";
import { Looker, SIZES } from "./look.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, resource } = settings;
// What has markup and directions in it must come out as what it is.
const HOSTILE = "</code><script>alert('x')</script><img src=x onerror=alert(1)> \u202etxt.exe";

const tools = (...entries) => JSON.stringify([{ type: "mcp_tool_call", locations: [resource], tools: entries }]);
const SEARCH = { name: "search_tickets", arguments: { "/limit": { maximum: 50 }, "/query": { maxLength: 200, required: true } } };
const READ = { name: "get_ticket_by_id" };
const CLOSE = { name: "close_ticket", arguments: { "/id": { enum: [7, 11] }, "/note": { prefix: HOSTILE } } };

const browser = await startChromium(settings.chromium);
const looker = await Looker.create(browser, settings.screenshots);
const editor = await Client.listen(issuer, "editor");
const origins = [issuer, new URL(editor.redirectUri).origin];

async function sitDown() {
    const context = await browser.newContext({ javaScriptEnabled: false, viewport: SIZES.desk });
    const page = await context.newPage();
    // 400 and 404: the error pages. 403: a form that was forged. 503: a provider that can't be reached.
    return { context, page, found: complaints(page, { origins, expected: [400, 403, 404, 503] }) };
}

const arrive = (page) => page.waitForURL((url) => url.href.startsWith(editor.redirectUri), { timeout: 10_000 });
const heading = async (page) => (await page.getByRole("heading", { level: 1 }).innerText()).replace(/\s+/g, " ");

// --- Signing in -----------------------------------------------------------------------------------------------

async function signIn({ page, found }) {
    await page.goto(editor.request({ resource, scope: "tickets.read", authorization_details: tools(SEARCH, READ), requested_actor: "triage" }));
    await test("a_request_leads_to_the_sign_in_page", async () => {
        assert.ok(isSignIn(page), `this is ${page.url()}`);
        const said = await words(page);
        for (const part of ["Example Editor", "tickets.example.com", "Be Alice Martin", "Be Bob Brown", "Northwind", "Contoso"]) {
            assert.ok(said.includes(part), `the page doesn't say ${part}: ${said}`);
        }
        assert.match(await page.locator("body").innerText(), /Development server/);
    });
    await looker.look(page, "sign-in", found);
    await test("the_keyboard_reaches_every_way_to_sign_in", async () => {
        const passed = (await tabThrough(page)).join("\n");
        for (const part of ["Skip to the content", "Be Alice", "Be Bob", "Northwind", "Contoso", "Continue"]) {
            assert.ok(passed.includes(part), `the keyboard passes ${passed}`);
        }
    });
    await test("a_company_that_cant_be_reached_is_an_error_page", async () => {
        await page.getByRole("button", { name: /Northwind/ }).click();
        assert.ok(page.url().startsWith(issuer), `this is ${page.url()}`);
        assert.doesNotMatch(await heading(page), /^Sign in$/);
    });
    await looker.look(page, "error-identity-provider", found);
    await page.goBack();
    await test("an_unknown_company_is_said_on_the_page", async () => {
        await page.getByLabel("E-mail address at work").fill("alice@nowhere.example");
        await page.getByRole("button", { name: "Continue" }).click();
        assert.ok(isSignIn(page), `this is ${page.url()}`);
        assert.equal(await page.getByRole("alert").count(), 1, await words(page));
    });
    await looker.look(page, "sign-in-problem", found);
    await test("signing_in_takes_tab_and_enter", async () => {
        await tabTo(page, "Be Alice");
        await page.keyboard.press("Enter");
        await page.waitForURL(/\/consent/, { timeout: 10_000 });
    });
}

// --- Consent --------------------------------------------------------------------------------------------------

async function consent({ page, found }) {
    await test("the_consent_page_says_who_for_whom_where_with_what_and_until_when", async () => {
        assert.ok(isConsent(page), `this is ${page.url()}`);
        const said = await words(page);
        for (const part of ["Example Editor", "Alice Martin", "Tickets", resource, "Triage", "search_tickets", "get_ticket_by_id", "50", new URL(editor.redirectUri).host, "tickets.read"]) {
            assert.ok(said.includes(part), `the page doesn't say ${part}: ${said}`);
        }
    });
    await looker.look(page, "consent", found);
    await test("the_keyboard_reaches_all_of_the_consent", async () => {
        const passed = (await tabThrough(page)).join("\n");
        for (const part of ["Deny", "Allow", "Exactly as it will be in the token", "Not you?"]) {
            assert.ok(passed.includes(part), `the keyboard passes ${passed}`);
        }
        // Nobody says yes by pressing Enter once too often.
        assert.ok(passed.indexOf("Deny") < passed.indexOf("Allow"), passed);
    });
    await test("what_is_folded_away_opens_by_the_keyboard", async () => {
        await tabTo(page, "Exactly as it will be in the token");
        await page.keyboard.press("Enter");
        await page.locator("details[open] pre").first().waitFor({ timeout: 2000 });
    });
    await looker.look(page, "consent-exact", found);
    await test("allowing_takes_tab_and_space", async () => {
        await tabTo(page, "Allow");
        await page.keyboard.press("Space");
        await arrive(page);
        assert.equal(editor.arrived.at(-1).get("iss"), issuer);
    });
}

async function askForMore({ page, found }) {
    const more = () => editor.request({ resource, scope: "tickets.read", authorization_details: tools(SEARCH, READ, CLOSE), requested_actor: "triage" });
    await page.goto(more());
    await test("asking_for_more_shows_the_difference_alone", async () => {
        assert.ok(isConsent(page), `this is ${page.url()}`);
        const said = await words(page);
        assert.ok(said.includes("close_ticket"), said);
        for (const known of ["search_tickets", "get_ticket_by_id"]) assert.ok(!said.includes(known), `${known} is known already: ${said}`);
    });
    await test("markup_in_a_request_is_text", async () => {
        const said = await words(page);
        assert.ok(said.includes("<script>alert('x')</script>"), said);
        assert.ok(!said.includes("\u202e"), "a character turns the reading direction");
        assert.equal(await page.locator("main script, main img").count(), 0);
    });
    await looker.look(page, "consent-more", found);
    await test("denying_takes_the_keyboard_and_tells_the_client", async () => {
        await tabTo(page, "Deny");
        await page.keyboard.press("Enter");
        await arrive(page);
        assert.equal(editor.arrived.at(-1).get("error"), "access_denied");
        assert.equal(editor.arrived.at(-1).get("iss"), issuer);
    });
    await page.goto(more());
    await test("what_was_denied_is_asked_again", async () => {
        assert.ok(isConsent(page), `this is ${page.url()}`);
        await allow(page);
        await arrive(page);
    });
}

// --- What I have given ----------------------------------------------------------------------------------------

// The agent takes up Alice's token for less, in a task below hers.
async function startAgent() {
    const command = ["token", "--key-file", settings.triage, "--resource", resource, "--subject-token-file", settings.subject,
        "--subject-token-type", "access_token", "--scope", "tickets.read", "--task-purpose", "Sort this morning’s <b>tickets</b>"];
    return (await promisify(execFile)(settings.taskpass, command)).stdout.trim();
}

// What the guard itself makes of a token, without asking anybody.
async function isAcceptedByGuard(token) {
    const response = await fetch(`${settings.guard_local}/introspect`, { method: "POST", body: new URLSearchParams({ token }) });
    assert.equal(response.status, 200);
    return (await response.json()).active;
}

async function account({ page, found }) {
    await test("an_agent_takes_up_what_was_consented_to", async () => {
        const { access_token: token } = await editor.redeem();
        writeFileSync(settings.subject, token, { mode: 0o600 });
        await startAgent();
    });
    await page.goto(`${issuer}/account`);
    await test("the_account_page_lists_consents_and_tasks", async () => {
        const said = await words(page);
        for (const part of ["Alice Martin", "Example Editor at Tickets", "Triage", "Sort this morning’s <b>tickets</b>"]) {
            assert.ok(said.includes(part), `the page doesn't say ${part}: ${said}`);
        }
        assert.equal(await page.getByRole("button", { name: "Withdraw" }).count(), 1);
        assert.equal(await page.getByRole("button", { name: "End" }).count(), 2);
    });
    await page.locator("summary", { hasText: "What it may do" }).first().click();
    await looker.look(page, "account", found);
    await test("ending_a_task_leaves_the_others", async () => {
        const task = page.getByRole("article").filter({ has: page.getByRole("heading", { name: /^Triage/ }) });
        await task.getByRole("button", { name: "End" }).focus();
        await page.keyboard.press("Space");
        await inForce(page);
        await page.getByRole("link", { name: "Back to what I have given" }).click();
        assert.equal(await page.getByRole("button", { name: "End" }).count(), 1);
    });
}

async function takeBack({ page, found }) {
    await test("forms_of_other_sites_withdraw_nothing", async () => {
        await attack(browser, page, { issuer, found });
    });
    let agents;
    await test("the_agents_token_is_good_at_the_guard", async () => {
        agents = await startAgent();
        assert.equal(await isAcceptedByGuard(agents), true);
    });
    await page.goto(`${issuer}/account`);
    await test("a_withdrawal_waits_for_an_enforcer_that_doesnt_answer", async () => {
        process.kill(settings.guard, "SIGSTOP");
        try {
            await page.getByRole("button", { name: "Withdraw" }).click();
            await page.getByText("On its way").waitFor({ timeout: 5000 });
            assert.match(await words(page), /No enforcer has said so far .* 1 has not/);
            await looker.look(page, "withdrawn-waiting", found);
        } finally {
            process.kill(settings.guard, "SIGCONT");
        }
        await inForce(page);
    });
    await test("what_the_agent_had_is_over_at_the_guard", async () => {
        assert.equal(await isAcceptedByGuard(agents), false);
    });
    await looker.look(page, "withdrawn", found);
    await page.getByRole("link", { name: "Back to what I have given" }).click();
    await test("nothing_is_left_after_a_withdrawal", async () => {
        assert.equal(await page.getByRole("button", { name: /^(Withdraw|End)$/ }).count(), 0, await words(page));
    });
    await looker.look(page, "account-empty", found);
    await test("signing_out_ends_the_session", async () => {
        await page.getByRole("button", { name: "Sign out" }).click();
        assert.match(await heading(page), /signed out/i);
    });
    await looker.look(page, "signed-out", found);
    await test("the_way_back_shows_nothing_of_the_account", async () => {
        await page.goBack();
        assert.ok(!(await words(page)).includes("You are Alice Martin"), await words(page));
        await page.goto(`${issuer}/account`);
        assert.ok(isSignIn(page), `this is ${page.url()}`);
    });
    await looker.look(page, "sign-in-account", found);
    await test("another_person_sees_their_own", async () => {
        await signInAs(page, "Bob Brown");
        await page.waitForURL(/\/account/);
        const said = await words(page);
        assert.ok(said.includes("Bob Brown") && !said.includes("Alice"), said);
    });
}

// --- What can't go on -----------------------------------------------------------------------------------------

async function errors({ page, found }) {
    const wrong = {
        "error-client": () => editor.request({ resource, client_id: "nobody" }),
        "error-redirect": () => editor.request({ resource, redirect_uri: "https://evil.example/callback" }),
        "error-request": () => `${issuer}/consent?request=unknown`,
        "error-nothing-here": () => `${issuer}/nothing-here`,
    };
    for (const [name, url] of Object.entries(wrong)) {
        const before = editor.arrived.length;
        await page.goto(url());
        await test(`${name}_stays_here`, async () => {
            assert.ok(page.url().startsWith(issuer), `this is ${page.url()}`);
            assert.equal(editor.arrived.length, before);
            assert.doesNotMatch(await words(page), /evil\.example|nobody/);
        });
        await looker.look(page, name, found);
    }
}

// --------------------------------------------------------------------------------------------------------------

const person = await sitDown();
try {
    for (const chapter of [signIn, consent, askForMore, account, takeBack, errors]) {
        try {
            await chapter(person);
        } catch (error) {
            await test(`${chapter.name}_gets_to_its_end`, () => Promise.reject(error));
        }
    }
} finally {
    await looker.close();
    await browser.close();
    editor.close();
}
if (settings.screenshots !== undefined) note(`screenshots: ${settings.screenshots}`);
process.exit(0);
