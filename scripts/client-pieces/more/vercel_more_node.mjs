// The AI SDK with its Google provider, and more features: chats, objects in streams, arrays, enums, images
// and files, reasoning, embeddings, tools in streams, the compatible provider.
import assert from "node:assert";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

const url = process.env.KEYPOOL_URL, apiKey = process.env.TOKEN;
const google = createGoogleGenerativeAI({ baseURL: url + "/v1beta", apiKey });
const openai = createOpenAI({ baseURL: url + "/v1", apiKey });
const anthropic = createAnthropic({ baseURL: url + "/v1", apiKey });
const compatible = createOpenAICompatible({ name: "keypool", baseURL: url + "/v1", apiKey, supportsStructuredOutputs: true });
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const weather = tool({
  description: "d",
  inputSchema: z.object({ city: z.string(), unit: z.enum(["C", "F"]).nullable(), days: z.union([z.number().int(), z.string()]) }),
  execute: async () => ({ degrees: 20, hint: null }),
});
const schema = z.object({
  answer: z.string().describe("the answer"),
  kind: z.enum(["a", "b"]),
  only: z.literal("one"),
  parts: z.array(z.object({ n: z.number().nullable(), either: z.union([z.string(), z.number()]) })).min(1),
});

for (const name of ["gemini-2.5-flash", "gemini-3.8-flash"]) {
  for (const [made, model] of [
    ["google", google(name)], ["chat", openai.chat(name)], ["responses", openai.responses(name)],
    ["anthropic", anthropic(name)], ["compatible", compatible(name)],
  ]) {
    const wish = { model, maxRetries: 0, maxOutputTokens: 2000, providerOptions: { openai: { store: false } } };
    const where = made + " " + name;
    const text = await generateText({ ...wish, system: "Be brief.", prompt: "Hello", temperature: 0.1, topP: 0.9, stopSequences: ["x"] });
    assert(text.text && text.usage.totalTokens, where);
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "What is it?" }, { type: "image", image: png }] },
      { role: "assistant", content: "A dot." },
      { role: "user", content: [{ type: "text", text: "And this?" }, { type: "file", data: Buffer.from("%PDF-1.4\n"), mediaType: "application/pdf", filename: "a.pdf" }] },
    ];
    assert((await generateText({ ...wish, messages, allowSystemInMessages: true })).text, where);
    // The response is sent back.
    const hello = { role: "user", content: "Hello" };
    const begun = await generateText({ ...wish, messages: [hello] });
    const longer = [hello, ...begun.response.messages, { role: "user", content: "And?" }];
    assert((await generateText({ ...wish, messages: longer })).text, where);
    const { object } = await generateObject({ ...wish, prompt: "Hello", schema });
    assert(schema.parse(object), where);
    const streamed = streamObject({ ...wish, prompt: "Hello", schema });
    for await (const _ of streamed.partialObjectStream);
    assert((await streamed.object).answer, where);
    assert((await generateObject({ ...wish, prompt: "Hello", output: "array", schema: z.object({ a: z.string() }) })).object.length, where);
    // Tools over several steps in a stream.
    const steps = streamText({
      ...wish, prompt: "Weather?", tools: { weather }, stopWhen: stepCountIs(3),
      prepareStep: (step) => ({ toolChoice: step.stepNumber === 0 ? "required" : "auto" }),
    });
    const kinds = [];
    for await (const part of steps.fullStream) {
      assert(part.type !== "error", where + " " + String(part.error?.responseBody ?? part.error));
      kinds.push(part.type);
    }
    assert(kinds.includes("tool-call") && kinds.includes("tool-result") && (await steps.text), where + " " + kinds);
    const forced = await generateText({ ...wish, prompt: "Weather?", tools: { weather }, toolChoice: { type: "tool", toolName: "weather" } });
    assert.equal(forced.toolCalls[0].toolName, "weather", where);
    // The conversation continues from the whole response.
    const again = [{ role: "user", content: "Weather?" }, ...forced.response.messages, { role: "user", content: "Sure?" }];
    assert((await generateText({ ...wish, messages: again, tools: { weather } })).text, where);
  }
  const reasoned = await generateText({
    model: google(name), prompt: "Hello", maxRetries: 0,
    providerOptions: { google: { thinkingConfig: { includeThoughts: true } } },
  });
  assert(reasoned.reasoningText, "thoughts are shown");
  for (const [model, providerOptions] of [
    [openai.responses(name), { openai: { reasoningEffort: "low", reasoningSummary: "auto", store: false, include: ["reasoning.encrypted_content"], parallelToolCalls: false, strictJsonSchema: true } }],
    [openai.chat(name), { openai: { reasoningEffort: "low", user: "me" } }],
    [anthropic(name), { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } }],
  ]) {
    const said = await generateText({ model, prompt: "Hello", maxRetries: 0, maxOutputTokens: 3000, providerOptions });
    assert(said.text, JSON.stringify(providerOptions));
    const done = await generateText({
      model, prompt: "Weather?", maxRetries: 0, maxOutputTokens: 3000, providerOptions, tools: { weather }, stopWhen: stepCountIs(2),
    });
    assert(done.steps.length, JSON.stringify(providerOptions));
  }
}
const embedding = google.textEmbeddingModel("gemini-embedding-001");
assert((await embed({ model: embedding, value: "a" })).embedding.length);
assert.equal((await embedMany({ model: embedding, values: ["a", "b", "c"] })).embeddings.length, 3);
assert.equal((await embedMany({ model: openai.textEmbeddingModel("gemini-embedding-001"), values: ["a", "b"] })).embeddings.length, 2);
for (const model of [google("no-such-model"), openai.chat("no-such-model"), anthropic("no-such-model")]) {
  await assert.rejects(generateText({ model, prompt: "Hello", maxRetries: 0 }), (error) => APICallError.isInstance(error) && error.statusCode === 404);
}
