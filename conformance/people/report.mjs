// How a suite's programs report: a line per test, as conformance/lib.sh wants them.

import { AssertionError } from "node:assert";

const oneLine = (text) => String(text).replace(/\s+/g, " ").trim();

/** Tokens don't belong into a report, not even a test's. */
const hidden = (text) =>
    text
        .replace(/\b(eyJ[\w-]{8})[\w.-]+/g, "$1…")
        .replace(/\b(code=|refresh_token=|request_uri=)[^&\s"']{12,}/g, "$1…");

/** One test: passes unless the function throws. Returns what the function returned, or nothing. */
export async function test(name, run) {
    try {
        const outcome = await run();
        console.log(`ok ${name}`);
        return outcome;
    } catch (error) {
        console.log(`not ok ${name}: ${hidden(oneLine(reason(error)))}`);
        return undefined;
    }
}

function reason(error) {
    if (!(error instanceof Error)) return JSON.stringify(error);
    if (error instanceof AssertionError) return error.message;
    const more = [
        error.code,
        error.error,
        error.error_description,
        error.cause && (error.cause.message ?? JSON.stringify(error.cause)),
    ];
    return [error.message, ...more.filter((part) => part !== undefined && part !== error.message)].join("; ");
}

/** For the person who watches. */
export function note(text) {
    console.error(`  # ${text}`);
}

/** The claims of a JWT, unverified. */
export function claims(token) {
    return JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
}
