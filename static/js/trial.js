// "Send a test request": one call through the gateway, as any program makes it, with the key that this page shows once.
// What comes back is text and stays text. The key is read from the page and goes nowhere but into the call's header.

const HELLO = "Say hello in one short sentence.";
const box = document.querySelector("[data-try]");

const call = async () => {
  const answer = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: {
      Authorization: `Bearer ${document.querySelector(box.dataset.try).textContent.trim()}`,
      "Content-Type": "application/json",
    },
    credentials: "omit",
    body: JSON.stringify({ model: box.dataset.model, max_tokens: 100, messages: [{ role: "user", content: HELLO }] }),
  });
  const said = await answer.json().catch(() => ({}));
  return { status: answer.status, said, id: answer.headers.get("x-call-id"), charge: answer.headers.get("x-charge-usd") };
};

const show = ({ status, said, id, charge }) => {
  const fine = status === 200;
  const find = (name) => box.querySelector(`[data-${name}]`);
  find("answer").hidden = false;
  find("answer").classList.toggle("try-bad", !fine);
  find("said").textContent = fine ? said.choices?.[0]?.message?.content ?? "" : said.error?.message ?? "The gateway could not be reached. Try again.";
  const usage = said.usage ?? {};
  find("told").textContent = fine
    ? `${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out, $${charge}`
    : `${status ? `Answered with ${status}. ` : ""}Nothing was charged.`;
  find("receipt").hidden = !fine || !id;
  if (id) find("receipt").href = `${box.dataset.receipts}${encodeURIComponent(id)}/`;
  const credit = find("credit");
  if (credit) credit.hidden = status !== 402;
};

box?.querySelector("[data-send]").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    show(await call());
  } catch {
    show({ status: 0, said: {} });
  }
  button.removeAttribute("aria-busy");
  button.disabled = false;
});
