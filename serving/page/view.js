// What is shown. Everything that comes from a catalog is set as text, never as markup.

const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

const TRIES = 3;
const RETRY_AFTER_MS = 2000;

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function itemTitle(item) {
  return item.title || item.category || item.item_id;
}

function pictureUrl(item, width) {
  const url = item.image_url;
  return typeof url === "string" && url.startsWith("/v1/") ? `${url}&width=${width}` : null;
}

// A quiet tile for an item without a picture: a letter on a tint that is always the same for the item.
function blank(item) {
  let sum = 0;
  for (const letter of item.item_id) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  const tile = element("span", { class: "blank", "aria-hidden": "true" }, [...itemTitle(item)][0]?.toUpperCase() ?? "?");
  tile.style.setProperty("--tint", String(sum));
  return tile;
}

export function picture(item, { sizes, eager = false }) {
  const small = pictureUrl(item, 256);
  if (small === null) return blank(item);
  const image = element("img", {
    src: pictureUrl(item, 384),
    srcset: `${small} 256w, ${pictureUrl(item, 384)} 384w, ${pictureUrl(item, 768)} 768w`,
    sizes,
    alt: "",
    loading: eager ? "eager" : "lazy",
    decoding: "async",
  });
  image.addEventListener("load", () => image.classList.add("shown"), { once: true });
  let tries = 0; // the search tier makes a few pictures at a time and tells the others to come again
  image.addEventListener("error", () => {
    tries += 1;
    if (tries === TRIES) image.replaceWith(blank(item));
    else setTimeout(() => image.setAttribute("src", image.getAttribute("src")), RETRY_AFTER_MS * tries);
  });
  return image;
}

// Not said twice: many catalogs call an item by its category.
function unlessTitle(name, item) {
  return name.toLowerCase() === itemTitle(item).toLowerCase() ? null : name;
}

function category(item) {
  return unlessTitle(item.category ?? "", item);
}

// “Dresses” of “clothing/dresses”: a card has no room for the way there.
function kind(item) {
  const name = (item.category ?? "").split(/[/>]/).at(-1).trim();
  return unlessTitle(name.charAt(0).toUpperCase() + name.slice(1), item);
}

function facts(item) {
  const price = typeof item.price === "number" ? money.format(item.price) : null;
  const known = [item.brand, category(item) && kind(item)].filter(Boolean).join(" · ");
  return element(
    "span",
    { class: "facts" },
    known ? element("span", { class: "kind" }, known) : null,
    price === null ? null : element("span", { class: "price" }, price),
  );
}

export function card(item, { href, eager }) {
  const score = typeof item.score === "number" ? item.score.toFixed(2) : null;
  const isGone = item.in_stock === false;
  const name = itemTitle(item);
  return element(
    "li",
    {},
    element(
      "a",
      { class: isGone ? "card gone" : "card", href, "data-item": item.item_id },
      element(
        "span",
        { class: "frame" },
        picture(item, { sizes: "(max-width: 560px) 45vw, 220px", eager }),
        score === null
          ? null
          : element("span", { class: "score", title: "Similarity, at most 1.00" }, element("span", { class: "hidden" }, "similarity "), score),
      ),
      element("span", { class: "title" }, name),
      facts(item),
      isGone ? element("span", { class: "stock" }, "Out of stock") : null,
    ),
  );
}

function panel(image, lines, onClear) {
  const clear = element("button", { type: "button", class: "quiet" }, "Clear");
  clear.addEventListener("click", onClear);
  return [element("span", { class: "frame" }, image), element("div", { class: "chosen-text" }, ...lines.filter(Boolean), clear)];
}

export function ownPicture({ url }, { onClear }) {
  const image = element("img", { src: url, alt: "Your picture", class: "shown", id: "query-picture" });
  image.addEventListener("error", () => image.remove(), { once: true });
  return panel(image, [element("p", { class: "eyebrow" }, "Similar to"), element("h2", {}, "Your picture")], onClear);
}

export function chosen(item, { onClear }) {
  const price = typeof item.price === "number" ? money.format(item.price) : null;
  const lines = [category(item), item.brand, item.color, price, item.in_stock === false ? "Out of stock" : null];
  const known = lines.filter(Boolean).join(" · ");
  const text = [
    element("p", { class: "eyebrow" }, "Similar to"),
    element("h2", {}, itemTitle(item)),
    known ? element("p", { class: "chosen-facts" }, known) : null,
    item.description ? element("p", { class: "chosen-description" }, item.description) : null,
  ];
  return panel(picture(item, { sizes: "160px", eager: true }), text, onClear);
}

export function skeletons(count) {
  const one = () =>
    element("li", { "aria-hidden": "true" }, element("span", { class: "card waiting" }, element("span", { class: "frame" }), element("span", { class: "line" }), element("span", { class: "line short" })));
  return Array.from({ length: count }, one);
}

export function message(title, detail, action) {
  const parts = [element("h2", {}, title), element("p", {}, detail)];
  if (action) {
    const button = element("button", { type: "button", class: "quiet" }, action.label);
    button.addEventListener("click", action.run);
    parts.push(button);
  }
  return parts;
}

export function footer({ releaseId, queryId, timings }) {
  const parts = [];
  if (timings) {
    const round = (value) => (value < 10 ? value.toFixed(1) : String(Math.round(value)));
    parts.push(element("span", {}, `encode ${round(timings.encode)} ms · search ${round(timings.search)} ms`));
  }
  if (releaseId) parts.push(element("span", { title: queryId ? `query ${queryId}` : "" }, releaseId));
  parts.push(element("a", { href: "/openapi.json" }, "API"));
  return parts;
}
