// The map, a service, the pictures of traces and the views of one: their screens, and the clicks between them.
import assert from "node:assert/strict";
import path from "node:path";
import { alive } from "./session.mjs";

const query = (page) => new URL(page.url()).searchParams.get("q") ?? "";

export const screens = (traceId) => ({
  map: "/map",
  "map-focus": "/map?focus=front",
  "map-nothing": "/map?q=service%3Anobody",
  service: "/services/payment",
  "service-nobody": "/services/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
  "traces-different": "/traces?spans=any&compare=slow",
  "traces-structure": "/traces?q=" + encodeURIComponent("{service:front} > {service:payment}"),
  "trace-flame": `/traces/${traceId}?view=flame`,
  "trace-calls": `/traces/${traceId}?view=calls`,
  "trace-table": `/traces/${traceId}?view=table`,
});

// From the overview to a service, to what it threw, to the trace of that.
export async function fromOverviewToServiceToException(page, { base, traceId }) {
  await page.goto(`${base}/`);
  await page.getByRole("row").filter({ hasText: "payment" }).first().getByRole("link", { name: "payment" }).click();
  await page.waitForURL(/\/services\/payment/);
  const main = await page.locator("main").innerText();
  for (const told of ["CardDeclined", "at pay.rs:1".slice(3), "card declined for ORD-77", "queue.depth", "Called by", "front"]) {
    assert.ok(main.includes(told), `the service's page tells of ${told}`);
  }
  await page.getByRole("link", { name: "newest trace" }).first().click();
  await page.waitForURL(new RegExp(`/traces/${traceId}.*span=`));
}

// From an edge of the map to its calls, from a node to its service, and the neighbours of a node alone.
export async function fromMapToCalls(page, { base, traceId }) {
  await page.goto(`${base}/map`);
  await alive(page);
  const edge = page.getByRole("link", { name: /^front to payment/ }).first();
  await edge.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/traces\?/);
  assert.match(query(page), /\{service\.name:front\} > \{service\.name:payment/);
  await page.locator(`a[href*="/traces/${traceId}"]`).first().waitFor();
  await page.goto(`${base}/map`);
  await alive(page);
  const node = page.locator(".node").filter({ hasText: "payment" }).first();
  await node.hover();
  await page.waitForSelector(".graph.has-near .edge.is-near", { state: "attached" });
  await node.locator("a").first().click();
  await page.waitForURL(/\/services\/payment/);
  await page.goto(`${base}/map`);
  await page.getByLabel("Focus on").selectOption({ label: "front" });
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/focus=/);
  await page.waitForSelector(".node.is-focus");
}

// All charts of a page show the same moment; a click on the legend shows a line alone, with Ctrl it hides one.
export async function chartsAnswerThePointer(page, { base, shots }) {
  await page.goto(`${base}/services/payment`);
  await alive(page);
  const charts = page.locator(".red-charts .plot-canvas");
  await charts.first().hover();
  await page.waitForFunction(() => document.querySelectorAll(".red-charts .cross").length === 3);
  await page.waitForFunction(() => document.querySelectorAll(".latency .cross").length === 1);
  assert.match(await page.locator(".plot-read-out strong").first().innerText(), /\d\d:\d\d/);
  await page.screenshot({ path: path.join(shots, "crosshair.png") });
  const p99 = page.getByRole("button", { name: "p99" });
  await p99.click({ modifiers: ["Control"] });
  await page.waitForSelector('g[data-series="2"].is-off', { state: "attached" });
  assert.equal(await p99.getAttribute("aria-pressed"), "false");
  await p99.click();
  await page.waitForSelector('g[data-series="0"].is-off', { state: "attached" });
  assert.equal(await p99.getAttribute("aria-pressed"), "true");
}

// A region of the picture is chosen by dragging, compared with the rest, and shown alone.
export async function aRegionIsCompared(page, { base, shots }) {
  await page.goto(`${base}/traces?spans=any`);
  await alive(page);
  const box = await page.locator(".scatter .plot-canvas").boundingBox();
  await page.mouse.move(box.x + 4, box.y + 4);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 4, box.y + box.height * 0.55, { steps: 6 });
  await page.mouse.up();
  await page.waitForURL(/r_start=\d+&r_end=\d+&r_min=\d+ns&r_max=\d+ns/);
  await page.getByRole("heading", { name: /What is different/ }).waitFor();
  await page.screenshot({ path: path.join(shots, "region.png") });
  await page.getByRole("link", { name: "Show these traces alone" }).click();
  await page.waitForURL((url) => /duration>=\d+ns/.test(url.searchParams.get("q") ?? ""));
}

// A trace from other sides: a frame of the flame graph looks closer, an edge of its graph leads to a span.
export async function aTraceHasOtherSides(page, { base, traceId }) {
  await page.goto(`${base}/traces/${traceId}`);
  await page.getByRole("link", { name: "Flame graph" }).click();
  await page.waitForURL(/view=flame/);
  await page.getByRole("link", { name: /payment: Charge/ }).first().click();
  await page.waitForURL(/frame=\d+/);
  await page.getByRole("link", { name: "× whole trace" }).waitFor();
  await page.getByRole("link", { name: "Service graph" }).click();
  await page.waitForURL(/view=calls/);
  await alive(page);
  await page.getByRole("link", { name: /^front to payment/ }).first().focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/span=00f067aa0ba902b2/);
  // The errors of the head lead to where they began.
  await page.goto(`${base}/traces/${traceId}`);
  await page.getByRole("link", { name: /2 errors/ }).first().click();
  await page.waitForURL(/span=00f067aa0ba902b2/);
}

// The overview asks for itself again and changes in place, unless it is paused.
export async function theOverviewRefreshesInPlace(page, { base }) {
  await page.clock.install();
  await page.goto(`${base}/`);
  await alive(page);
  const mark = () => page.evaluate(() => (document.querySelector("#services").dataset.seen = "yes"));
  const isMarked = () => page.evaluate(() => document.querySelector("#services").dataset.seen === "yes");
  await mark();
  const answered = page.waitForResponse((response) => response.url() === `${base}/`);
  await page.clock.fastForward(11_000);
  await answered;
  await page.waitForFunction(() => document.querySelector("#services").dataset.seen !== "yes");
  assert.ok(await page.getByRole("link", { name: "payment" }).first().isVisible(), "the fresh part is whole");
  await page.getByRole("button", { name: "pause" }).click();
  await mark();
  await page.clock.fastForward(30_000);
  assert.ok(await isMarked(), "a paused page stays");
  await page.clock.resume();
}

// Ten thousand spans: few rows are in the document, wherever one scrolls, and scrolling takes no time that is seen.
export async function tenThousandSpansScroll(page, { base, otlp }) {
  const id = "7e".repeat(16);
  const now = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: 10_000 }, (_, n) => ({
    traceId: id, spanId: (n + 1).toString(16).padStart(16, "0"),
    parentSpanId: n === 0 ? "" : (Math.floor((n - 1) / 4) + 1).toString(16).padStart(16, "0"),
    name: `step ${n}`, kind: 1,
    startTimeUnixNano: String(now - 20_000_000_000n + BigInt(n) * 100_000n), endTimeUnixNano: String(now - 18_000_000_000n),
  }));
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "large" } }] };
  const sent = await fetch(`http://${otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }),
  });
  assert.equal(sent.status, 200);
  await page.goto(`${base}/traces/${id}`);
  await alive(page);
  await page.waitForSelector(".wf-window .wf-row");
  const longest = await page.evaluate(async () => {
    const view = document.querySelector(".wf-window");
    let longest = 0;
    for (let n = 1; n <= 40; n += 1) {
      const start = performance.now();
      view.scrollTop = (view.scrollHeight / 40) * n;
      view.dispatchEvent(new Event("scroll"));
      await new Promise((done) => requestAnimationFrame(done));
      longest = Math.max(longest, performance.now() - start);
      if (document.querySelectorAll(".wf-window .wf-row").length > 120) throw new Error("rows out of view are in the document");
    }
    return longest;
  });
  assert.ok(longest < 250, `a step of scrolling took ${longest} ms`);
  await page.getByLabel("Search in trace").fill("step 9999");
  await page.waitForFunction(() => /^\d+ of 10,000/.test(document.querySelector(".wf-bar [role=status]").textContent.trim()));
  await page.locator(".wf-window .wf-row").filter({ hasText: "step 9999" }).waitFor();
}
