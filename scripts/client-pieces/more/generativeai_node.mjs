// @google/generative-ai, the predecessor of @google/genai: chats, tools, schemas, files, and caches without a content type.
import { GoogleGenerativeAI, GoogleGenerativeAIFetchError, SchemaType } from "@google/generative-ai";
import { GoogleAICacheManager, GoogleAIFileManager } from "@google/generative-ai/server";
import assert from "node:assert";

const [token, options, name] = [process.env.TOKEN, { baseUrl: process.env.KEYPOOL_URL }, "gemini-2.5-flash"];
const ai = new GoogleGenerativeAI(token);
const model = ai.getGenerativeModel({ model: name, systemInstruction: "Be brief." }, options);

const chat = model.startChat();
const whole = (await chat.sendMessage("Hello")).response.text();
const pieces = [];
for await (const piece of (await chat.sendMessageStream("Hello")).stream) pieces.push(piece.text());
assert.equal(pieces.join(""), whole);
assert.ok((await model.countTokens("Hello")).totalTokens);

const city = { type: SchemaType.OBJECT, properties: { city: { type: SchemaType.STRING } }, required: ["city"] };
const tools = [{ functionDeclarations: [{ name: "weather", description: "The weather", parameters: city }] }];
const caller = ai.getGenerativeModel({ model: name, tools }, options).startChat();
const [call] = (await caller.sendMessage("weather()")).response.functionCalls();
assert.equal(call.name, "weather");
assert.ok((await caller.sendMessage([{ functionResponse: { name: "weather", response: { degrees: 20 } } }])).response.text());
const form = { responseMimeType: "application/json", responseSchema: city };
const formed = ai.getGenerativeModel({ model: name, generationConfig: form }, options);
assert.ok(JSON.parse((await formed.generateContent("Where?")).response.text()).city);

const files = new GoogleAIFileManager(token, options);
const { file } = await files.uploadFile(Buffer.from("words"), { mimeType: "text/plain", displayName: "words" });
const fileData = { mimeType: file.mimeType, fileUri: file.uri };
assert.ok((await model.generateContent(["What is it?", { fileData }])).response.text());
await files.deleteFile(file.name);

const caches = new GoogleAICacheManager(token, options);
const contents = [{ role: "user", parts: [{ text: "word ".repeat(30_000) }] }];
const cache = await caches.create({ model: `models/${name}`, contents, ttlSeconds: 300 });
await caches.update(cache.name, { cachedContent: { ttlSeconds: 600 } });
const cached = ai.getGenerativeModelFromCachedContent(cache, undefined, options);
assert.ok((await cached.generateContent("Which word?")).response.text());
await caches.delete(cache.name);

await assert.rejects(
  () => ai.getGenerativeModel({ model: "nothing" }, options).generateContent("Hello"),
  (error) => error instanceof GoogleGenerativeAIFetchError && error.status === 404,
);
