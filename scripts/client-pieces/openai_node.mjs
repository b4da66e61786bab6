// openai in JavaScript: chat with and without streaming, a tool, embeddings, models, exceptions.
import assert from "node:assert";
import OpenAI from "openai";

const baseURL = process.env.KEYPOOL_URL + "/v1";
const client = new OpenAI({ baseURL, apiKey: process.env.TOKEN, maxRetries: 0 });
const wish = { model: "gemini-2.5-flash", messages: [{ role: "user", content: "Hello" }] };

const whole = await client.chat.completions.create(wish);
assert(whole.choices[0].message.content);
let text = "";
for await (const chunk of await client.chat.completions.create({ ...wish, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(text, whole.choices[0].message.content);
await assert.rejects(client.completions.create({ model: "gemini-2.5-flash", prompt: "Once upon" }), OpenAI.NotFoundError);
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const called = await client.chat.completions.create({ ...wish, tools, tool_choice: "required" });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "weather");
const vectors = await client.embeddings.create({ model: "gemini-embedding-001", input: ["a", "b"], dimensions: 64 });
assert.equal(vectors.data[1].embedding.length, 64);
assert((await client.models.list()).data.length > 1);
await assert.rejects(client.chat.completions.create({ ...wish, logit_bias: { 1: 5 } }), OpenAI.BadRequestError);
await assert.rejects(client.chat.completions.create({ ...wish, model: "nothing" }), OpenAI.NotFoundError);
await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);
