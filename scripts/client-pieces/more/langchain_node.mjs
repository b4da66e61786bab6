// LangChain in JavaScript: @langchain/google-genai and @langchain/openai.
import assert from "node:assert";
import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings } from "@langchain/google-genai";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";

const url = process.env.KEYPOOL_URL, apiKey = process.env.TOKEN;
const weather = tool(async ({ city }) => `20 degrees in ${city}`, { name: "weather", description: "d", schema: z.object({ city: z.string() }) });
for (const model of ["gemini-2.5-flash", "gemini-3.8-flash"]) {
  for (const chat of [
    new ChatGoogleGenerativeAI({ model, apiKey, baseUrl: url, maxRetries: 0 }),
    new ChatOpenAI({ model, apiKey, configuration: { baseURL: url + "/v1" }, maxRetries: 0 }),
    new ChatOpenAI({ model, apiKey, configuration: { baseURL: url + "/v1" }, maxRetries: 0, useResponsesApi: true }),
  ]) {
    const where = chat.constructor.name + " " + model;
    assert((await chat.invoke([new SystemMessage("Be brief."), new HumanMessage("Hello")])).text, where);
    let said = "";
    for await (const chunk of await chat.stream("Hello")) said += chunk.text;
    assert(said, where);
    const asked = [new HumanMessage("Weather?")];
    // For the responses API this client sends no tool choice.
    if (chat.useResponsesApi) continue;
    const called = await chat.bindTools([weather], { tool_choice: "any" }).invoke(asked);
    assert.equal(called.tool_calls.length, 1, where);
    const call = called.tool_calls[0];
    assert.equal(call.name, "weather", where);
    const result = new ToolMessage({ content: await weather.invoke(call.args), tool_call_id: call.id, name: "weather" });
    assert((await chat.bindTools([weather]).invoke([...asked, called, result])).text, where);
    assert((await chat.withStructuredOutput(z.object({ answer: z.string() })).invoke("Hello")).answer, where);
  }
}
assert((await new GoogleGenerativeAIEmbeddings({ model: "gemini-embedding-001", apiKey, baseUrl: url }).embedDocuments(["a", "b"])).length);
assert((await new OpenAIEmbeddings({ model: "gemini-embedding-001", apiKey, configuration: { baseURL: url + "/v1" } }).embedDocuments(["a", "b"])).length);
