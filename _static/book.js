// What a page of the book does, in place of the theme's scripts: these measure every box of a page
// while it loads, and bring a framework for two buttons.
const all = (selector) => [...document.querySelectorAll(selector)];
const root = document.documentElement;

// Light, dark, or as the system says. The page's head has applied what was chosen before.
const system = matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  const mode = root.dataset.mode;
  root.dataset.theme = mode === "auto" ? (system.matches ? "dark" : "light") : mode;
};
system.addEventListener("change", paint);
for (const button of all(".theme-switch-button"))
  button.addEventListener("click", () => {
    const modes = system.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    root.dataset.mode = modes[(modes.indexOf(root.dataset.mode) + 1) % 3];
    localStorage.setItem("mode", root.dataset.mode);
    paint();
  });

// Boxes above the page: search, and on narrow screens the two lists of contents.
const open = (dialog) => {
  dialog.showModal();
  dialog.onclick = ({ target }) => {
    if (target === dialog || target.closest("a[href]")) dialog.close();
  };
  dialog.onkeydown = ({ key }) => {
    if (key === "Escape") dialog.close();
  };
};
const search = () => {
  const field = document.querySelector(".bd-search-container input");
  const dialog = document.querySelector("#pst-search-dialog");
  if (field) field.focus();
  else if (dialog.open) dialog.close();
  else open(dialog);
};
for (const button of all(".search-button__button")) button.addEventListener("click", search);
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key === "k") {
    event.preventDefault();
    search();
  }
});
const move = (from, to) => {
  to.append(...from.childNodes);
  to.classList.add(...from.classList);
  from.className = "";
};
for (const side of ["primary", "secondary"]) {
  const bar = document.querySelector(`#pst-${side}-sidebar`);
  const dialog = document.querySelector(`#pst-${side}-sidebar-modal`);
  for (const button of all(`.${side}-toggle`))
    button.addEventListener("click", () => {
      if (side === "primary" && matchMedia("(min-width: 992px)").matches) {
        bar.classList.toggle("pst-sidebar-hidden");
        return;
      }
      move(bar, dialog);
      open(dialog);
      dialog.addEventListener("close", () => move(dialog, bar), { once: true });
    });
}

// The list of contents marks the section that is being read.
const entries = new Map(all("#pst-page-toc-nav a").map((link) => {
  const section = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  return [section?.querySelector("h1, h2, h3, h4, h5, h6"), link];
}));
const reading = new IntersectionObserver((seen) => {
  const heading = seen.filter((entry) => entry.isIntersecting).pop()?.target;
  if (!heading) return;
  for (const link of entries.values()) link.removeAttribute("aria-current");
  entries.get(heading).setAttribute("aria-current", "true");
  for (const item of all(".toc-entry"))
    item.classList.toggle("active", item.contains(entries.get(heading)));
}, { rootMargin: "0px 0px -70% 0px" });
for (const heading of entries.keys()) if (heading) reading.observe(heading);

// What scrolls in itself can be reached by keyboard. Measured when it comes near, all at once.
const scrollers = new IntersectionObserver((seen) => {
  const near = seen.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
  const wide = near.map((box) => box.scrollWidth > box.clientWidth);
  near.forEach((box, i) => wide[i] ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex"));
}, { rootMargin: "50% 0px" });
all("pre, .formula, .text_html, .pst-scrollable-table-container").forEach((box) => scrollers.observe(box));

// What is folded opens where the reader was sent: a check's code, a term that was searched for.
const reveal = () => {
  for (const folded of all(":target > details")) folded.open = true;
  for (const found of all("details:not([open]) .highlighted"))
    for (let at = found.closest("details"); at; at = at.parentElement.closest("details"))
      at.open = true;
};
addEventListener("load", () => setTimeout(reveal, 20)); // Sphinx marks the terms in the meantime
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => all("details").forEach((folded) => { folded.open = true; }));
