// openai in JavaScript: images, speech, transcripts, responses.
import assert from "node:assert";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.KEYPOOL_URL + "/v1", apiKey: process.env.TOKEN, maxRetries: 0 });
const images = await client.images.generate({ model: "gemini-2.5-flash-image", prompt: "a dot", n: 2 });
assert.equal(images.data.length, 2);
assert(images.data[0].b64_json.startsWith("iVBOR"));
const dot = await toFile(Buffer.from(images.data[0].b64_json, "base64"), "dot.png", { type: "image/png" });
const edited = await client.images.edit({ model: "gemini-2.5-flash-image", image: dot, prompt: "in red" });
assert(edited.data[0].b64_json.startsWith("iVBOR"));
const wish = { model: "gemini-3.8-flash-tts", input: "Hi.", voice: "alloy" };
const wav = Buffer.from(await (await client.audio.speech.create({ ...wish, response_format: "wav" })).arrayBuffer());
assert.equal(wav.subarray(0, 4).toString(), "RIFF");
const unasked = Buffer.from(await (await client.audio.speech.create(wish)).arrayBuffer());
assert.equal(unasked.subarray(0, 4).toString(), "RIFF");
await assert.rejects(client.audio.speech.create({ ...wish, response_format: "flac" }), OpenAI.BadRequestError);
const heard = await client.audio.transcriptions.create({ model: "gemini-2.5-flash", file: await toFile(wav, "hi.wav") });
assert(heard.text);
const response = await client.responses.create({ model: "gemini-2.5-flash", input: "Hello" });
assert(response.output_text);
let text = "";
for await (const event of await client.responses.create({ model: "gemini-2.5-flash", input: "Hello", stream: true })) {
  if (event.type === "response.output_text.delta") text += event.delta;
}
assert.equal(text, response.output_text);
