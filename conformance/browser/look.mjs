// Looks at a page as it is: in both colour schemes, on a phone and on a desk, with a magnifying glass and without eyes.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

import { test } from "../people/report.mjs";

export const SIZES = { phone: { width: 360, height: 780 }, desk: { width: 1280, height: 900 } };
const SCHEMES = ["light", "dark"];
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export class Looker {
    /** `screenshots` is a folder, or nothing. */
    static async create(browser, screenshots) {
        const looker = new Looker();
        looker.screenshots = screenshots;
        // axe is a script, which the pages' own policy forbids: so it looks at a copy, beside the page that the person has.
        looker.context = await browser.newContext({ bypassCSP: true });
        looker.copy = await looker.context.newPage();
        return looker;
    }

    /** Three tests of the page that `page` shows. */
    async look(page, name, found) {
        await test(`${name}_has_nothing_to_complain_of`, () => assert.deepEqual(found.splice(0), []));
        await test(`${name}_fits_on_a_phone_and_on_a_desk`, () => this.measure(page, name));
        await test(`${name}_is_accessible`, () => this.examine(page));
        await page.setViewportSize(SIZES.desk);
    }

    async measure(page, name) {
        const tooWide = [];
        for (const [size, viewport] of Object.entries(SIZES)) {
            await page.setViewportSize(viewport);
            for (const colorScheme of SCHEMES) {
                await page.emulateMedia({ colorScheme });
                const width = await page.evaluate(() => document.documentElement.scrollWidth);
                if (width > viewport.width) tooWide.push(`${size}: ${width} of ${viewport.width} pixels`);
                await this.shoot(page, `${name}-${size}-${colorScheme}`);
            }
        }
        await page.emulateMedia({ colorScheme: "light" });
        // WCAG 2.5.8: what is to be hit is at least 24 pixels high and wide, unless it is a word in a sentence.
        const tiny = await page.evaluate(() =>
            [...document.querySelectorAll("button, input:not([type=hidden]), select, summary")]
                .map((element) => ({ element, box: (element.closest("label") ?? element).getBoundingClientRect() }))
                .filter(({ box }) => box.width > 0 && (box.width < 24 || box.height < 24))
                .map(({ element, box }) => `${element.tagName} ${element.innerText}: ${box.width} × ${box.height}`),
        );
        assert.deepEqual([tooWide, tiny], [[], []]);
    }

    async shoot(page, name) {
        if (this.screenshots === undefined) return;
        // What moves is shown where it comes to rest.
        await page.screenshot({ path: path.join(this.screenshots, `${name}.png`), fullPage: true, animations: "disabled" });
    }

    async examine(page) {
        const url = page.url();
        const html = await page.content();
        const violations = new Map();
        for (const [size, scheme] of [["desk", "light"], ["phone", "dark"]]) {
            await this.copy.setViewportSize(SIZES[size]);
            await this.copy.emulateMedia({ colorScheme: scheme });
            await this.copy.route(url, (route) => route.fulfill({ contentType: "text/html; charset=utf-8", body: html }), { times: 1 });
            await this.copy.goto(url);
            await this.copy.addScriptTag({ path: axe });
            const result = await this.copy.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
            for (const { id, impact, help, nodes } of result.violations) {
                violations.set(id, `${impact} (${scheme}, ${size}): ${help}: ${nodes.map(({ target, any }) => `${target} ${any[0]?.message ?? ""}`).slice(0, 3).join("; ")}`);
            }
        }
        assert.deepEqual([...violations.values()], []);
    }

    close() {
        return this.context.close();
    }
}
