// mcp-authorization/drive.mjs SETTINGS: runs `conformance authorization` of the MCP project against the server, is the person
// whom it asks to open a URL, and reports its checks.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { Person } from "../people/person.mjs";
import { note } from "../people/report.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const PATIENCE_MS = 60_000;

/** The checks of all scenarios, in order, and what became of the person. */
async function runSuite({ name, issuer, clientId, port }) {
    const folder = `${settings.folder}/${name}`;
    const target = ["--url", issuer, "--client-id", clientId, "--resource", settings.resource];
    const suite = [...target, "--port", String(port), "--output-dir", folder];
    const stdio = ["ignore", "pipe", "inherit"];
    const child = spawn(process.execPath, [settings.program, "authorization", ...suite], { stdio });
    const stop = () => child.kill("SIGTERM");
    const late = setTimeout(stop, PATIENCE_MS);
    const ended = new Promise((resolve) => child.once("close", resolve));
    const visits = [];
    for await (const line of createInterface({ input: child.stdout })) {
        // It prints the URL alone on a line, for whoever watches, and waits.
        if (/^https?:\S+[?&]code_challenge=/.test(line)) visits.push(visit(line, issuer, stop));
    }
    await ended;
    clearTimeout(late);
    const said = await Promise.all(visits);
    return { checks: checksIn(folder), why: said.filter((word) => word !== undefined).join("; ") };
}

/** The person goes there, and all the way back to the suite's own callback; otherwise the suite would wait for minutes. */
async function visit(url, issuer, stop) {
    let page;
    try {
        page = await new Person(issuer, "Alice", []).follow(url);
    } catch (error) {
        stop();
        return `the person got stuck: ${error.message}`;
    }
    if (new URL(page.url).pathname === "/callback") return undefined;
    stop();
    return `the person ended on ${page}`;
}

/** The suite writes a folder per scenario. */
function checksIn(folder) {
    if (!existsSync(folder)) return [];
    const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith("checks.json"));
    return files.sort().flatMap((file) => JSON.parse(readFileSync(`${folder}/${file}`, "utf8")));
}

const WANTED = ["authorization-server-metadata", "authorization-server-metadata-cimd", "authorization-code-grant"];

for (const run of settings.runs) {
    const { checks, why } = await runSuite(run);
    for (const { id, status, errorMessage } of checks) {
        const name = `${run.name}_${id.replaceAll("-", "_")}`;
        if (status === "SUCCESS") {
            console.log(`ok ${name}`);
        } else if (status === "SKIPPED" && id.startsWith("sep-1932-as-")) {
            // It asks servers alone that advertise DPoP.
            note(`${name}: ${errorMessage}`);
        } else {
            console.log(`not ok ${name}: ${status}: ${errorMessage ?? "no reason given"} ${why}`.trim());
        }
    }
    // What it must have asked, whatever else a later version asks.
    for (const id of WANTED.filter((id) => !checks.some((check) => check.id === id))) {
        console.log(`not ok ${run.name}_${id.replaceAll("-", "_")}: it was not checked; ${why}`);
    }
}
