// The AI SDK: text, streams, objects and tools with its OpenAI (responses and chat) and Anthropic providers.
import assert from "node:assert";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const url = process.env.KEYPOOL_URL, apiKey = process.env.TOKEN;
const openai = createOpenAI({ baseURL: url + "/v1", apiKey });
const anthropic = createAnthropic({ baseURL: url + "/v1", apiKey });
const weather = tool({ description: "d", inputSchema: z.object({ city: z.string() }), execute: async () => "20 degrees" });

for (const name of ["gemini-2.5-flash", "gemini-3.8-flash"]) {
  for (const model of [openai.chat(name), openai.responses(name), anthropic(name)]) {
    const wish = { model, prompt: "Hello", maxRetries: 0, maxOutputTokens: 500 };
    assert((await generateText(wish)).text);
    let text = "";
    for await (const piece of streamText(wish).textStream) text += piece;
    assert(text);
    const { object } = await generateObject({ ...wish, schema: z.object({ answer: z.string() }) });
    assert(object.answer);
    const toolChoice = (step) => (step.stepNumber === 0 ? { toolChoice: "required" } : { toolChoice: "auto" });
    const done = await generateText({ ...wish, tools: { weather }, stopWhen: stepCountIs(2), prepareStep: toolChoice });
    assert.equal(done.steps.length, 2);
    assert(done.text);
  }
}
