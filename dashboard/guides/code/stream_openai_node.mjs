import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{{ base_url }}/v1", apiKey: "{{ key }}" });
const stream = await client.chat.completions.create({
  model: "{{ model }}",
  messages: [{ role: "user", content: "Count to ten" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}
