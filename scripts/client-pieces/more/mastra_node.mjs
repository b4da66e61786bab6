// Mastra with its own model router: an agent with and without streaming, with a tool, with a schema.
import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import assert from "node:assert";
import { z } from "zod";

const weather = createTool({
  id: "weather",
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => ({ degrees: 20 }),
});
// For `openai` Mastra adds an option for strict schemas, which ends up in the request body.
for (const kind of ["openai", "own"]) {
  const model = { id: `${kind}/gemini-2.5-flash`, url: `${process.env.KEYPOOL_URL}/v1`, apiKey: process.env.TOKEN };
  const agent = new Agent({ id: "one", name: "one", instructions: "Be brief.", model, tools: { weather } });
  const whole = (await agent.generate("Hello")).text;
  let pieces = "";
  for await (const piece of (await agent.stream("Hello")).textStream) pieces += piece;
  assert.equal(pieces, whole);
  const called = await agent.generate("weather()", { maxSteps: 3 });
  assert.ok(called.steps.length === 2 && called.text, "called once, then answered");
  const plain = new Agent({ id: "two", name: "two", instructions: "Be brief.", model });
  const structuredOutput = { schema: z.object({ name: z.string(), number: z.number() }) };
  assert.ok((await plain.generate("Who?", { structuredOutput })).object.name);
}
process.exit(0);
