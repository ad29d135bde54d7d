// Walks the screens of a running server in headless Chromium, scripts on and off, in both themes.
// Arguments: node_modules, Chromium, the server's URL, a folder for screenshots, a trace id, the address of OTLP over HTTP.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import * as handOvers from "./browser/hand_overs.mjs";
import { alive, audit, browse } from "./browser/session.mjs";

const [base, shots, traceId, otlp] = process.argv.slice(4);
mkdirSync(shots, { recursive: true });

const screens = {
  overview: "/",
  logs: "/logs",
  "logs-search": "/logs?q=" + encodeURIComponent('level>=error "card declined"'),
  "logs-broken": "/logs?q=" + encodeURIComponent("(level:"),
  traces: "/traces",
  trace: `/traces/${traceId}`,
  span: `/traces/${traceId}?span=00f067aa0ba902b2`,
  story: `/story/${traceId}`,
  metrics: "/metrics/explore",
  alerts: "/alerts",
  "alerts-new": "/alerts/new?q=" + encodeURIComponent('service:payment "card declined"') + "&dry=1",
  sql: "/sql",
  status: "/status",
};

const violations = [];
await browse(base, {}, async (page) => {
  for (const theme of ["light", "dark"]) {
    await page.goto(`${base}/settings?theme=${theme}&back=%2F`);
    assert.equal(await page.locator("html").getAttribute("data-theme"), theme);
    for (const [name, address] of Object.entries(screens)) {
      const response = await page.goto(base + address);
      assert.equal(response.status(), 200, name);
      const policy = response.headers()["content-security-policy"];
      assert.match(policy, /default-src 'self'/);
      assert.doesNotMatch(policy, /unsafe-inline/);
      await alive(page);
      await page.screenshot({ path: path.join(shots, `${name}-${theme}.png`) });
      violations.push(...(await audit(page, `${name} (${theme})`)));
    }
    await page.goto(base + screens["logs-search"]);
    await page.locator("[data-row]").first().click();
    await page.waitForURL(/row=/);
    await alive(page);
    await page.screenshot({ path: path.join(shots, `log-${theme}.png`) });
    violations.push(...(await audit(page, `log (${theme})`)));
  }
});
console.log(`looked at ${Object.keys(screens).length + 1} screens in two themes`);

await browse(base, { timezoneId: "Asia/Seoul" }, async (page) => {
  for (const [name, walk] of Object.entries(handOvers)) {
    try {
      await walk(page, { base, shots, traceId, otlp });
    } catch (error) {
      await page.screenshot({ path: path.join(shots, `failed-${name}.png`) });
      throw new Error(`${name} at ${page.url()}: ${error.message}`, { cause: error });
    }
    console.log(`walked ${name}`);
  }
});

// Without scripts everything is read, a search is a form, and every step is a link.
await browse(base, { javaScriptEnabled: false }, async (page) => {
  for (const [name, address] of Object.entries(screens)) {
    await page.goto(base + address);
    const text = await page.locator("main").innerText();
    assert.ok(text.length > (name === "logs-broken" ? 40 : 100), `${name} says too little without scripts: ${text}`);
  }
  await page.goto(`${base}/logs`);
  await page.locator('main form input[name="q"]').first().fill("declined");
  await page.locator('main form button[type="submit"], main form button').first().click();
  await page.waitForURL(/q=declined/);
  assert.match(await page.locator("main").innerText(), /card declined/);
  await page.locator("[data-row]").first().click();
  await page.waitForURL(/row=/);
  assert.match(await page.locator("main").innerText(), /ORD-77/);
  await page.screenshot({ path: path.join(shots, "no-scripts.png") });
  await page.goto(`${base}/traces/${traceId}`);
  await page.getByRole("link", { name: /Charge/ }).first().click();
  await page.waitForURL(/span=00f067aa0ba902b2/);
  assert.match(await page.locator("main").innerText(), /CardDeclined/);
});
console.log("walked without scripts");

// A phone shows every screen without moving sideways.
await browse(base, { viewport: { width: 390, height: 844 } }, async (page) => {
  for (const [name, address] of Object.entries(screens)) {
    await page.goto(base + address);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    if (["overview", "logs"].includes(name)) await page.screenshot({ path: path.join(shots, `${name}-phone.png`) });
    assert.ok(wide <= window, `${name} is ${wide} px wide in a window of ${window} px`);
  }
});
console.log("walked on a phone");
assert.deepEqual(violations, [], "the accessibility audit finds nothing");
