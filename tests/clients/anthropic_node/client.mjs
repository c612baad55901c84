// Anthropic's own SDK for Node.
import Anthropic from "@anthropic-ai/sdk";
import { BASE_URL, CHAT, EMPTY_KEY, IMAGE, IMAGE_TOKENS, KEY, THINKING, UNKNOWN, WEATHER, WRONG_KEY, check, isWeather, refused, run, saw, test } from "./cases.mjs";

const opened = (apiKey) => new Anthropic({ baseURL: BASE_URL, apiKey, maxRetries: 0 });
const client = opened(KEY);
const tools = [{ name: "get_weather", description: "The weather", input_schema: WEATHER }];
const said = (content, more) => ({ model: CHAT, max_tokens: 200, messages: [{ role: "user", content }], ...more });

function counted({ usage }, headers) {
  const cached = (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  saw(usage.input_tokens + cached, usage.output_tokens, headers);
}

test("chat", async () => {
  const { data, response } = await client.messages.create(said("Say hello", { system: "Be brief" })).withResponse();
  check(data.content[0].text && data.model === CHAT, data);
  counted(data, response.headers);
});

test("stream", async () => {
  const stream = client.messages.stream(said("Count"));
  let text = "";
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  check(text.startsWith("This is the sandbox") && final.content[0].text === text, final);
  counted(final);
});

test("tool", async () => {
  const first = said("Use the tool get_weather", { tools });
  const answer = await client.messages.create(first);
  const call = answer.content.find((block) => block.type === "tool_use");
  check(answer.stop_reason === "tool_use" && isWeather(call.input), answer);
  counted(answer);
  const result = { type: "tool_result", tool_use_id: call.id, content: "sunny" };
  const turns = [{ role: "assistant", content: answer.content }, { role: "user", content: [result] }];
  const after = await client.messages.create({ ...first, messages: [...first.messages, ...turns] });
  check(after.content[0].text, after);
  counted(after);
});

test("tools in parallel", async () => {
  const final = await client.messages.stream(said("Use the tool get_weather, in parallel", { tools })).finalMessage();
  check(final.content.filter((block) => block.type === "tool_use" && isWeather(block.input)).length === 2, final);
  counted(final);
});

test("structured output", async () => {
  const output_config = { format: { type: "json_schema", schema: WEATHER } };
  const answer = await client.messages.create(said("The weather", { output_config }));
  check(isWeather(JSON.parse(answer.content[0].text)), answer);
  counted(answer);
});

test("image", async () => {
  const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: IMAGE } };
  const answer = await client.messages.create(said([picture, { type: "text", text: "What is it?" }]));
  check(answer.usage.input_tokens > IMAGE_TOKENS, answer.usage);
  counted(answer);
});

test("thinking", async () => {
  const more = { model: THINKING, max_tokens: 3000, thinking: { type: "adaptive" } };
  const answer = await client.messages.create(said("Why?", more));
  check(answer.content[0].type === "thinking" && answer.content[0].signature, answer);
  counted(answer);
});

test("count tokens", async () => {
  const { model, messages } = said("Say hello");
  check((await client.messages.countTokens({ model, messages })).input_tokens > 0);
});

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  check(names.includes(CHAT), names);
});

const hello = (key, more) => () => opened(key).messages.create(said("Hello", more));
test("wrong key", () => refused(hello(WRONG_KEY), Anthropic.AuthenticationError, 401));
test("empty balance", () => refused(hello(EMPTY_KEY), Anthropic.APIError, 402));
test("unknown model", () => refused(hello(KEY, { model: UNKNOWN }), Anthropic.NotFoundError, 404));

await run("@anthropic-ai/sdk");
