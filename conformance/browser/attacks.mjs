// Another site in the same browser, with scripts: it tries to send forms of ours, and to put pages of ours into a frame.

import assert from "node:assert/strict";
import { createServer } from "node:http";

import { words } from "../people/pages.mjs";

// Forms that send themselves. What a stranger can't know (`csrf`) is made up, or left out.
const form = (action, fields) =>
    `<form method=post action="${action}">${Object.entries(fields)
        .map(([name, value]) => `<input name="${name}" value="${value}">`)
        .join("")}</form><script>document.forms[0].submit()</script>`;

/** With the cookies of the person whose page it is; the person's own page is left alone. */
export async function attack(browser, page, { issuer }) {
    await page.goto(`${issuer}/account`);
    // Moments go by.
    const shown = async () => (await words(page)).replace(/\b(now|\d+ \w+ ago)\b/g, "").replace(/\bin \d+ \w+\b/g, "");
    const before = await shown();
    const consent = await page.locator("input[name=consent]").first().inputValue();
    const context = await browser.newContext({ storageState: await page.context().storageState() });
    // localhost is another site than 127.0.0.1, and it has no right to anything.
    const pages = {
        "/withdraw": form(`${issuer}/account/withdraw`, { consent, csrf: "guessed" }),
        "/withdraw-without": form(`${issuer}/account/withdraw`, { consent }),
        "/sign-out": form(`${issuer}/sign-out`, {}),
        "/sign-in": form(`${issuer}/sign-in`, { subject: "bob" }),
        "/frame": `<iframe src="${issuer}/account" width=900 height=600></iframe>`,
    };
    const server = createServer((request, response) => {
        response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
        response.end(`<!doctype html><link rel=icon href=data:,>${pages[request.url] ?? ""}`);
    });
    await new Promise((resolve) => server.listen(0, "localhost", resolve));
    const site = `http://localhost:${server.address().port}`;
    try {
        const victim = await context.newPage();
        for (const path of ["/withdraw", "/withdraw-without", "/sign-out", "/sign-in"]) {
            const answered = victim.waitForResponse((response) => response.url().startsWith(issuer) && response.request().method() === "POST");
            await victim.goto(site + path);
            const status = (await answered).status();
            assert.ok(status >= 400 && status < 500, `${path} was answered with ${status}`);
        }
        await victim.goto(`${site}/frame`);
        const frame = victim.frames().find((one) => one !== victim.mainFrame());
        assert.ok(!(await frame.content()).includes("What I have given"), "the account page is shown in another site's frame");
        await page.reload();
        assert.equal(await shown(), before, "something has changed");
    } finally {
        await context.close();
        server.close();
        server.closeAllConnections();
    }
}
