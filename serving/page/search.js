// What the page does: the URL says what is looked for, an answer is shown, and only the newest question counts.

import * as view from "./view.js";

const PAGE_SIZE = 24;
const LARGEST_SIDE = 1280; // of a picture that is sent: more only takes longer
const KEPT_PICTURES = 12; // that Back can show again; a browser's memory is not endless
const PICTURE_HINT = matchMedia("(pointer: coarse)").matches
  ? "Or tap the camera to search with a picture."
  : "Or paste or drop a picture anywhere on this page.";
const at = (id) => document.getElementById(id);

const state = { catalogs: [], pictures: new Map(), running: null, shown: PAGE_SIZE, limits: { top_k: PAGE_SIZE }, releaseId: null };

// --- The question, as the URL holds it -------------------------------------------------------------------------------

function question() {
  const parameters = new URLSearchParams(location.search);
  const key = history.state?.picture;
  return {
    catalog: parameters.get("catalog") || state.catalogs.find((one) => one.is_default)?.catalog_id || state.catalogs[0]?.catalog_id,
    text: (parameters.get("q") || "").trim(),
    item: parameters.get("item") || "",
    picture: state.pictures.get(key) ?? null,
    isPictureLost: Boolean(key) && !state.pictures.has(key), // a reload forgets them
  };
}

function address({ catalog, text, item }) {
  const parameters = new URLSearchParams();
  if (catalog) parameters.set("catalog", catalog);
  if (text) parameters.set("q", text);
  if (item) parameters.set("item", item);
  return `/?${parameters}`;
}

function go(target, { picture = null } = {}) {
  state.shown = PAGE_SIZE;
  if (picture) keep(picture);
  history.pushState({ picture: picture?.key ?? null }, "", address(target));
  window.scrollTo({ top: 0 });
  render();
}

// The history outlives a reload and the pictures do not, so a key is never given twice.
function newKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-"); // randomUUID exists on HTTPS only
}

function keep(picture) {
  state.pictures.delete(picture.key); // the newest comes last
  state.pictures.set(picture.key, picture);
  if (state.pictures.size <= KEPT_PICTURES) return;
  const [oldest] = state.pictures.values();
  state.pictures.delete(oldest.key);
  URL.revokeObjectURL(oldest.url);
}

// --- Requests --------------------------------------------------------------------------------------------------------

// An item's address; a browser takes “.” and “..” out of a path, encoded or not.
function itemAddress(item, action, parameters) {
  if (item === "." || item === "..") return `/v1/item${action}?${new URLSearchParams({ item_id: item, ...parameters })}`;
  return `/v1/items/${encodeURIComponent(item)}${action}?${new URLSearchParams(parameters)}`;
}

// How many results are asked for: no more than the server gives at once.
function wanted() {
  return Math.min(state.shown, state.limits.top_k);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The search tier cannot be reached. Check your connection and try again.");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const error = new Error(body?.detail || `The search tier answered with status ${response.status}.`);
    throw Object.assign(error, { status: response.status });
  }
  return body;
}

function search(asked, signal) {
  if (asked.picture) {
    const form = new FormData();
    form.set("image", asked.picture.blob, "picture");
    form.set("catalog", asked.catalog);
    form.set("top_k", String(wanted()));
    return ask("/v1/search", { method: "POST", body: form, signal });
  }
  if (asked.item) {
    return ask(itemAddress(asked.item, "/similar", { catalog: asked.catalog, top_k: String(wanted()) }), { signal });
  }
  if (asked.text) {
    const body = JSON.stringify({ text: asked.text, catalog: asked.catalog, top_k: wanted() });
    return ask("/v1/search", { method: "POST", body, headers: { "content-type": "application/json" }, signal });
  }
  const parameters = new URLSearchParams({ catalog: asked.catalog, limit: String(wanted()) });
  return ask(`/v1/items?${parameters}`, { signal });
}

// --- Showing ---------------------------------------------------------------------------------------------------------

async function render({ isMore = false } = {}) {
  state.running?.abort();
  const running = new AbortController();
  state.running = running;
  const asked = question();
  const catalog = state.catalogs.find((one) => one.catalog_id === asked.catalog);
  showQuestion(asked, catalog);
  if (!catalog) {
    const known = state.catalogs.map((one) => one.title).join(", ");
    const [first] = state.catalogs;
    if (first) fail("There is no such catalog", `“${asked.catalog}” is not live. Live now: ${known}.`, { label: `Go to ${first.title}`, run: () => go({ catalog: first.catalog_id }) });
    else fail("Nothing to search yet", "No catalog is live. Ingest one, and it appears here.", { label: "Look again", run: start });
    return;
  }
  at("results").setAttribute("aria-busy", "true");
  at("message").hidden = true;
  if (!isMore) at("grid").replaceChildren(...view.skeletons(12));
  at("more").hidden = true;
  at("status").textContent = "Searching…";
  try {
    const chosen = asked.item && !isMore ? ask(itemAddress(asked.item, "", { catalog: asked.catalog }), { signal: running.signal }) : null;
    const [answer, item] = await Promise.all([search(asked, running.signal), chosen]);
    if (running.signal.aborted) return;
    if (item) showChosen(view.chosen(item, { onClear: () => clear(asked) }), asked.item);
    showAnswer(answer, asked, catalog, isMore);
  } catch (error) {
    if (error.name !== "AbortError" && !running.signal.aborted) failSearch(error, asked, catalog);
  }
}

function showQuestion(asked, catalog) {
  at("text").value = asked.text;
  at("catalog").value = catalog ? asked.catalog : "";
  const takesQueries = catalog?.space !== "vectors";
  at("text").disabled = !takesQueries;
  at("file").disabled = !takesQueries;
  at("search").classList.toggle("off", !takesQueries);
  at("text").placeholder = takesQueries ? "Describe anything" : "Choose an item below";
  at("hint").textContent = takesQueries ? PICTURE_HINT : "This catalog brings its own vectors, so it has no search by words or pictures.";
  at("chosen").hidden = !asked.picture && !(asked.item && at("chosen").dataset.item === asked.item);
  if (asked.picture) showChosen(view.ownPicture(asked.picture, { onClear: () => clear(asked) }), "");
  const title = catalog?.title ?? "Vitrine";
  const heading = asked.picture ? "Looks like this" : asked.item ? "Similar items" : asked.text ? `“${asked.text}”` : title;
  at("heading").textContent = heading;
  document.title = asked.picture || asked.item || asked.text ? `${heading} · ${title}` : `${title} · Vitrine`;
}

function showChosen(parts, item) {
  const section = at("chosen");
  section.replaceChildren(...parts);
  section.dataset.item = item;
  section.hidden = false;
}

function clear(asked) {
  go({ catalog: asked.catalog });
  at("text").focus();
}

function showAnswer(answer, asked, catalog, isMore) {
  const found = answer.results ?? answer.items;
  const isBrowsing = !asked.picture && !asked.item && !asked.text;
  const cards = found.map((item, place) => view.card(item, { href: address({ catalog: asked.catalog, item: item.item_id }), eager: place < 8 }));
  const before = isMore ? at("grid").children.length : 0;
  at("grid").replaceChildren(...cards);
  if (isMore) at("grid").children[before]?.querySelector("a")?.focus({ preventScroll: true });
  at("results").removeAttribute("aria-busy");
  at("message").removeAttribute("role"); // of an earlier failure; this is none
  const count = catalog.items.toLocaleString();
  if (asked.isPictureLost) at("status").textContent = "Your picture was not kept; choose it again.";
  else at("status").textContent = isBrowsing ? catalog.description || `${count} items` : found.length ? `${found.length} of ${count} items, nearest first` : "";
  at("more").hidden = found.length < wanted() || wanted() >= state.limits.top_k || found.length >= catalog.items;
  state.releaseId = answer.release_id;
  at("footer").replaceChildren(...view.footer({ releaseId: state.releaseId, queryId: answer.query_id, timings: answer.timings_ms }));
  if (!found.length) {
    at("message").replaceChildren(...view.message("Nothing was found", "Try other words, or a picture."));
    at("message").hidden = false;
  }
}

function failSearch(error, asked, catalog) {
  if (asked.item && error.status === 404) {
    fail("This item is gone", "This item is no longer in the catalog.", { label: `Browse ${catalog.title}`, run: () => go({ catalog: asked.catalog }) });
  } else if (asked.picture && [400, 413].includes(error.status) && catalog.space !== "vectors") {
    // The same picture would be refused again.
    fail("That did not work", "This picture could not be read. Choose another JPEG, PNG or WebP.", { label: "Choose another", run: () => at("file").click() });
  } else {
    fail("That did not work", error.message, { label: "Try again", run: () => render() });
  }
}

function fail(title, detail, action) {
  at("results").removeAttribute("aria-busy");
  at("grid").replaceChildren();
  at("chosen").hidden = true;
  at("more").hidden = true;
  at("status").textContent = "";
  at("heading").textContent = "";
  at("footer").replaceChildren(...view.footer({ releaseId: state.releaseId })); // timings are of an answer
  at("message").replaceChildren(...view.message(title, detail, action));
  at("message").setAttribute("role", "alert");
  at("message").hidden = false;
}

// --- Pictures --------------------------------------------------------------------------------------------------------

async function searchWithPicture(file) {
  const asked = question();
  const catalog = state.catalogs.find((one) => one.catalog_id === asked.catalog);
  if (!catalog || catalog.space === "vectors") return;
  if (file.type && !file.type.startsWith("image/")) {
    fail("That is not a picture", `“${file.name}” cannot be searched with. Choose a JPEG, PNG or WebP.`);
    return;
  }
  const blob = await shrunk(file);
  go({ catalog: asked.catalog }, { picture: { key: newKey(), blob, url: URL.createObjectURL(blob) } });
}

// Phones take pictures of ten megabytes; the encoder looks at a few hundred pixels.
async function shrunk(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = LARGEST_SIDE / Math.max(bitmap.width, bitmap.height);
    if (scale >= 1) return file;
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? file), "image/jpeg", 0.92));
  } catch {
    return file; // the search tier says what is wrong with it
  }
}

function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? null;
}

// --- Events ----------------------------------------------------------------------------------------------------------

function listen() {
  at("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value.trim();
    if (text || question().text || question().item) go({ catalog: question().catalog, text });
    at("results").focus({ preventScroll: true }); // lets a phone's keyboard go
  });
  at("catalog").addEventListener("change", (event) => {
    const { text, picture } = question();
    go({ catalog: event.target.value, text: picture ? "" : text }, { picture });
  });
  at("home").addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    go({ catalog: question().catalog });
  });
  at("grid").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-item]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go({ catalog: question().catalog, item: link.dataset.item });
    at("results").focus({ preventScroll: true });
  });
  at("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) searchWithPicture(file);
  });
  at("more").addEventListener("click", () => {
    state.shown += PAGE_SIZE;
    render({ isMore: true });
  });
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    if (file) {
      event.preventDefault();
      searchWithPicture(file);
    }
  });
  let inside = 0; // entering a child fires before leaving its parent
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    inside += 1;
    at("drop").hidden = false;
  });
  document.addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    at("drop").hidden = inside === 0;
  });
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    inside = 0;
    at("drop").hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) searchWithPicture(file);
  });
  window.addEventListener("popstate", () => {
    state.shown = PAGE_SIZE;
    render();
  });
}

async function start() {
  at("grid").replaceChildren(...view.skeletons(12));
  try {
    const { catalogs, limits } = await ask("/v1/catalogs");
    Object.assign(state, { catalogs, limits });
    at("text").maxLength = limits.text_length;
  } catch (error) {
    fail("That did not work", error.message, { label: "Try again", run: start });
    return;
  }
  const options = state.catalogs.map((one) => view.element("option", { value: one.catalog_id }, one.title));
  at("catalog").replaceChildren(view.element("option", { value: "", hidden: true }, "Catalogs"), ...options);
  at("catalog").disabled = state.catalogs.length === 0;
  await render();
}

listen();
start();
