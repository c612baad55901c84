// Vercel's AI SDK: chat and embeddings as openai-compatible, responses as openai, messages as anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { BASE_URL, CHAT, EMBEDDING, EMPTY_KEY, IMAGE, IMAGE_TOKENS, KEY, UNKNOWN, WEATHER, WRONG_KEY, check, isWeather, refused, run, saw, test } from "./cases.mjs";

const settings = (apiKey) => ({ name: "tollgate", baseURL: `${BASE_URL}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const opened = (apiKey) => createOpenAICompatible(settings(apiKey));
const chat = opened(KEY)(CHAT);
const asking = (prompt, more) => ({ model: chat, prompt, maxOutputTokens: 200, maxRetries: 0, ...more });
const counted = (usage, headers) => saw(usage.inputTokens, usage.outputTokens, headers && new Headers(headers));

async function calls(prompt, model) {
  const asked = [];
  const execute = async (input) => (asked.push(input), "sunny");
  const tools = { get_weather: tool({ description: "The weather", inputSchema: jsonSchema(WEATHER), execute }) };
  const result = await generateText(asking(prompt, { model, tools, stopWhen: stepCountIs(2) }));
  check(asked.every(isWeather) && result.text && result.steps.length === 2, asked, result.text);
  result.steps.forEach((step) => counted(step.usage));
  return asked.length;
}

test("chat", async () => {
  const result = await generateText(asking("Say hello"));
  check(result.text.startsWith("This is the sandbox"), result.text);
  counted(result.usage, result.response.headers);
});

test("stream", async () => {
  const result = streamText(asking("Count"));
  let text = "";
  for await (const piece of result.textStream) text += piece;
  check(text.startsWith("This is the sandbox"), text);
  counted(await result.usage);
});

test("tool", async () => check((await calls("Use the tool get_weather", chat)) === 1));
test("tools in parallel", async () => check((await calls("Use the tool get_weather, in parallel", chat)) === 2));

test("structured output", async () => {
  const result = await generateText(asking("The weather", { output: Output.object({ schema: jsonSchema(WEATHER) }) }));
  check(isWeather(result.output), result.output);
  counted(result.usage);
});

test("image", async () => {
  const content = [{ type: "text", text: "What is it?" }, { type: "image", image: IMAGE, mediaType: "image/png" }];
  const result = await generateText(asking(undefined, { messages: [{ role: "user", content }] }));
  check(result.usage.inputTokens > IMAGE_TOKENS, result.usage);
  counted(result.usage);
});

test("embeddings", async () => {
  const model = opened(KEY).textEmbeddingModel(EMBEDDING);
  const { embeddings } = await embedMany({ model, values: ["one text", "another"], maxRetries: 0 });
  check(embeddings.length === 2, embeddings.length);
});

async function speaks(model) {
  const result = await generateText(asking("Say hello", { model }));
  check(result.text.startsWith("This is the sandbox"), result.text);
  counted(result.usage);
  check((await calls("Use the tool get_weather", model)) === 1);
  let text = "";
  for await (const piece of streamText(asking("Count", { model })).textStream) text += piece;
  check(text.startsWith("This is the sandbox"), text);
}

test("responses", () => speaks(createOpenAI(settings(KEY))(CHAT)));
test("messages", () => speaks(createAnthropic(settings(KEY))(CHAT)));

const hello = (key, name = CHAT) => () => generateText(asking("Hello", { model: opened(key)(name) }));
test("wrong key", () => refused(hello(WRONG_KEY), APICallError, 401));
test("empty balance", () => refused(hello(EMPTY_KEY), APICallError, 402));
test("unknown model", () => refused(hello(KEY, UNKNOWN), APICallError, 404));

await run("ai", "@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/openai-compatible");
