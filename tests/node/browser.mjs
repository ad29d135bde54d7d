// Walks the screens of a running server in headless Chromium, scripts on and off, in both themes.
// Arguments: node_modules, Chromium, the server's URL, a folder for screenshots, a trace id, the address of OTLP over HTTP.
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const [modules, chromium, base, shots, traceId, otlp] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const { chromium: driver } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(shots, { recursive: true });

const launch = (options) =>
  driver.launchPersistentContext(mkdtempSync(path.join(tmpdir(), "mangru-browser-")), {
    executablePath: chromium,
    headless: true,
    viewport: { width: 1400, height: 1000 },
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
    ...options,
  });

const screens = {
  overview: "/",
  logs: "/logs",
  "logs-search": "/logs?q=" + encodeURIComponent('level>=error "card declined"'),
  "logs-broken": "/logs?q=" + encodeURIComponent("(level:"),
  traces: "/traces",
  trace: `/traces/${traceId}`,
  story: `/story/${traceId}`,
  metrics: "/metrics/explore",
  sql: "/sql",
  status: "/status",
};

async function audit(page, name) {
  // The policy of the pages allows no foreign script; the audit runs in a world of its own.
  const client = await page.context().newCDPSession(page);
  const { frameTree } = await client.send("Page.getFrameTree");
  const { executionContextId } = await client.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await client.send("Runtime.evaluate", { expression: axe, contextId: executionContextId });
  const { result, exceptionDetails } = await client.send("Runtime.evaluate", {
    expression: "axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary) }))))",
    contextId: executionContextId,
    awaitPromise: true,
    returnByValue: true,
  });
  assert.equal(exceptionDetails, undefined, `the audit of ${name} failed: ${JSON.stringify(exceptionDetails)}`);
  return JSON.parse(result.value).map((violation) => ({ screen: name, ...violation }));
}

const found = [];
{
  const browser = await launch({});
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(`${page.url()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
  for (const theme of ["light", "dark"]) {
    await page.goto(`${base}/settings?theme=${theme}&back=%2F`);
    for (const [name, address] of Object.entries(screens)) {
      const response = await page.goto(base + address);
      assert.ok([200, 400].includes(response.status()), `${name} answers ${response.status()}`);
      assert.match(response.headers()["content-security-policy"], /default-src 'self'/);
      assert.doesNotMatch(response.headers()["content-security-policy"], /unsafe-inline/);
      await page.waitForSelector("html.alive", { timeout: 20_000 });
      await page.screenshot({ path: path.join(shots, `${name}-${theme}.png`) });
      found.push(...(await audit(page, `${name} (${theme})`)));
    }
  }
  const unexpected = complaints.filter((text) => !/status of 400/.test(text));
  assert.deepEqual(unexpected, [], "the console is silent");

  // From a log line to its trace.
  await page.goto(`${base}/logs?q=${encodeURIComponent("card declined")}`);
  await page.locator("[data-row]").first().click();
  await page.waitForURL(/row=/);
  await page.locator(`a[href*="/traces/${traceId}"]`).first().click();
  await page.waitForURL(new RegExp(`/traces/${traceId}`));
  await page.waitForSelector("html.alive");
  assert.ok((await page.locator(".wf-row").count()) >= 3, "the waterfall shows the spans");

  // Any id from the box.
  await page.keyboard.press("/");
  await page.keyboard.type("ORD-77");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/story\/ORD-77/);
  assert.match(await page.locator("main").innerText(), /card declined/);

  // Dragging over the histogram zooms: the address tells.
  await page.goto(`${base}/logs`);
  await page.waitForSelector("html.alive");
  const bars = await page.locator(".zoomable").first().boundingBox();
  await page.mouse.move(bars.x + bars.width * 0.3, bars.y + bars.height / 2);
  await page.mouse.down();
  await page.mouse.move(bars.x + bars.width * 0.6, bars.y + bars.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.has("start") || url.searchParams.has("from"), { timeout: 10_000 });

  // A line sent now is on the tail at once.
  await page.goto(`${base}/logs?live=1`);
  await page.waitForSelector("html.alive");
  await page.waitForTimeout(500); // the stream opens in the background and shows no sign of it
  const body = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: "seen live 12345" } }] }] }] };
  const sent = await fetch(`http://${otlp}/v1/logs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(sent.status, 200);
  await page.getByText("seen live 12345").first().waitFor({ timeout: 10_000 });
  await page.screenshot({ path: path.join(shots, "tail.png") });
  await browser.close();
}
{
  // Without scripts everything is read, and a search is a form.
  const browser = await launch({ javaScriptEnabled: false });
  const page = await browser.newPage();
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
  await page.screenshot({ path: path.join(shots, "no-scripts.png") });
  await browser.close();
}
assert.deepEqual(found, [], "the accessibility audit finds nothing");
console.log("walked", Object.keys(screens).length, "screens");
