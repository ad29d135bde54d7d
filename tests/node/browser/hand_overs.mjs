// The clicks that lead from one screen to the next, with scripts on.
import assert from "node:assert/strict";
import path from "node:path";
import { alive } from "./session.mjs";

const query = (page) => new URL(page.url()).searchParams.get("q") ?? "";

// From a log line to its trace, and on to the story of its id.
export async function fromLogToTraceToStory(page, { base, traceId }) {
  await page.goto(`${base}/logs?q=${encodeURIComponent("card declined")}`);
  await page.locator("[data-row]").first().click();
  await page.waitForURL(/row=/);
  await page.locator(`a[href*="/traces/${traceId}"]`).first().click();
  await page.waitForURL(new RegExp(`/traces/${traceId}`));
  await alive(page);
  assert.equal(await page.locator(".wf-window .wf-row").count(), 3, "the waterfall shows the spans");
  await page.getByRole("main").getByRole("link", { name: "story" }).first().click();
  await page.waitForURL(/\/story\//);
  const story = await page.locator("main").innerText();
  for (const told of ["card declined", "POST /pay", "SELECT cards"]) assert.ok(story.includes(told), `the story tells of ${told}`);
}

// Any id from the box, by the keyboard alone.
export async function fromTheBoxToAStory(page, { base }) {
  await page.goto(`${base}/`);
  await alive(page);
  await page.keyboard.press("/");
  await page.keyboard.type("ORD-77");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/story\/ORD-77/);
  assert.match(await page.locator("main").innerText(), /card declined/);
}

// From a service's row to its traces, to one of them, to a span with its exception, and back again.
export async function fromServiceToSpan(page, { base, traceId }) {
  await page.goto(`${base}/`);
  const row = page.getByRole("row").filter({ hasText: "payment" }).first();
  await row.getByRole("link", { name: "traces" }).click();
  await page.waitForURL(/\/traces\?/);
  assert.match(query(page), /payment/, "the service is in the search");
  await page.locator(`a[href*="/traces/${traceId}"]`).first().click();
  await page.waitForURL(new RegExp(`/traces/${traceId}`));
  await alive(page);
  await page.locator(".wf-window .wf-row").filter({ hasText: "Charge" }).locator("a").first().click();
  await page.waitForURL(/span=00f067aa0ba902b2/);
  const panel = page.getByRole("region", { name: "Span", exact: true });
  const text = await panel.innerText();
  for (const told of ["CardDeclined", "at pay.rs:1", "/pay", "card declined for ORD-77", "<script>alert(1)</script>"]) {
    assert.ok(text.includes(told), `the span's panel tells of ${told}: ${text}`);
  }
  await page.goBack();
  await page.waitForURL((url) => !url.searchParams.has("span"));
}

// The waterfall folds, searches and says how much it shows.
export async function waterfallFolds(page, { base, traceId }) {
  await page.goto(`${base}/traces/${traceId}`);
  await alive(page);
  const says = page.locator(".wf-bar").getByRole("status");
  assert.equal(await says.innerText(), "3 of 3 spans shown");
  await page.locator(".wf-window .wf-row").filter({ hasText: "Charge" }).getByRole("button", { name: "Children" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".wf-window .wf-row").length === 2);
  assert.equal(await says.innerText(), "2 of 3 spans shown");
  await page.getByRole("button", { name: "Expand all" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".wf-window .wf-row").length === 3);
}

// A facet narrows the search, its minus excludes.
export async function facetsNarrow(page, { base }) {
  await page.goto(`${base}/logs`);
  const facet = page.locator(".facet").filter({ hasText: "severity" }).first();
  await facet.getByRole("link", { name: "error" }).first().click();
  await page.waitForURL((url) => url.searchParams.get("q") === "level:error");
  assert.equal(await page.locator("[data-row]").count(), 10, "the ten failures");
  await page.goto(`${base}/logs`);
  await page.getByRole("link", { name: "Exclude level:error" }).click();
  await page.waitForURL((url) => url.searchParams.get("q") === "-level:error");
  assert.doesNotMatch(await page.locator("main").innerText(), /card declined/);
}

// Dragging over the histogram zooms: the address tells.
export async function draggingZooms(page, { base }) {
  await page.goto(`${base}/logs`);
  await alive(page);
  const bars = await page.locator(".zoomable").first().boundingBox();
  await page.mouse.move(bars.x + bars.width * 0.3, bars.y + bars.height / 2);
  await page.mouse.down();
  await page.mouse.move(bars.x + bars.width * 0.6, bars.y + bars.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.has("start") && url.searchParams.has("end"));
}

// Times are shown in the browser's zone, and in UTC one click away.
export async function timesChangeTheirZone(page, { base }) {
  await page.goto(`${base}/logs`);
  await alive(page);
  const time = page.locator('main time[data-show="row"]').first();
  const iso = new Date(await time.getAttribute("datetime")).toISOString();
  const utc = `${iso.slice(5, 10)} ${iso.slice(11, 23)}`;
  const seoul = new Date(Date.parse(iso) + 9 * 3_600_000).toISOString();
  const local = `${seoul.slice(5, 10)} ${seoul.slice(11, 23)}`;
  await time.filter({ hasText: local }).waitFor();
  await page.goto(`${base}/settings?zone=utc&back=%2Flogs`);
  await alive(page);
  await page.locator('main time[data-show="row"]').filter({ hasText: utc }).first().waitFor();
  await page.goto(`${base}/settings?zone=browser&back=%2Flogs`);
}

// A line sent now is on the tail at once. It is sent until it shows, for the stream opens in the background.
export async function tailShowsWhatComes(page, { base, otlp, shots }) {
  await page.goto(`${base}/logs?live=1`);
  await alive(page);
  const body = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: "seen live 12345" } }] }] }] };
  const line = page.getByText("seen live 12345").first();
  for (let tries = 0; tries < 20 && !(await line.isVisible()); tries += 1) {
    const sent = await fetch(`http://${otlp}/v1/logs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(sent.status, 200);
    await line.waitFor({ timeout: 1000 }).catch(() => {});
  }
  assert.ok(await line.isVisible(), "the tail shows the line");
  await page.screenshot({ path: path.join(shots, "tail.png") });
}

// From what fires on the overview to the rule's picture, to its evidence, and to the trace.
export async function fromAFiringRuleToItsEvidence(page, { base, shots, traceId }) {
  await page.goto(`${base}/`);
  await page.getByRole("link", { name: "CardDeclined" }).first().click();
  await page.waitForURL(/\/alerts\/[0-9a-f]{16}/);
  await alive(page);
  const main = page.getByRole("main");
  const told = await main.innerText();
  for (const part of ["firing", "cards were declined", "card declined for ORD-77", "threshold > 2"]) {
    assert.ok(told.includes(part), `the rule's screen tells of ${part}: ${told}`);
  }
  assert.ok(await main.locator(".threshold").count(), "the threshold is drawn");
  await page.screenshot({ path: path.join(shots, "alert-rule.png"), fullPage: true });
  await main.locator(".evidence").getByRole("link", { name: "trace" }).first().click();
  await page.waitForURL(new RegExp(`/traces/${traceId}`));
}

// A silence from the screen holds the alert back, and is ended there.
export async function aSilenceIsMadeAndEnded(page, { base }) {
  await page.goto(`${base}/alerts`);
  await page.getByRole("button", { name: "Silence 1 h" }).first().click();
  await page.waitForURL(/\/alerts/);
  const main = page.getByRole("main");
  await main.getByRole("cell", { name: "silenced" }).waitFor();
  await main.getByRole("button", { name: "End now" }).first().click();
  await main.getByText("No silence is in force.").waitFor();
}

// A search becomes a rule: its YAML, what it would have done, and the file.
export async function fromASearchToARule(page, { base }) {
  await page.goto(`${base}/logs?q=${encodeURIComponent('service:payment "card declined"')}`);
  await page.getByRole("link", { name: "Alert on this" }).click();
  await page.waitForURL(/\/alerts\/new/);
  const main = page.getByRole("main");
  await main.getByLabel("Name", { exact: true }).fill("DeclinedCards");
  await main.getByLabel("When it is").fill("> 1");
  await main.getByRole("button", { name: "Show the rule" }).click();
  await main.getByText('alert: "DeclinedCards"').first().waitFor();
  await main.getByRole("link", { name: "Run it over this range" }).click();
  await main.getByText("it would have fired").waitFor();
  await main.getByRole("button", { name: "Write it" }).click();
  await page.waitForURL(/\/alerts#/);
  await main.getByRole("link", { name: "DeclinedCards" }).first().waitFor();
}
