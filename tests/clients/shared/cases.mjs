// The same for Node's clients as cases.py beside it: one line of JSON for versions, what was seen, and each case's end.
import { readFileSync } from "node:fs";

export const { BASE_URL, KEY, EMPTY_KEY } = process.env;
export const WRONG_KEY = "sk-tg-" + "0".repeat(33);
export const [CHAT, THINKING, EMBEDDING, UNKNOWN] = ["shop-chat", "shop-thinking", "shop-embedding", "no-such-model"];
export const IMAGE_TOKENS = 256; // what the provider counts for any image
export const IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

const cases = [];
const say = (told) => process.stdout.write(JSON.stringify(told) + "\n");

export const test = (name, act) => cases.push([name, act]);

export function saw(input, output, headers) {
  const told = headers ? { call: headers.get("x-call-id"), charge_usd: headers.get("x-charge-usd") } : {};
  say({ seen: { input, output, ...told } });
}

export function check(truth, ...shown) {
  if (!truth) throw new Error(shown.map((one) => String(JSON.stringify(one)).slice(0, 300)).join(" ") || "not so");
}

export const isWeather = (value) => Object.keys(value).sort().join() === "city,days";

export async function refused(act, kind, status) {
  let answer;
  try {
    answer = await act();
  } catch (error) {
    check(error instanceof kind, error.name, error.message);
    const told = error.status ?? error.statusCode;
    check(told === status, error.name, told, error.message);
    return error;
  }
  throw new Error(`no error, but ${JSON.stringify(answer)}`.slice(0, 300));
}

export async function run(...packages) {
  const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
  say({ versions: Object.fromEntries(packages.map((name) => [name, version(name)])) });
  let failed = 0;
  for (const [name, act] of cases) {
    try {
      await act();
      say({ case: name, ok: true });
    } catch (error) {
      failed += 1;
      const where = String(error.stack).match(/client\.mjs:(\d+)/);
      say({ case: name, ok: false, why: `${error.name}: ${error.message} (line ${where ? where[1] : "?"})` });
    }
  }
  process.exit(failed ? 1 : 0);
}
