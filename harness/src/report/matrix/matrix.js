"use strict";
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, words, kind) => {
    const element = document.createElement(name);
    element.textContent = words;
    if (kind) element.className = kind;
    return element;
  };
  const form = one(".filters"), table = one(".field"), body = one("tbody", table), dialog = one("dialog");
  const heads = all("th.check", table);
  const rows = all("tr", body).map((element, index) => ({
    element, index, cells: all(".cell", element),
    name: one(".who", element).textContent, language: one(".language", element)?.textContent || "",
    package: one(".package", element).textContent, numbers: all(".number", element).map((cell) => Number(cell.textContent)),
  }));
  const verdict = (cell) => ["fail", "waived", "unseen", "skip", "pass"].find((kind) => cell.classList.contains(kind)) || "none";

  // Filters.
  const show = () => {
    const value = (name) => (form.elements[name] ? form.elements[name].value : "");
    const words = (name) => value(name).toLowerCase().split(/\s+/).filter(Boolean);
    const [daemon, check, verdicts] = [words("daemon"), words("check"), value("verdict").split(" ").filter(Boolean)];
    const fits = (cell) => !verdicts.length || verdicts.includes(verdict(cell));
    const columns = heads.map((head) =>
      (!value("level") || head.dataset.level === value("level"))
      && check.every((word) => head.dataset.check.includes(word) || head.dataset.family.includes(word)));
    const lines = rows.map((row) =>
      (!value("language") || row.language === value("language"))
      && daemon.every((word) => `${row.name} ${row.package}`.toLowerCase().includes(word)));
    if (verdicts.length) {
      rows.forEach((row, at) => { lines[at] &&= row.cells.some((cell, column) => columns[column] && fits(cell)); });
      heads.forEach((head, column) => { columns[column] &&= rows.some((row, at) => lines[at] && row.cells[column] && fits(row.cells[column])); });
    }
    rows.forEach((row, at) => {
      row.element.hidden = !lines[at];
      row.cells.forEach((cell, column) => {
        cell.hidden = !columns[column];
        cell.classList.toggle("faded", !fits(cell));
      });
    });
    heads.forEach((head, column) => { head.hidden = !columns[column]; });
    for (const family of all(".family", table)) {
      const shown = heads.filter((head, column) => columns[column] && head.dataset.family === family.dataset.family).length;
      family.hidden = !shown;
      family.colSpan = shown || 1;
    }
    const count = (list) => list.filter(Boolean).length;
    one("output", form).textContent = `${count(lines)} of ${rows.length} daemons, ${count(columns)} of ${heads.length} checks`;
    focusable();
  };
  form.addEventListener("input", show);
  // The event of a reset comes before the fields have changed; whoever presses the button sees the table at once.
  one("button[type=reset]", form).addEventListener("click", (event) => {
    event.preventDefault();
    form.reset();
    show();
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  // The order of the rows: by a word, a number of failures, or a check's verdicts, the gravest first.
  const weight = (cell) => (cell ? ["fail", "waived", "unseen", "skip", "pass", "none"].indexOf(verdict(cell)) : 9);
  const order = (head) => {
    const column = heads.indexOf(head), level = ["must", "should", "may"].indexOf(head.dataset.sort);
    if (column >= 0) return (a, b) => weight(a.cells[column]) - weight(b.cells[column]);
    if (level >= 0) return (a, b) => (b.numbers[level] ?? -1) - (a.numbers[level] ?? -1);
    return (a, b) => (a[head.dataset.sort] === "") - (b[head.dataset.sort] === "") || a[head.dataset.sort].localeCompare(b[head.dataset.sort]);
  };
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th[data-sort]");
    if (!head) return;
    const again = head.ariaSort === "ascending";
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", again ? "descending" : "ascending");
    const compare = order(head);
    rows.sort((a, b) => (again ? -1 : 1) * compare(a, b) || a.index - b.index);
    body.append(...rows.map((row) => row.element));
  });

  // A cell's case.
  const open = (number, check) => {
    const row = rows.find((other) => other.element.dataset.number === number);
    const cell = row && row.cells.find((other) => other.dataset.check === check);
    if (!cell) return false;
    const parts = [];
    const found = document.getElementById(`case-${number}-${check}`), page = document.getElementById(`page-${check}`);
    if (found) {
      const copy = found.cloneNode(true);
      copy.removeAttribute("id");
      one("h4 a", copy).remove();
      parts.push(copy);
    } else {
      parts.push(make("p", `${cell.ariaLabel}: ${page ? page.closest("details").dataset.title : ""}`));
    }
    if (verdict(cell) !== "none") {
      parts.push(make("p", "Again:", "facts"), make("p", row.element.dataset.before + check + row.element.dataset.after, "again"));
    }
    const start = one(`#daemon-${number} .start`);
    if (start) parts.push(start.cloneNode(true));
    if (page) {
      const details = make("details", "");
      const copy = page.cloneNode(true);
      copy.removeAttribute("id");
      details.append(make("summary", "Why, how to see it by hand, and how to mend it"), copy);
      parts.push(details);
    }
    one("h2", dialog).textContent = `${row.name} · ${check}`;
    one(".body", dialog).replaceChildren(...parts);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    history.replaceState(null, "", `#cell-${number}-${check}`);
    return true;
  };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest(".top button")) dialog.close();
  });
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));

  // The keyboard: one cell can be come to with Tab, the arrows go on from there.
  const cells = () => rows.filter((row) => !row.element.hidden).map((row) => row.cells.filter((cell) => cell.checkVisibility())).filter((line) => line.length);
  let current = null;
  const focusable = () => {
    const shown = cells();
    const first = current && current.checkVisibility() ? current : shown[0] && shown[0][0];
    if (current) current.tabIndex = -1;
    current = first || null;
    if (current) current.tabIndex = 0;
  };
  const go = (cell) => {
    if (current) current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
    cell.focus();
  };
  const chosen = (cell) => open(cell.closest("tr").dataset.number, cell.dataset.check);
  body.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    go(cell);
    chosen(cell);
  });
  body.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return chosen(cell);
    }
    const grid = cells();
    const y = grid.findIndex((line) => line.includes(cell)), x = grid[y].indexOf(cell);
    const clamp = (at, line) => line && line[Math.max(0, Math.min(line.length - 1, at))];
    const to = {
      ArrowLeft: () => clamp(x - 1, grid[y]), ArrowRight: () => clamp(x + 1, grid[y]),
      ArrowUp: () => clamp(x, grid[y - 1]), ArrowDown: () => clamp(x, grid[y + 1]),
      Home: () => grid[y][0], End: () => clamp(Infinity, grid[y]),
      PageUp: () => clamp(x, grid[Math.max(0, y - 10)]), PageDown: () => clamp(x, grid[Math.min(grid.length - 1, y + 10)]),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const next = to();
    if (next) go(next);
  });
  // Which column that is.
  const at = (event) => {
    const cell = event.target.closest(".cell");
    const check = cell && cell.dataset.check;
    heads.forEach((head) => head.classList.toggle("at", head.dataset.check === check));
  };
  body.addEventListener("mouseover", at);
  body.addEventListener("focusin", at);

  // A link leads into what is folded.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const target = link && document.getElementById(link.hash.slice(1));
    if (!target) return;
    if (target.matches(".prose")) {
      event.preventDefault();
      const copy = target.cloneNode(true);
      copy.removeAttribute("id");
      one("h2", dialog).textContent = link.hash.slice("#page-".length);
      one(".body", dialog).replaceChildren(copy);
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
    } else if (target.matches("details")) {
      target.open = true;
    }
  });
  const follow = () => {
    const [, number, check] = location.hash.match(/^#cell-(\d+)-(.+)$/) || [];
    if (number) open(number, check);
  };
  addEventListener("hashchange", follow);
  addEventListener("resize", focusable);

  document.documentElement.classList.add("script");
  form.hidden = false;
  show();
  follow();
})();
