import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "{{ base_url }}/v1",
  apiKey: "{{ key }}",
});
const answer = await client.chat.completions.create({
  model: "{{ model }}",
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(answer.choices[0].message.content);
