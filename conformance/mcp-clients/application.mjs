// An application of an official SDK as a process of its own; python/client.py says what is written and read.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";

export class Application {
    #process;
    #events;

    constructor(command, log) {
        this.#process = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
        this.#process.stderr.pipe(createWriteStream(log, { flags: "a" }));
        this.#events = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    }

    give(line) {
        this.#process.stdin.write(`${JSON.stringify(line)}\n`);
    }

    // One command. `browse` is called with every URL that the application wants opened; `watching` when a stream runs.
    async take(step, { browse, watching } = {}) {
        this.give(step);
        const authorized = [];
        for (;;) {
            const { value, done } = await this.#events.next();
            if (done) throw new Error(`the application ended during ${step.do}`);
            const event = JSON.parse(value);
            if (event.done !== undefined) return { ...event, authorized };
            if (event.watching) watching?.();
            if (event.authorize !== undefined) {
                authorized.push(new URL(event.authorize));
                try {
                    await browse?.(event.authorize);
                } finally {
                    // Whether the browser came or not, the application goes on.
                    this.give({});
                }
            }
        }
    }

    async end() {
        this.give({ do: "end" });
        const ended = new Promise((resolve) => this.#process.once("exit", resolve));
        const timer = setTimeout(() => this.#process.kill(), 5000);
        await ended;
        clearTimeout(timer);
    }
}
