// The small manners of every page. Each works on markup from templates/components/ and adds to what HTML does alone.

const say = (text) => {
  const voice = document.getElementById("voice");
  if (voice) voice.textContent = text;
};

// Copy: <button data-copy="#id"> or data-copy-text="…"
const textOf = (button) => {
  if (button.dataset.copyText) return button.dataset.copyText;
  const shown = [...document.querySelectorAll(button.dataset.copy)].find((element) => !element.closest("[hidden]"));
  return shown ? (shown.value ?? shown.textContent).trim() : "";
};
const copied = (button) => {
  const label = button.querySelector("[data-label]");
  const before = button.dataset.before ?? label?.textContent;
  button.dataset.before = before ?? "";
  button.dataset.done = "true";
  if (label) label.textContent = "Copied";
  say("Copied to the clipboard");
  setTimeout(() => {
    delete button.dataset.done;
    if (label) label.textContent = button.dataset.before;
  }, 1800);
};
const copy = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (!button) return;
  await copy(textOf(button));
  copied(button);
});

// Menus are <details class="menu">: one open at a time, closed by Escape or a click elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// Tabs: arrows move, Home and End jump (WAI-ARIA tabs pattern).
const choose = (tab) => {
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
};
document.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) choose(tab);
});
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[role=tab]");
  if (!tab) return;
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  const at = tabs.indexOf(tab);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const target = tabs[(next + tabs.length) % tabs.length];
  choose(target);
  target.focus();
});

// Passwords: show and hide, and a hint of strength. A hint: the server decides.
const level = (password) => {
  if (!password) return 0;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(password)).length;
  const varied = new Set(password).size;
  if (password.length < 10 || varied < 5) return 1;
  if (password.length >= 20 || (password.length >= 14 && kinds >= 3)) return 4;
  return password.length >= 14 || kinds >= 3 ? 3 : 2;
};
const words = ["", "Too short or too simple", "Fair: longer is better", "Good", "Strong"];
for (const box of document.querySelectorAll("[data-reveal]")) {
  const input = box.querySelector("input");
  const button = box.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
    button.setAttribute("aria-label", shown ? "Show password" : "Hide password");
  });
}
for (const meter of document.querySelectorAll("[data-strength-of]")) {
  const input = document.getElementById(meter.dataset.strengthOf);
  const text = meter.nextElementSibling;
  input?.addEventListener("input", () => {
    const found = level(input.value);
    meter.dataset.level = String(found);
    text.textContent = words[found];
  });
}

// A button that waits: <button data-wait-s="30"> counts down before it can be pressed.
for (const button of document.querySelectorAll("[data-wait-s]")) {
  const label = button.textContent.trim();
  let left = Number(button.dataset.waitS);
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `${label} (${left} s)` : label;
    if (left > 0) { left -= 1; setTimeout(tick, 1000); }
  };
  tick();
}

// Typed confirmation: the button wakes when the words match. The server checks again.
for (const input of document.querySelectorAll("[data-must-equal]")) {
  const button = input.form.querySelector("[type=submit]");
  const check = () => { button.disabled = input.value.trim() !== input.dataset.mustEqual; };
  input.addEventListener("input", check);
  check();
}

// A secret on the page: leaving before "I saved it" asks once.
const saved = document.querySelector("[data-saved-gate]");
if (saved) {
  const ask = (event) => event.preventDefault();
  window.addEventListener("beforeunload", ask);
  document.querySelector(saved.dataset.savedGate).addEventListener("click", () => window.removeEventListener("beforeunload", ask));
}

// Forms are sent once.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  event.target.dataset.sent = "true";
  setTimeout(() => { delete event.target.dataset.sent; }, 4000);
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// allauth's passkey scripts announce what went wrong; say it where people look.
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const box = document.getElementById("trouble");
  if (!box) return;
  const stopped = event.detail.exception?.name === "NotAllowedError";
  box.querySelector("[data-text]").textContent = stopped
    ? "The passkey was not used: the browser stopped waiting, or you cancelled. Try again when you are ready."
    : "The passkey could not be used here. Try again, or choose another way.";
  box.hidden = false;
});

// A time-zone field that is empty learns the browser's zone.
for (const field of document.querySelectorAll("[data-suggest-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && zone !== field.value) field.querySelector("[data-zone]").textContent = zone;
}

// Print what is on the page.
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
