import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const shop = createOpenAICompatible({
  name: "{{ short_name }}",
  baseURL: "{{ base_url }}/v1",
  apiKey: "{{ key }}",
});
const { text } = await generateText({
  model: shop("{{ model }}"),
  prompt: "Say hello",
});
console.log(text);
