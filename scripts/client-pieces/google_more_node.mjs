// @google/genai: chats, tools, schemas, files from a path and a blob, caches, batches, embeddings, token counts, Live, errors.
import assert from "node:assert";
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { ApiError, FunctionCallingConfigMode, GoogleGenAI, Modality, Type, createPartFromUri, createUserContent } from "@google/genai";

const ai = new GoogleGenAI({ apiKey: process.env.TOKEN, httpOptions: { baseUrl: process.env.KEYPOOL_URL } });
for (const model of ["gemini-2.5-flash", "gemini-3.8-flash"]) {
  const chat = ai.chats.create({ model, config: { systemInstruction: "Be brief.", temperature: 0.2 } });
  assert((await chat.sendMessage({ message: "Hello" })).text);
  let said = "";
  for await (const chunk of await chat.sendMessageStream({ message: "Again" })) said += chunk.text ?? "";
  assert(said);
  const declared = { name: "weather", description: "d", parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] } };
  const called = await ai.models.generateContent({
    model, contents: "Weather?",
    config: { tools: [{ functionDeclarations: [declared] }], toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } } },
  });
  const call = called.functionCalls[0];
  assert.equal(call.name, "weather");
  const answer = { role: "user", parts: [{ functionResponse: { name: call.name, id: call.id, response: { result: "20" } } }] };
  const done = await ai.models.generateContent({
    model, contents: [createUserContent("Weather?"), called.candidates[0].content, answer], config: { tools: [{ functionDeclarations: [declared] }] },
  });
  assert(done.text);
  for (const config of [
    { responseMimeType: "application/json", responseSchema: { type: Type.ARRAY, items: { type: Type.OBJECT, properties: { a: { type: Type.STRING, nullable: true } }, propertyOrdering: ["a"] } } },
    { responseMimeType: "application/json", responseJsonSchema: { type: "object", properties: { a: { type: ["string", "null"] } }, required: ["a"], additionalProperties: false } },
    { responseMimeType: "text/x.enum", responseSchema: { type: Type.STRING, enum: ["a", "b"] } },
  ]) {
    assert((await ai.models.generateContent({ model, contents: "Hello", config })).text);
  }
}
const model = "gemini-2.5-flash";
const path = mkdtempSync(tmpdir() + "/keypool-") + "/words.txt";
writeFileSync(path, "words ".repeat(1000));
for (const file of [path, new Blob(["blob"], { type: "text/plain" })]) {
  const made = await ai.files.upload({ file, config: { displayName: "Wörter", mimeType: "text/plain" } });
  assert.equal((await ai.files.get({ name: made.name })).name, made.name);
  const contents = createUserContent([createPartFromUri(made.uri, made.mimeType), "What is it?"]);
  assert((await ai.models.generateContent({ model, contents })).text);
  const names = [];
  for await (const one of await ai.files.list({ config: { pageSize: 2 } })) names.push(one.name);
  assert(names.includes(made.name));
  await ai.files.delete({ name: made.name });
}
const cache = await ai.caches.create({ model, config: { contents: "word ".repeat(30000), ttl: "300s" } });
assert((await ai.models.generateContent({ model, contents: "Which?", config: { cachedContent: cache.name } })).text);
await ai.caches.delete({ name: cache.name });
const batch = await ai.batches.create({ model, src: [{ contents: [{ parts: [{ text: "Hello" }], role: "user" }] }] });
assert.equal((await ai.batches.get({ name: batch.name })).name, batch.name);
await ai.batches.delete({ name: batch.name });
assert((await ai.models.countTokens({ model, contents: "Hello" })).totalTokens);
assert.equal((await ai.models.embedContent({ model: "gemini-embedding-001", contents: ["a", "b"] })).embeddings.length, 2);
await assert.rejects(ai.models.generateContent({ model: "no-such-model", contents: "Hello" }), (error) => error instanceof ApiError && error.status === 404);
const heard = [];
let over;
const ended = new Promise((resolve) => (over = resolve));
const session = await ai.live.connect({
  model, config: { responseModalities: [Modality.TEXT] },
  callbacks: { onmessage: (message) => { heard.push(message); if (message.serverContent?.turnComplete) over(); }, onerror: over, onclose: over },
});
session.sendClientContent({ turns: "Hello", turnComplete: true });
await ended;
session.close();
assert(heard.some((message) => message.text), JSON.stringify(heard));
