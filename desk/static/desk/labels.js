// Select boxes that ask as one types draw an element of their own, without a name; give it the field's.
const nameThem = () => {
  for (const box of document.querySelectorAll("select.admin-autocomplete")) {
    const words = box.labels?.[0]?.textContent.trim().replace(/\s*\*$/, "");
    const drawn = box.parentElement?.querySelector(".select2-selection__rendered:not([aria-label])");
    if (words && drawn) drawn.setAttribute("aria-label", words);
  }
};
addEventListener("DOMContentLoaded", () => {
  nameThem();
  new MutationObserver(nameThem).observe(document.body, { childList: true, subtree: true }); // they are drawn late
});
