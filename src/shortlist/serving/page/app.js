// The page: what is asked for stands in the address, and everything shown follows from it.

import { api, ApiError, setKey } from "./api.js";
import { combobox } from "./combobox.js";
import { duration, element, empty, historyList, rankedList, skeletons } from "./render.js";

const at = (id) => document.getElementById(id);
const LIKED = 3;
let running;
let drawerRequest;

function readAddress() {
  const given = new URLSearchParams(location.search);
  const k = Number.parseInt(given.get("k") ?? "10", 10);
  return {
    user: given.get("user"),
    films: given.getAll("film"),
    fresh: given.has("new") || given.has("film"),
    k: Math.min(Number.isInteger(k) && k >= 1 ? k : 10, Number(at("k").max) || Infinity),
    seen: given.get("seen") !== "keep",
    exact: given.get("exact") === "yes",
    item: given.get("item"),
  };
}

let state = readAddress();

function address() {
  const shown = new URLSearchParams();
  if (state.fresh) {
    shown.set("new", "yes");
    state.films.forEach((film) => shown.append("film", film));
  } else if (state.user !== null) shown.set("user", state.user);
  if (state.k !== 10) shown.set("k", state.k);
  if (!state.seen) shown.set("seen", "keep");
  if (state.exact) shown.set("exact", "yes");
  if (state.item !== null) shown.set("item", state.item);
  const text = shown.toString();
  return text ? `?${text}` : location.pathname;
}

function change(part) {
  state = { ...state, ...part };
  history.pushState(null, "", address());
  show();
}

function notice(error) {
  const box = at("notice");
  if (!error) return (box.hidden = true);
  const parts = [element("p", {}, error.message)];
  if (error.status === 401) {
    const field = element("input", { type: "password", "aria-label": "Key", placeholder: "Key", autocomplete: "off" });
    const use = () => {
      setKey(field.value);
      start();
    };
    field.addEventListener("keydown", (event) => event.key === "Enter" && use());
    parts.push(field, element("button", { type: "button", class: "button", onclick: use }, "Use this key"));
  } else parts.push(element("button", { type: "button", class: "button", onclick: start }, "Try again"));
  box.replaceChildren(...parts);
  box.hidden = false;
}

function showControls() {
  at("mode-user").setAttribute("aria-pressed", String(!state.fresh));
  at("mode-new").setAttribute("aria-pressed", String(state.fresh));
  at("picker-user").hidden = state.fresh;
  at("picker-new").hidden = !state.fresh;
  at("user").value = state.user ?? "";
  at("film").value = "";
  at("k").value = state.k;
  at("seen").checked = state.seen;
  at("exact").setAttribute("aria-pressed", String(state.exact));
  at("approximate").setAttribute("aria-pressed", String(!state.exact));
}

async function showNobody() {
  at("history").replaceChildren(empty("Nobody yet", state.fresh ? "What they like is shown here." : "What the user has had is shown here."));
  at("compare").replaceChildren();
  if (state.fresh) {
    at("recommendations").replaceChildren(empty("Who is new?", `Pick ${LIKED} titles they like, and see what they are offered.`));
    return;
  }
  const box = element("div", { class: "chips" });
  at("recommendations").replaceChildren(empty("Pick a user", "Type an id above, or begin with one of these.", box));
  const { users } = await api.users("", 8);
  box.append(...users.map((user) => element("button", { type: "button", class: "button", onclick: () => change({ user: String(user) }) }, String(user))));
}

function showHistory(items, total) {
  const title = at("history-title");
  title.textContent = state.fresh ? "They like" : "History";
  if (total) title.append(element("span", { class: "count" }, total > items.length ? `latest ${items.length} of ${total}` : String(total)));
  if (!items.length) {
    at("history").replaceChildren(empty("No history", "Nothing is recorded for this user."));
    return;
  }
  const remove = state.fresh ? (id) => change({ films: state.films.filter((film) => film !== String(id)) }) : undefined;
  at("history").replaceChildren(historyList(items, { open: openItem, remove }));
}

function showCompared(mine, other) {
  const tuned = state.exact ? other : mine;
  const exact = state.exact ? mine : other;
  const exactIds = new Set(exact.items.map((item) => String(item.id)));
  const shared = tuned.items.filter((item) => exactIds.has(String(item.id))).length;
  at("compare").replaceChildren(
    "as tuned ", element("b", {}, duration(tuned.search_microseconds)),
    " · exact ", element("b", {}, duration(exact.search_microseconds)),
    " · ", element("span", { class: shared === exact.items.length ? "all" : "some" }, `${shared} of ${exact.items.length} the same`),
  );
}

async function show() {
  running?.abort();
  const { signal } = (running = new AbortController());
  showControls();
  notice(null);
  try {
    if (state.item !== null) showItem(state.item);
    else at("drawer").close();
    if (state.fresh ? !state.films.length : state.user === null) return await showNobody();
    at("history").replaceChildren(skeletons(5));
    at("recommendations").replaceChildren(skeletons(state.k));
    at("compare").replaceChildren();
    const asked = { k: state.k, exclude_seen: state.seen };
    if (state.fresh) asked.history = state.films;
    else asked.user_id = state.user;
    const known = state.fresh
      ? Promise.all(state.films.map((film) => api.item(film, signal))).then((films) => ({ history: films, total: films.length }))
      : api.user(state.user, signal);
    const [person, mine, other] = await Promise.all([
      known,
      api.recommend({ ...asked, exact: state.exact }, signal),
      api.recommend({ ...asked, exact: !state.exact }, signal),
    ]);
    showHistory(person.history, person.total);
    const others = new Set(other.items.map((item) => String(item.id)));
    const otherName = state.exact ? "as tuned" : "exact";
    at("recommendations").replaceChildren(
      mine.items.length
        ? rankedList(mine.items, { open: openItem, others, otherName })
        : empty("Nothing left to recommend", "Everything has been had or is left out."),
    );
    showCompared(mine, other);
    document.title = `${state.fresh ? "Somebody new" : `User ${state.user}`} · Shortlist`;
  } catch (error) {
    if (error.name === "AbortError") return;
    at("history").replaceChildren();
    at("recommendations").replaceChildren(empty("Nothing to show", "The reason stands above."));
    notice(error instanceof ApiError ? error : new ApiError(0, `The page failed: ${error.message}`));
  }
}

function openItem(id) {
  change({ item: String(id) });
}

async function showItem(id) {
  drawerRequest?.abort();
  const { signal } = (drawerRequest = new AbortController());
  const drawer = at("drawer");
  at("drawer-title").textContent = "…";
  at("drawer-details").replaceChildren();
  at("drawer-similar").replaceChildren(skeletons(5));
  if (!drawer.open) drawer.showModal();
  try {
    const [item, similar] = await Promise.all([api.item(id, signal), api.similar(id, signal)]);
    at("drawer-title").textContent = item.title || String(item.id);
    const details = { id: item.id, ...item.details };
    at("drawer-details").replaceChildren(
      ...Object.entries(details).flatMap(([name, value]) => [
        element("dt", {}, name),
        element("dd", {}, Array.isArray(value) ? value.join(", ") : String(value ?? "–")),
      ]),
    );
    at("drawer-similar").replaceChildren(rankedList(similar.items, { open: openItem }));
  } catch (error) {
    if (error.name === "AbortError") return;
    at("drawer-title").textContent = "Not found";
    at("drawer-similar").replaceChildren(empty("No such item", error.message));
  }
}

async function start() {
  notice(null);
  try {
    const model = await api.model();
    at("k").max = model.limits.k;
    state = readAddress(); // again, within the limit
    const facts = [
      ["candidates", model.candidates.toLocaleString("en")],
      ["users", model.users.toLocaleString("en")],
      ["dimensions", model.dimensions],
      ["version", model.version],
    ];
    at("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
    await show();
  } catch (error) {
    notice(error);
  }
}

combobox(at("user"), at("user-options"), {
  search: async (text, signal) => (await api.users(text, 12, signal)).users.map((user) => ({ value: String(user), label: String(user) })),
  choose: (user) => change({ user, item: null }),
});
combobox(at("film"), at("film-options"), {
  search: async (text, signal) =>
    (await api.items(text, 12, signal)).items.map((item) => ({ value: String(item.id), label: item.title || String(item.id), note: `id ${item.id}` })),
  choose: (film) => change({ films: [...state.films.filter((other) => other !== film), film].slice(-LIKED) }),
});
at("mode-user").addEventListener("click", () => change({ fresh: false }));
at("mode-new").addEventListener("click", () => {
  change({ fresh: true });
  at("film").focus();
});
at("k").addEventListener("change", (event) => {
  const k = Math.min(Number(at("k").max), Math.max(1, Math.round(event.target.valueAsNumber) || 10));
  change({ k });
});
at("seen").addEventListener("change", (event) => change({ seen: event.target.checked }));
at("exact").addEventListener("click", () => change({ exact: true }));
at("approximate").addEventListener("click", () => change({ exact: false }));
at("drawer-close").addEventListener("click", () => change({ item: null }));
at("drawer").addEventListener("cancel", (event) => {
  event.preventDefault();
  change({ item: null });
});
at("drawer").addEventListener("click", (event) => event.target === at("drawer") && change({ item: null }));
addEventListener("popstate", () => {
  state = readAddress();
  show();
});
start();
