// A real Chromium, driven from outside, and a record of everything about a page that shouldn't be.

import { chromium } from "playwright-core";

const FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/** Starts it, without windows. Its profile is a new folder, which goes when it ends. */
export function startChromium(program) {
    return chromium.launch({ executablePath: program, headless: true, args: FLAGS });
}

/**
 * What a page complains of from now on: errors and warnings in the console (a blocked style is one), scripts that fail, requests that
 * fail or go where nobody should be asked. `expected` has the statuses that the test wants of pages, `origins` who may be asked, `about`
 * the origin that it is about, if not all.
 */
export function complaints(page, { expected = [], origins, about = "" } = {}) {
    const found = [];
    page.on("console", (message) => {
        if (!message.location().url.startsWith(about)) return;
        const text = message.text();
        const status = /^Failed to load resource: the server responded with a status of (\d+)/.exec(text)?.[1];
        if (status === undefined ? ["error", "warning", "assert"].includes(message.type()) : !expected.includes(Number(status))) {
            found.push(`console: ${text}`);
        }
    });
    page.on("pageerror", (error) => found.push(`script: ${error.message}`));
    page.on("dialog", (dialog) => {
        found.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    page.on("request", (request) => {
        const { origin, protocol } = new URL(request.url());
        if (protocol.startsWith("http") && origins !== undefined && !origins.includes(origin)) found.push(`request: ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
        if (!request.url().startsWith(about)) return;
        const why = request.failure()?.errorText;
        // An earlier navigation, which a later one has replaced.
        if (why !== "net::ERR_ABORTED") found.push(`request: ${request.url()}: ${why}`);
    });
    page.on("response", (response) => {
        if (!response.url().startsWith(about)) return;
        const wanted = response.request().isNavigationRequest() && expected.includes(response.status());
        if (response.status() >= 400 && !wanted) found.push(`status ${response.status()}: ${response.url()}`);
    });
    return found;
}
