// The playground. What a model says is text and stays text; the key lives in this module's memory and nowhere else.

const root = document.getElementById("playground");
const find = (selector) => root.querySelector(selector);
const form = find("[data-composer]");
const box = find("[name=message]");
const stop = find("[data-stop]");
const send = find("[data-send]");
const compare = find("[name=compare]");
const panes = [...root.querySelectorAll("[data-pane]")];
const histories = new Map(panes.map((pane) => [pane, []]));
let pass = null;
let controller = null;

const say = (text) => { document.getElementById("voice").textContent = text; };
const active = () => panes.filter((pane) => !pane.hidden);
const modelOf = (pane) => pane.querySelector("select").value;
const number = (name) => { const text = find(`[name=${name}]`).value.trim(); return text === "" ? null : Number(text); };

const bodyFor = (pane) => {
  const system = find("[name=system]").value.trim();
  const body = { model: modelOf(pane), messages: [...(system ? [{ role: "system", content: system }] : []), ...histories.get(pane)] };
  for (const name of ["temperature", "top_p", "max_tokens"]) {
    const value = number(name);
    if (value !== null && Number.isFinite(value)) body[name] = value;
  }
  if (find("[name=stream]").checked) Object.assign(body, { stream: true, stream_options: { include_usage: true } });
  return body;
};

const freshKey = async () => {
  if (pass && new Date(pass.expires_at) - Date.now() > 60_000) return pass.key;
  const answer = await fetch(root.dataset.keyUrl, {
    method: "POST",
    headers: { "X-CSRFToken": find("[name=csrfmiddlewaretoken]").value },
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? "No key could be made. Load the page again.");
  pass = said;
  return pass.key;
};

const bubble = (pane, role) => {
  const item = document.createElement("li");
  item.className = `bubble bubble-${role}`;
  const who = document.createElement("b");
  who.textContent = role === "user" ? "You" : modelOf(pane);
  const text = document.createElement("div");
  text.className = "bubble-text";
  const note = document.createElement("small");
  note.className = "bubble-note num";
  item.append(who, text, note);
  const log = pane.querySelector("[data-log]");
  pane.querySelector("[data-blank]").hidden = true;
  log.append(item);
  item.scrollIntoView({ block: "nearest" });
  return { item, text, note };
};

const show = (line, sentence) => {
  line.item.classList.add("bubble-bad");
  line.text.textContent = sentence;
};

const readStream = async (answer, line) => {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let said = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return said;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const text of lines) {
      if (!text.startsWith("data:")) continue;
      const payload = text.slice(5).trim();
      if (payload === "[DONE]" || payload === "") continue;
      const event = JSON.parse(payload);
      if (event.error) throw new Error(event.error.message ?? "The answer broke off.");
      said += event.choices?.[0]?.delta?.content ?? "";
      line.text.textContent = said;
    }
  }
};

const dollars = (usd) => `$${usd}`;
const charge = async (callId, line) => {
  for (let tries = 0; tries < 8; tries += 1) {
    const answer = await fetch(`${root.dataset.chargeUrl}?call=${encodeURIComponent(callId)}`);
    if (answer.ok) {
      const told = await answer.json();
      line.note.textContent = `${told.input_tokens} tokens in, ${told.output_tokens} out, ${dollars(told.charge_usd)}`;
      find("[data-available]").textContent = told.available;
      return;
    }
    await new Promise((resolve) => { setTimeout(resolve, 250 * (tries + 1)); });
  }
  line.note.textContent = "The charge will be on its receipt.";
};

const ask = async (pane, signal) => {
  const line = bubble(pane, "assistant");
  line.text.textContent = "…";
  let callId = null;
  let said = "";
  try {
    const key = await freshKey();
    const answer = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify(bodyFor(pane)),
      credentials: "omit",
      signal,
    });
    callId = answer.headers.get("x-call-id");
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      if (answer.status === 401) pass = null;
      throw new Error(told.error?.message ?? `The call was refused (${answer.status}).`);
    }
    line.text.textContent = "";
    if (answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      said = await readStream(answer, line);
    } else {
      const whole = await answer.json();
      said = whole.choices?.[0]?.message?.content ?? "";
      line.text.textContent = said;
      const cost = answer.headers.get("x-charge-usd");
      if (cost) line.note.textContent = `${whole.usage.prompt_tokens} tokens in, ${whole.usage.completion_tokens} out, ${dollars(cost)}`;
    }
    if (!said) line.text.textContent = "(an answer without text)";
    histories.get(pane).push({ role: "assistant", content: said });
  } catch (error) {
    if (error.name === "AbortError") {
      said = line.text.textContent;
      if (said === "…") line.text.textContent = "";
      if (said && said !== "…") histories.get(pane).push({ role: "assistant", content: said });
      line.note.textContent = "Stopped. What was written is charged.";
    } else {
      show(line, error.message);
      histories.get(pane).pop();
    }
  }
  if (callId) await charge(callId, line).catch(() => {});
};

const busy = (on) => {
  send.disabled = on;
  stop.hidden = !on;
  root.setAttribute("aria-busy", String(on));
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text || send.disabled) return;
  box.value = "";
  busy(true);
  controller = new AbortController();
  for (const pane of active()) {
    bubble(pane, "user").text.textContent = text;
    histories.get(pane).push({ role: "user", content: text });
  }
  await freshKey().catch(() => {});
  await Promise.all(active().map((pane) => ask(pane, controller.signal)));
  busy(false);
  say("The answer is complete");
  box.focus();
  code();
});
stop.addEventListener("click", () => controller?.abort());
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
});
find("[data-clear]").addEventListener("click", () => {
  for (const pane of panes) {
    histories.get(pane).length = 0;
    pane.querySelector("[data-log]").replaceChildren();
    pane.querySelector("[data-blank]").hidden = false;
  }
  say("The conversation is cleared");
  code();
});
compare.addEventListener("change", () => {
  panes[1].hidden = !compare.checked;
  root.querySelector("[data-panes]").dataset.count = String(active().length);
});

// Show as code: the very body that would be sent, in the languages of the snippets.
const code = () => {
  const body = bodyFor(panes[0]);
  if (!body.messages.some((message) => message.role === "user")) body.messages.push({ role: "user", content: box.value.trim() || "Say hello" });
  const base = root.dataset.base;
  const json = JSON.stringify(body, null, 2);
  find("[data-as=curl]").textContent = `curl ${base}/v1/chat/completions \\\n  -H "Authorization: Bearer YOUR_API_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${json.replaceAll("'", "'\\''")}'`;
  const python = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value)},`).join("\n");
  find("[data-as=python]").textContent = `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}/v1", api_key="YOUR_API_KEY")\nanswer = client.chat.completions.create(\n${python}\n)`;
};
const literal = (value) => {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
  return JSON.stringify(value);
};
root.addEventListener("input", code);
root.addEventListener("change", code);
code();
