// What a person does on Taskpass's pages in a real browser, found by what a person reads: roles and names, none of the page's own ids.

import assert from "node:assert/strict";

/** What can be read on the page: not what is folded away. */
export const words = async (page) => (await page.locator("main").innerText()).replace(/\s+/g, " ");

const ends = (page, path) => new URL(page.url()).pathname.endsWith(path);
export const isSignIn = (page) => ends(page, "/sign-in");
export const isConsent = (page) => ends(page, "/consent");

/** The sign-in page of `serve --dev` has a button for each person of the registry. */
export const signInAs = (page, name) => page.getByRole("button", { name: `Be ${name}` }).click();
export const allow = (page) => page.getByRole("button", { name: "Allow", exact: true }).click();
export const deny = (page) => page.getByRole("button", { name: "Deny", exact: true }).click();

/** Takes back what is given to `holder` at `resource`; returns when the page said that it is in force everywhere. */
export async function withdraw(page, account, holder, resource) {
    await page.goto(account);
    const entry = page.getByRole("article").filter({ has: page.getByRole("heading", { name: `${holder} at ${resource}` }) });
    assert.equal(await entry.count(), 1, `${holder} at ${resource} is not listed once: ${await words(page)}`);
    await entry.getByRole("button", { name: "Withdraw" }).click();
    return await inForce(page);
}

/** Waits on the page after a withdrawal, and looks again, until it says that it is in force everywhere. */
export async function inForce(page) {
    await page.waitForURL((url) => url.pathname.endsWith("/account/withdrawn"), { timeout: 10_000 });
    for (let looks = 0; looks < 5; looks++) {
        if (/In force everywhere/.test(await page.getByRole("status").innerText())) return Date.now();
        await page.getByRole("link", { name: "Look again" }).click();
    }
    assert.fail(`it doesn't come into force: ${await words(page)}`);
}
