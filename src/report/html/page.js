"use strict";
(() => {
  const table = document.getElementById("machines");
  const rows = table ? Array.from(table.tBodies) : [];
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const filters = Array.from(document.querySelectorAll("button[data-verdict]"));
  const number = new Intl.NumberFormat("en-US");

  // Search: names, folders, reasons, disks; worked out once, on first use.
  let texts = null;
  const textOf = (row) => {
    texts ??= new Map(rows.map((r) => {
      const disks = Array.from(r.querySelectorAll(".path"), (e) => e.textContent).join(" ");
      return [r, (r.rows[0].textContent + " " + disks).toLowerCase()];
    }));
    return texts.get(row);
  };

  const apply = () => {
    const words = search ? search.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
    const on = new Set(filters.filter((b) => b.getAttribute("aria-pressed") === "true")
      .map((b) => b.dataset.verdict));
    let count = 0;
    for (const row of rows) {
      const match = (on.size === 0 || on.has(row.dataset.verdict))
        && words.every((w) => textOf(row).includes(w));
      row.hidden = !match;
      if (match) count += 1;
    }
    if (shown) {
      shown.textContent = count === rows.length ? `all ${number.format(count)} machines`
        : `${number.format(count)} of ${number.format(rows.length)} machines`;
    }
    const none = document.getElementById("none");
    if (none) none.hidden = count > 0;
  };

  for (const button of filters) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  if (search) {
    let wait = 0;
    search.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(apply, 80);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        search.focus();
      } else if (event.key === "Escape" && document.activeElement === search) {
        search.value = "";
        apply();
      }
    });
  }

  const open = (row, wanted) => {
    row.classList.toggle("open", wanted);
    row.querySelector(".name button").setAttribute("aria-expanded", String(wanted));
  };
  const copy = async (button) => {
    const text = button.parentElement.querySelector("code").textContent;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch (e) {
      // No clipboard for this page: select, so that the usual keys copy it.
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("code"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "copied" : "selected";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("copy")) copy(button);
    if (button.parentElement.classList.contains("name")) {
      const row = button.closest("tbody");
      open(row, !row.classList.contains("open"));
    }
  });
  const all = document.getElementById("all");
  if (all) {
    all.addEventListener("click", () => {
      const wanted = all.getAttribute("aria-pressed") !== "true";
      all.setAttribute("aria-pressed", String(wanted));
      all.textContent = wanted ? "Close all" : "Open all";
      for (const row of rows) if (!row.hidden) open(row, wanted);
    });
  }

  const collator = new Intl.Collator("en", { numeric: true });
  const order = (key, a, b) => key === "name" || key === "route"
    ? collator.compare(a.dataset[key], b.dataset[key])
    : Number(a.dataset[key]) - Number(b.dataset[key]);
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const key = button.dataset.key;
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const th of head.parentElement.children) th.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => (down ? -1 : 1) * order(key, a, b)
        || Number(a.dataset.n) - Number(b.dataset.n));
      table.append(...rows);
    });
  }

  const theme = document.getElementById("theme");
  if (theme) {
    theme.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("vmglean-theme", root.dataset.theme); } catch (e) { /* as above */ }
    });
  }
  apply();
})();
