// Looking for things: patterns, completion, facets, charts, dashboards.
import assert from "node:assert/strict";
import { alive } from "./session.mjs";

const query = (page) => new URL(page.url()).searchParams.get("q") ?? "";

// From a pattern to its lines.
export async function patternsLeadToTheirLines(page, { base }) {
  await page.goto(`${base}/logs`);
  await page.getByRole("link", { name: "Patterns" }).click();
  await page.waitForURL(/view=patterns/);
  await page.locator("a.template").filter({ hasText: "card declined" }).click();
  await page.waitForURL((url) => !url.searchParams.has("view"));
  assert.equal(await page.locator("[data-row]").count(), 10, "the ten failures");
}

// Fields and values are completed by the keyboard alone.
export async function aSearchIsCompleted(page, { base }) {
  await page.goto(`${base}/logs`);
  await alive(page);
  const box = page.getByRole("searchbox", { name: "Search logs" });
  await box.pressSequentially("order.i");
  await page.getByRole("option", { name: /order\.id/ }).first().waitFor();
  await page.keyboard.press("Tab");
  await page.getByRole("option", { name: /ORD-77/ }).waitFor();
  assert.equal(await box.inputValue(), "order.id:");
  await page.keyboard.press("ArrowDown");
  while (!/ORD-77/.test(await page.locator('[role="option"][aria-selected="true"]').innerText())) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.equal(await box.inputValue(), "order.id:ORD-77 ");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=order\.id/);
  assert.equal(await page.locator("[data-row]").count(), 10);
}

// Alt and a click excludes.
export async function altClickExcludes(page, { base }) {
  await page.goto(`${base}/logs`);
  await alive(page);
  await page.locator(".facet a.include").filter({ hasText: "error" }).first().click({ modifiers: ["Alt"] });
  await page.waitForURL((url) => url.searchParams.get("q") === "-level:error");
}

// PromQL is completed, drawn, read out under the pointer, and zoomed by dragging.
export async function metricsAreDrawn(page, { base }) {
  await page.goto(`${base}/metrics/explore`);
  await alive(page);
  const box = page.getByRole("textbox", { name: /PromQL/ }).first();
  await box.pressSequentially("queue_de");
  await page.getByRole("option", { name: /queue_depth/ }).first().waitFor();
  await page.keyboard.press("Tab");
  await box.pressSequentially("{service_n");
  await page.getByRole("option", { name: /service_name/ }).waitFor();
  await page.keyboard.press("Tab");
  await page.getByRole("option", { name: "payment" }).waitFor();
  await page.keyboard.press("Tab");
  await box.pressSequentially("}");
  assert.equal(await box.inputValue(), 'queue_depth_ratio{service_name="payment"}');
  await page.keyboard.press("Control+Enter");
  await page.waitForURL(/q=queue_depth/);
  await alive(page);
  const canvas = await page.locator(".plot-canvas").boundingBox();
  await page.mouse.move(canvas.x + canvas.width * 0.8, canvas.y + canvas.height / 2);
  await page.locator(".plot-read-out").waitFor();
  assert.match(await page.locator(".plot-read-out").innerText(), /\d/);
  await page.mouse.down();
  await page.mouse.move(canvas.x + canvas.width * 0.95, canvas.y + canvas.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.has("start") && url.searchParams.has("end"));
}

// A variable of a dashboard is chosen, a panel opens in its explorer, and the YAML is beside the picture.
export async function dashboardsAreUsed(page, { base }) {
  await page.goto(`${base}/dashboards`);
  await page.getByRole("link", { name: /Service, rate/ }).click();
  await page.waitForURL(/\/dashboards\/service/);
  await alive(page);
  await page.locator('select[name="var-service"]').selectOption("payment");
  await page.waitForURL((url) => url.searchParams.get("var-service") === "payment");
  await alive(page);
  await page.getByRole("link", { name: "Open Newest errors in its explorer" }).click();
  await page.waitForURL(/\/logs\?/);
  assert.match(query(page), /payment/);
  await page.goto(`${base}/dashboards/edit?name=service`);
  const text = page.getByRole("textbox", { name: "The dashboard as YAML" });
  await text.fill("title: Mine\npanels:\n  - title: Lines\n    kind: stat\n    value: sum\n    queries:\n      - search: declined\n");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.locator(".stat-value").filter({ hasText: "10" }).waitFor();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the file" }).click();
  assert.equal((await download).suggestedFilename(), "mine.yaml");
}

// A name in the legend shows its series alone, and again all.
export async function legendsHideAndShow(page, { base }) {
  await page.goto(`${base}/_gallery`);
  await alive(page);
  const plot = page.locator(".tplot").first();
  const second = plot.locator('g[data-series="1"]');
  await plot.getByRole("button").first().click();
  await second.waitFor({ state: "hidden" });
  await plot.getByRole("button").first().click();
  await second.waitFor({ state: "visible" });
}
