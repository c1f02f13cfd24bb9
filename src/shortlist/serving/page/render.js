// Elements from data. Every text goes in as text, never as markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

export function skeletons(count) {
  const shown = Array.from({ length: Math.min(count, 8) }, () => element("div", { class: "skeleton" }));
  return element("div", { "aria-label": "Loading", role: "status" }, ...shown);
}

export function empty(title, text, ...more) {
  return element("div", { class: "empty" }, element("strong", {}, title), element("p", {}, text), ...more);
}

function tile(title) {
  const words = title.replace(/^(the|a|an|der|die|das|le|la)\s+/i, "").match(/[\p{L}\p{N}]+/gu) || ["?"];
  let hash = 0;
  for (const letter of title) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  const made = element("span", { class: "tile", "aria-hidden": "true" }, words.slice(0, 2).map((w) => [...w][0]).join("").toUpperCase());
  made.style.setProperty("--hue", hash);
  return made;
}

function named(item, note) {
  const title = item.title || String(item.id);
  return element("span", { class: "name" }, title, note, element("small", {}, `id ${item.id}`));
}

export function historyList(items, { open, remove }) {
  return element(
    "ol",
    { class: "items" },
    ...items.map((item) =>
      element(
        "li",
        {},
        element("button", { type: "button", class: "item plain", onclick: () => open(item.id) }, tile(item.title || String(item.id)), named(item)),
        remove && element("button", { type: "button", class: "remove", "aria-label": `Remove ${item.title}`, onclick: () => remove(item.id) }, "×"),
      ),
    ),
  );
}

export function rankedList(items, { open, others, otherName }) {
  const scores = items.map((item) => item.score);
  const high = Math.max(...scores);
  const low = Math.min(...scores);
  return element(
    "ol",
    { class: "items ranked" },
    ...items.map((item, index) => {
      const fill = element("i");
      fill.style.width = `${high > low ? 12 + (88 * (item.score - low)) / (high - low) : 100}%`;
      const only = others && !others.has(String(item.id));
      return element(
        "li",
        {},
        element(
          "button",
          { type: "button", class: "item", onclick: () => open(item.id) },
          element("span", { class: "rank" }, String(index + 1)),
          tile(item.title || String(item.id)),
          named(item, only ? element("span", { class: "only" }, ` not in ${otherName}`) : undefined),
          element("span", { class: "score" }, item.score.toFixed(3), element("span", { class: "bar" }, fill)),
        ),
      );
    }),
  );
}

export function duration(microseconds) {
  return microseconds < 1000 ? `${Math.round(microseconds)} µs` : `${(microseconds / 1000).toFixed(1)} ms`;
}
