// openai in Node with its own retries, while the gateway does not wait for a key: there is no retry storm.
import OpenAI from "openai";

const CLIENTS = 8;
const base = process.env.KEYPOOL_URL;
const asked = async () => {
  const text = await (await fetch(`${base}/-/metrics`)).text();
  return [...text.matchAll(/^keypool_gateway_requests_total\{.*\} (\d+)/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
};
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: process.env.TOKEN, maxRetries: 10 });
const [before, began] = [await asked(), performance.now()];
const ask = () =>
  client.chat.completions.create({ model: "gemini-2.5-flash", messages: [{ role: "user", content: "Hello" }] });
await Promise.all(Array.from({ length: CLIENTS }, ask));
const [seconds, sent] = [(performance.now() - began) / 1000, (await asked()) - before];
if (!(CLIENTS < sent && sent <= CLIENTS * (seconds + 2))) throw new Error(`${sent} requests in ${seconds} s`);
console.log(`waiting: ${sent} requests of ${CLIENTS} clients in ${seconds.toFixed(1)} s`);
