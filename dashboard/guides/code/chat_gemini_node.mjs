import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({
  apiKey: "{{ key }}",
  httpOptions: { baseUrl: "{{ base_url }}" },
});
const answer = await client.models.generateContent({
  model: "{{ model }}",
  contents: "Say hello",
});
console.log(answer.text);
