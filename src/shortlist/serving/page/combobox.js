// A text field with suggestions, by the ARIA combobox pattern: arrows, Enter, Escape, or a click.

const DELAY = 120;

export function combobox(input, list, { search, choose }) {
  let options = [];
  let active = -1;
  let timer;
  let request;

  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  list.setAttribute("role", "listbox");

  function close() {
    clearTimeout(timer);
    request?.abort();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function mark(index) {
    active = index;
    [...list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === index)));
    const row = list.children[index];
    if (!row || !options.length) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  }

  function show(found) {
    options = found;
    list.replaceChildren(
      ...found.map((option, index) => {
        const row = document.createElement("li");
        row.id = `${list.id}-${index}`;
        row.setAttribute("role", "option");
        row.append(option.label);
        if (option.note) {
          const note = document.createElement("small");
          note.textContent = option.note;
          row.append(note);
        }
        row.addEventListener("pointerdown", (event) => event.preventDefault());
        row.addEventListener("click", () => take(index));
        return row;
      }),
    );
    if (!found.length) {
      const none = document.createElement("li");
      none.className = "none";
      none.textContent = "Nothing begins like that";
      list.append(none);
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(found.length ? 0 : -1);
  }

  async function look() {
    request?.abort();
    const mine = (request = new AbortController());
    try {
      const found = await search(input.value, mine.signal);
      if (!mine.signal.aborted) show(found);
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  }

  function take(index) {
    const option = options[index];
    close();
    if (option) choose(option.value);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, DELAY);
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => list.hidden && look());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const open = !list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return look();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (options.length) mark((active + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (open && active >= 0) take(active);
      else if (input.value.trim()) {
        close();
        choose(input.value.trim());
      }
    } else if (event.key === "Escape") {
      close();
    }
  });
}
