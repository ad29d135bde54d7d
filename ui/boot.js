// Wakes the islands of a page: loads the bundle whose address the page gives, then each island in turn.
const glue = document.querySelector("script[data-glue]").dataset.glue;
const bundle = await import(glue);
await bundle.default({ module_or_path: glue.replace(/mangru_ui\.js$/, "mangru_ui_bg.wasm") });
bundle.hydrate();
for (const island of document.querySelectorAll("leptos-island")) {
  const wake = bundle[island.dataset.component];
  if (wake) wake(island);
  else console.warn("this page and its bundle are from different builds:", island.dataset.component);
}
