// Runs before anything is drawn (it is not deferred), so that no page flashes in the wrong theme.
// The choice is kept by the browser: "light", "dark", or nothing for what the system says.
(() => {
  document.documentElement.classList.add("scripted"); // what needs scripts is shown only with them
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem("tollgate-theme") || "system"; } catch { return "system"; }
  };
  const apply = () => {
    const choice = chosen();
    const theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.classList.toggle("dark-mode", theme === "dark"); // Swagger UI's name for it
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-theme-choice]");
      if (!button) return;
      try { localStorage.setItem("tollgate-theme", button.dataset.themeChoice); } catch { /* private windows may refuse */ }
      apply();
    });
  });
})();
