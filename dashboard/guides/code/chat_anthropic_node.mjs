import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: "{{ base_url }}",
  apiKey: "{{ key }}",
});
const answer = await client.messages.create({
  model: "{{ model }}",
  max_tokens: 200,
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(answer.content[0].text);
