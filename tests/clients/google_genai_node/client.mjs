// Google's own SDK for Node.
import { ApiError, GoogleGenAI } from "@google/genai";
import { BASE_URL, CHAT, EMBEDDING, EMPTY_KEY, IMAGE, IMAGE_TOKENS, KEY, UNKNOWN, WEATHER, WRONG_KEY, check, isWeather, refused, run, saw, test } from "./cases.mjs";

const opened = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: BASE_URL } });
const client = opened(KEY);
const tools = [{ functionDeclarations: [{ name: "get_weather", parametersJsonSchema: WEATHER }] }];
const said = (contents, config, model = CHAT) => ({ model, contents, config: { maxOutputTokens: 200, ...config } });
const counted = (usage) => saw(usage.promptTokenCount, (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0));

test("chat", async () => {
  const answer = await client.models.generateContent(said("Say hello", { systemInstruction: "Be brief" }));
  check(answer.text.startsWith("This is the sandbox"), answer);
  counted(answer.usageMetadata);
});

test("stream", async () => {
  let [text, usage] = ["", null];
  for await (const chunk of await client.models.generateContentStream(said("Count"))) {
    text += chunk.text ?? "";
    usage = chunk.usageMetadata ?? usage;
  }
  check(text.startsWith("This is the sandbox"), text);
  counted(usage);
});

test("tool", async () => {
  const answer = await client.models.generateContent(said("Use the tool get_weather", { tools }));
  check(isWeather(answer.functionCalls[0].args), answer);
  counted(answer.usageMetadata);
  const response = { name: "get_weather", id: answer.functionCalls[0].id, response: { result: "sunny" } };
  const question = { role: "user", parts: [{ text: "Use the tool get_weather" }] };
  const turns = [question, answer.candidates[0].content, { role: "user", parts: [{ functionResponse: response }] }];
  const after = await client.models.generateContent(said(turns, { tools }));
  check(after.text, after);
  counted(after.usageMetadata);
});

test("tools in parallel", async () => {
  const answer = await client.models.generateContent(said("Use the tool get_weather, in parallel", { tools }));
  check(answer.functionCalls.length === 2, answer);
  counted(answer.usageMetadata);
});

test("structured output", async () => {
  const config = { responseMimeType: "application/json", responseJsonSchema: WEATHER };
  const answer = await client.models.generateContent(said("The weather", config));
  check(isWeather(JSON.parse(answer.text)), answer);
  counted(answer.usageMetadata);
});

test("image", async () => {
  const parts = [{ inlineData: { data: IMAGE, mimeType: "image/png" } }, { text: "What is it?" }];
  const answer = await client.models.generateContent(said([{ role: "user", parts }]));
  check(answer.usageMetadata.promptTokenCount > IMAGE_TOKENS, answer.usageMetadata);
  counted(answer.usageMetadata);
});

test("embeddings", async () => {
  const answer = await client.models.embedContent({ model: EMBEDDING, contents: ["one text", "another"] });
  check(answer.embeddings.length === 2, answer);
});

test("count tokens", async () => {
  check((await client.models.countTokens({ model: CHAT, contents: "Say hello" })).totalTokens > 0);
});

test("models", async () => {
  const names = [];
  for await (const model of await client.models.list()) names.push(model.name);
  check(names.includes(`models/${CHAT}`), names);
});

const hello = (key, model) => () => opened(key).models.generateContent(said("Hello", {}, model));
test("wrong key", () => refused(hello(WRONG_KEY), ApiError, 401));
test("empty balance", () => refused(hello(EMPTY_KEY), ApiError, 402));
test("unknown model", () => refused(hello(KEY, UNKNOWN), ApiError, 404));

await run("@google/genai");
