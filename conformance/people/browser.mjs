// A browser without windows: it follows redirects, keeps cookies, reads forms and sends them, as a person's browser would. What a
// page does with scripts or styles is not its business; the suite `browser` has a real one.

import http from "node:http";
import https from "node:https";

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Text as HTML writes it, read. */
export function unescapeHtml(text) {
    return text.replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, (whole, name) => {
        if (name.startsWith("#")) {
            const hexadecimal = name[1].toLowerCase() === "x";
            return String.fromCodePoint(Number.parseInt(name.slice(hexadecimal ? 2 : 1), hexadecimal ? 16 : 10));
        }
        return ENTITIES[name.toLowerCase()] ?? whole;
    });
}

function attributes(tag) {
    const found = {};
    for (const [, name, , double, single, bare] of tag.matchAll(
        /([a-z-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s">]+)))?/gi,
    )) {
        found[name.toLowerCase()] ??= unescapeHtml(double ?? single ?? bare ?? "");
    }
    return found;
}

const textOf = (html) =>
    unescapeHtml(html.replace(/<[^>]*>/g, " "))
        .replace(/\s+/g, " ")
        .trim();

const FIELDS = /<input\b([^>]*)>|<(button|select|textarea)\b([^>]*)>([^]*?)<\/\2>/gi;

/** A form of a page: where it goes, what it sends unasked, and which buttons it has. */
class Form {
    constructor(page, tag, inner) {
        const { action, method } = attributes(tag);
        this.action = new URL(action || page.url, page.url).href;
        this.method = (method || "get").toUpperCase();
        this.fields = [];
        this.buttons = [];
        for (const [, input, other, rest, content] of inner.matchAll(FIELDS)) {
            const field = attributes(input ?? rest);
            if (other?.toLowerCase() === "button" || field.type === "submit") {
                const text = textOf(content ?? field.value ?? "");
                if ((field.type || "submit") === "submit") this.buttons.push({ ...field, text });
            } else if (field.name !== undefined && !("disabled" in field)) {
                const chosen = !["radio", "checkbox"].includes(field.type) || "checked" in field;
                this.fields.push({ ...field, value: field.value ?? (field.type === "checkbox" ? "on" : ""), chosen });
            }
        }
    }

    /** The button whose text or value fits. */
    button(pattern) {
        return this.buttons.find((button) => pattern.test(button.text) || pattern.test(button.value ?? ""));
    }
}

/** What the browser shows. `arrived` is set instead when a redirect led to one of the addresses it stops at. */
export class Page {
    constructor(url, status, headers, html) {
        Object.assign(this, { url, status, headers, html });
        this.forms = [...html.matchAll(/<form\b([^>]*)>([^]*?)<\/form>/gi)].map(
            ([, tag, inner]) => new Form(this, tag, inner),
        );
        this.title = textOf(html.match(/<title[^>]*>([^]*?)<\/title>/i)?.[1] ?? "");
        this.text = textOf(html.replace(/<(head|script|style)\b[^]*?<\/\1>/gi, " "));
    }

    /** The form that has such a button, or such a field, or goes to such a path. */
    form(pattern) {
        const fits = (form) =>
            form.button(pattern) ||
            pattern.test(new URL(form.action).pathname) ||
            form.fields.some((field) => pattern.test(field.name));
        return this.forms.find(fits);
    }

    links() {
        return [...this.html.matchAll(/<a\b([^>]*)>([^]*?)<\/a>/gi)].map(([, tag, inner]) => ({
            text: textOf(inner),
            href: new URL(attributes(tag).href ?? "", this.url).href,
        }));
    }

    toString() {
        const rule = this.text.match(/\bRule (\w+)/)?.[1];
        const shown = rule ?? (this.title || this.text).slice(0, 120);
        return `${this.status} at ${this.url.split("?")[0]}: ${shown}`;
    }
}

const REDIRECTS = 12;

export class Browser {
    /** `stopAt(url)` says which addresses are a client's: a redirect to one is the end of the way and isn't followed. */
    constructor(stopAt = () => false) {
        this.stopAt = stopAt;
        this.cookies = [];
        this.visited = [];
    }

    open(url) {
        return this.#go("GET", new URL(url), undefined, undefined);
    }

    /** Sends a form with what it has, what the person typed or chose (`values`), and the pressed button. */
    submit(page, form, values = {}, button = undefined) {
        const body = new URLSearchParams();
        for (const { name, value, chosen } of form.fields) {
            if (chosen && !(name in values)) body.append(name, value);
        }
        for (const [name, value] of Object.entries(values)) body.append(name, value);
        if (button?.name) body.append(button.name, button.value ?? "");
        const action = new URL(button?.formaction ?? form.action, page.url);
        if (form.method === "GET") {
            action.search = body.toString();
            return this.#go("GET", action, undefined, page.url);
        }
        return this.#go("POST", action, body.toString(), page.url);
    }

    /** Any request, once, with this browser's cookies: what no well-behaved page would send. */
    async request(method, url, headers = {}, body = undefined) {
        return this.#send(method, new URL(url), headers, body);
    }

    cookieNames() {
        return this.cookies.map(({ name }) => name);
    }

    async #go(method, url, body, from) {
        let before = from;
        for (let hops = 0; hops < REDIRECTS; hops++) {
            if (this.stopAt(url.href)) return { arrived: url, url: url.href };
            const origin = before === undefined ? undefined : new URL(before).origin;
            const headers = {
                accept: "text/html,application/xhtml+xml",
                "accept-language": "en",
                "sec-fetch-dest": "document",
                "sec-fetch-mode": "navigate",
                "sec-fetch-site": origin === undefined ? "none" : origin === url.origin ? "same-origin" : "cross-site",
            };
            if (body !== undefined) {
                headers["content-type"] = "application/x-www-form-urlencoded";
                headers.origin = origin ?? "null";
            }
            const { status, headers: answered, text } = await this.#send(method, url, headers, body);
            this.visited.push({ method, url: url.href, status });
            if (status < 300 || status > 399 || answered.location === undefined)
                return new Page(url.href, status, answered, text);
            before ??= url.href;
            url = new URL(answered.location, url);
            if (status !== 307 && status !== 308) [method, body] = ["GET", undefined];
        }
        throw new Error(`more than ${REDIRECTS} redirects, the last to ${url.href}`);
    }

    #send(method, url, headers, body) {
        const { request } = url.protocol === "https:" ? https : http;
        const sent = { connection: "close", ...headers };
        const cookies = this.#cookiesFor(url);
        if (cookies !== "") sent.cookie = cookies;
        if (body !== undefined) sent["content-length"] = Buffer.byteLength(body);
        return new Promise((resolve, reject) => {
            const asked = request(url, { method, headers: sent, timeout: 20_000 }, (response) => {
                const chunks = [];
                response.on("data", (chunk) => chunks.push(chunk));
                response.on("error", reject);
                response.on("end", () => {
                    this.#keepCookies(url, response.headers["set-cookie"] ?? []);
                    resolve({
                        status: response.statusCode,
                        headers: response.headers,
                        text: Buffer.concat(chunks).toString(),
                    });
                });
            });
            asked.on("timeout", () =>
                asked.destroy(new Error(`no answer from ${url.origin}${url.pathname} within 20 s`)),
            );
            asked.on("error", reject);
            asked.end(body);
        });
    }

    #cookiesFor(url) {
        // RFC 6265 §5.4. Cookies know no ports: what one loopback server sets, the browser shows to the next.
        const fits = (cookie) =>
            cookie.host === url.hostname &&
            (url.pathname === cookie.path || url.pathname.startsWith(cookie.path.replace(/\/?$/, "/"))) &&
            (!cookie.secure || url.protocol === "https:");
        return this.cookies
            .filter(fits)
            .map(({ name, value }) => `${name}=${value}`)
            .join("; ");
    }

    #keepCookies(url, lines) {
        for (const line of lines) {
            const [pair, ...parts] = line.split(/;\s*/);
            const at = pair.indexOf("=");
            const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
            const said = Object.fromEntries(
                parts.map((part) => [part.split("=")[0].toLowerCase(), part.slice(part.indexOf("=") + 1)]),
            );
            const path = said.path ?? url.pathname.replace(/\/[^/]*$/, "") ?? "/";
            const secure = "secure" in said;
            // RFC 6265bis §5.7: a secure cookie comes over https, and `__Host-` demands more.
            if (secure && url.protocol !== "https:") continue;
            if (name.startsWith("__Host-") && (!secure || path !== "/" || "domain" in said)) continue;
            this.cookies = this.cookies.filter(
                (cookie) => cookie.name !== name || cookie.host !== url.hostname || cookie.path !== path,
            );
            const over =
                said["max-age"] !== undefined ? Number(said["max-age"]) <= 0 : new Date(said.expires) <= new Date();
            if (!over)
                this.cookies.push({ name, value, host: url.hostname, path: path || "/", secure, attributes: line });
        }
    }
}
