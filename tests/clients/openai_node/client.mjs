// OpenAI's own SDK for Node: chat, responses, older completions and embeddings.
import OpenAI from "openai";
import { BASE_URL, CHAT, EMBEDDING, EMPTY_KEY, IMAGE, IMAGE_TOKENS, KEY, UNKNOWN, WEATHER, WRONG_KEY, check, isWeather, refused, run, saw, test } from "./cases.mjs";

const opened = (apiKey) => new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey, maxRetries: 0 });
const client = opened(KEY);
const tools = [{ type: "function", function: { name: "get_weather", parameters: WEATHER } }];
const said = (content, more) => ({ model: CHAT, messages: [{ role: "user", content }], max_tokens: 200, ...more });
const counted = (usage, headers) => saw(usage.prompt_tokens, usage.completion_tokens, headers);

test("chat", async () => {
  const { data, response } = await client.chat.completions.create(said("Say hello")).withResponse();
  check(data.choices[0].message.content && data.model === CHAT, data);
  counted(data.usage, response.headers);
});

test("stream", async () => {
  const stream = await client.chat.completions.create(said("Count", { stream: true, stream_options: { include_usage: true } }));
  let [text, usage] = ["", null];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  check(text.startsWith("This is the sandbox") && usage, text);
  counted(usage);
});

test("tool", async () => {
  const first = said("Use the tool get_weather", { tools });
  const answer = await client.chat.completions.create(first);
  const { message, finish_reason } = answer.choices[0];
  check(finish_reason === "tool_calls" && isWeather(JSON.parse(message.tool_calls[0].function.arguments)), answer);
  counted(answer.usage);
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny" };
  const after = await client.chat.completions.create({ ...first, messages: [...first.messages, message, result] });
  check(after.choices[0].message.content, after);
  counted(after.usage);
});

test("tools in parallel", async () => {
  const stream = client.chat.completions.stream(said("Use the tool get_weather, in parallel", { tools }));
  const final = await stream.finalChatCompletion();
  check(final.choices[0].message.tool_calls.length === 2, final);
});

test("structured output", async () => {
  const response_format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema: WEATHER } };
  const answer = await client.chat.completions.create(said("The weather", { response_format }));
  check(isWeather(JSON.parse(answer.choices[0].message.content)), answer);
  counted(answer.usage);
});

test("image", async () => {
  const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${IMAGE}` } };
  const answer = await client.chat.completions.create(said([{ type: "text", text: "What is it?" }, picture]));
  check(answer.usage.prompt_tokens > IMAGE_TOKENS, answer.usage);
  counted(answer.usage);
});

test("embeddings", async () => {
  const answer = await client.embeddings.create({ model: EMBEDDING, input: ["one text", "another"] });
  check(answer.data.length === 2 && typeof answer.data[0].embedding[0] === "number", answer.usage);
  saw(answer.usage.prompt_tokens, 0);
});

test("responses", async () => {
  const answer = await client.responses.create({ model: CHAT, input: "Say hello", max_output_tokens: 200 });
  check(answer.output_text.startsWith("This is the sandbox"), answer);
  saw(answer.usage.input_tokens, answer.usage.output_tokens);
  const final = await client.responses.stream({ model: CHAT, input: "Say hello again" }).finalResponse();
  check(final.status === "completed" && final.output_text, final);
  saw(final.usage.input_tokens, final.usage.output_tokens);
});

test("completions", async () => {
  const answer = await client.completions.create({ model: CHAT, prompt: "Once upon a time", max_tokens: 40 });
  check(answer.choices[0].text, answer);
  counted(answer.usage);
});

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  check(names.includes(CHAT) && names.includes(EMBEDDING), names);
});

const hello = (key, more) => () => opened(key).chat.completions.create(said("Hello", more));
test("wrong key", () => refused(hello(WRONG_KEY), OpenAI.AuthenticationError, 401));
test("empty balance", () => refused(hello(EMPTY_KEY), OpenAI.APIError, 402));
test("unknown model", () => refused(hello(KEY, { model: UNKNOWN }), OpenAI.NotFoundError, 404));

await run("openai");
