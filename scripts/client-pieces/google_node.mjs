// @google/genai in JavaScript: text, a file, a cache, a Live session, models.
import assert from "node:assert";
import { GoogleGenAI, Modality } from "@google/genai";

const baseUrl = process.env.KEYPOOL_URL;
const client = new GoogleGenAI({ apiKey: process.env.TOKEN, httpOptions: { baseUrl, apiVersion: "v1beta" } });
const model = "gemini-2.5-flash";

assert((await client.models.generateContent({ model, contents: "Hello" })).text);
for (const letter of ["a", "b"]) {
  const file = await client.files.upload({ file: new Blob([letter.repeat(9_000_000)], { type: "text/plain" }) });
  const contents = [{ role: "user", parts: [{ fileData: { fileUri: file.uri, mimeType: file.mimeType } }, { text: "?" }] }];
  for (let turn = 0; turn < 3; turn++) {
    assert((await client.models.generateContent({ model, contents })).text);
  }
  assert.equal((await client.files.get({ name: file.name })).name, file.name);
}
const cache = await client.caches.create({ model, config: { contents: "word ".repeat(30_000), ttl: "600s" } });
for (let turn = 0; turn < 3; turn++) {
  assert((await client.models.generateContent({ model, contents: "?", config: { cachedContent: cache.name } })).text);
}
let models = 0;
for await (const _ of await client.models.list()) models++;
assert(models > 0);
await assert.rejects(client.files.get({ name: "files/nowhere" }), (error) => error.status === 404);

const said = [];
let resolve, reject;
const done = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
const session = await client.live.connect({
  model,
  config: { responseModalities: [Modality.TEXT] },
  callbacks: {
    onmessage: (message) => {
      said.push(message.text ?? "");
      if (message.serverContent?.turnComplete) resolve();
    },
    onerror: (event) => reject(event.error ?? event),
    onclose: () => reject(new Error("closed")),
  },
});
session.sendClientContent({ turns: "Hello", turnComplete: true });
await done;
assert.equal(said.join(""), "Hello.");
session.close();
