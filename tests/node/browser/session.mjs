// A headless Chromium on one server, and the accessibility audit.
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const [modules, chromium] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const { chromium: driver } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// Runs `walk` with a page of a fresh browser. Nothing may be fetched from elsewhere, no foreign text may run as a script,
// and the console stays silent.
export async function browse(base, options, walk) {
  const profile = mkdtempSync(path.join(tmpdir(), "mangru-browser-"));
  const browser = await driver.launchPersistentContext(profile, {
    executablePath: chromium,
    headless: true,
    viewport: { width: 1400, height: 1000 },
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
    ...options,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(`${page.url()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
    page.on("dialog", (dialog) => {
      complaints.push(`${page.url()}: a text of a stranger ran: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      const isOurs = request.url().startsWith(base) || request.url().startsWith("data:");
      if (!isOurs) complaints.push(`${page.url()} asks ${request.url()}`);
    });
    await walk(page);
    assert.deepEqual(complaints, [], "the console is silent and nothing comes from elsewhere");
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

// The islands of the page have come alive.
export const alive = (page) => page.waitForSelector("html.alive");

// What the audit finds on the page. The policy of the pages allows no foreign script; it runs in a world of its own.
export async function audit(page, name) {
  const client = await page.context().newCDPSession(page);
  const { frameTree } = await client.send("Page.getFrameTree");
  const { executionContextId } = await client.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await client.send("Runtime.evaluate", { expression: axe, contextId: executionContextId });
  const { result, exceptionDetails } = await client.send("Runtime.evaluate", {
    expression: `axe.run(document, { resultTypes: ["violations"] }).then((found) => JSON.stringify(found.violations.map((v) => ({
      id: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + " " + n.failureSummary) }))))`,
    contextId: executionContextId,
    awaitPromise: true,
    returnByValue: true,
  });
  assert.equal(exceptionDetails, undefined, `the audit of ${name} failed: ${JSON.stringify(exceptionDetails)}`);
  await client.detach();
  return JSON.parse(result.value).map((violation) => ({ screen: name, ...violation }));
}
