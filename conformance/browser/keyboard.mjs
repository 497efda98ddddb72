// A person who has no mouse.

import assert from "node:assert/strict";

// What has the focus: its words, and how it looks.
const focused = (page) =>
    page.evaluate(() => {
        const element = document.activeElement;
        if (element === null || element === document.body) return null;
        const box = element.getBoundingClientRect();
        const style = getComputedStyle(element);
        const outlined = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2;
        // What a label shows for its input counts as well.
        const label = element.closest("label");
        const aroundIt = label === null ? null : getComputedStyle(label);
        return {
            text: (element.innerText || element.closest("label")?.innerText || element.getAttribute("aria-label") || element.name || "").trim(),
            tag: element.tagName.toLowerCase(),
            marked: outlined || style.boxShadow !== "none" || (aroundIt !== null && aroundIt.outlineStyle !== "none"),
            seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
        };
    });

/** Goes through the page by Tab, once around, and returns what has had the focus. Everything must be seen to have it. */
export async function tabThrough(page) {
    const passed = [];
    for (let steps = 0; steps < 60; steps++) {
        await page.keyboard.press("Tab");
        const element = await focused(page);
        if (element === null) break;
        passed.push(element);
    }
    assert.ok(passed.length > 0, "nothing on this page takes the focus");
    assert.deepEqual(passed.filter(({ marked, seen }) => !marked || !seen), [], "these don't show that they have the focus");
    return passed.map(({ text }) => text);
}

/** Tab, until what has the focus begins with these words. */
export async function tabTo(page, text) {
    for (let steps = 0; steps < 60; steps++) {
        await page.keyboard.press("Tab");
        const element = await focused(page);
        if (element?.text.replace(/\s+/g, " ").startsWith(text)) return;
    }
    assert.fail(`the keyboard doesn't come to '${text}'`);
}
