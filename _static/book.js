// Opens what is folded where the reader was sent: a check's code, or a term that was searched for.
const reveal = () => {
  for (const folded of document.querySelectorAll(":target > details")) folded.open = true;
  for (const found of document.querySelectorAll("details:not([open]) .highlighted"))
    for (let at = found.closest("details"); at; at = at.parentElement.closest("details"))
      at.open = true;
};
addEventListener("load", () => setTimeout(reveal, 20)); // Sphinx marks the terms in the meantime
addEventListener("hashchange", reveal);
