// What a person does on Taskpass's pages: signs in, says yes or no, looks at what was given, takes it back.

import { Browser } from "./browser.mjs";

/** Whoever comes back to a client's address is through. */
const isClient = (addresses) => (url) => addresses.some((address) => url === address || url.startsWith(`${address}?`));

export class Person {
    /** `name` is what the person's entry on the sign-in page says; `clients` are redirect URIs. */
    constructor(issuer, name, clients) {
        Object.assign(this, { issuer, name });
        this.browser = new Browser(isClient(clients));
        this.pages = [];
    }

    /** Goes where a client sends them and answers until it is over: back at the client, or at a page without a question. */
    async follow(url, answer = "allow") {
        let page = await this.browser.open(url);
        for (let questions = 0; page.arrived === undefined && questions < 8; questions++) {
            this.pages.push(page);
            const next = await this.answer(page, answer);
            if (next === undefined) return page;
            page = next;
        }
        return page;
    }

    /** One page's question; nothing if the page has none that this person knows. */
    async answer(page, answer) {
        const path = new URL(page.url).pathname;
        if (page.status !== 200) return undefined;
        if (path.endsWith("/sign-in")) return this.signIn(page);
        if (path.endsWith("/consent")) return this.decide(page, answer);
        if (path.startsWith("/interaction/")) return this.talkToProvider(page);
        return undefined;
    }

    /** The pages of `oidc-provider` for development: whoever signs in is believed, and one button consents. */
    talkToProvider(page) {
        const [form] = page.forms;
        const values = form.fields.some(({ name }) => name === "login")
            ? { login: this.name.toLowerCase(), password: "any" }
            : {};
        return this.browser.submit(page, form, values, form.buttons[0]);
    }

    signIn(page) {
        const fits = new RegExp(this.name, "i");
        const form = page.forms.find((form) => form.button(fits));
        // A form may not lead to another site (`form-action 'self'`), so the page after it has a link.
        const onward = page.links().find(({ text }) => text === "Go on");
        if (form === undefined && onward !== undefined) return this.browser.open(onward.href);
        if (form === undefined) throw new Error(`no way to sign in as ${this.name}: ${page}`);
        return this.browser.submit(page, form, {}, form.button(fits));
    }

    decide(page, answer) {
        const form = page.forms.find((form) => form.buttons.some((button) => button.name === "decision"));
        const button = form?.buttons.find((button) => button.value === answer);
        if (button === undefined) throw new Error(`no way to ${answer}: ${page}`);
        return this.browser.submit(page, form, {}, button);
    }
}
