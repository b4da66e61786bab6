"""The responses API as openai's clients and agents use it: stream events, functions over several turns, schemas, images and
files, all kinds of input items; chats with their stream helper and parse()."""

import asyncio
import os

import openai
from pydantic import BaseModel

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
client = openai.OpenAI(base_url=URL + "/v1", api_key=TOKEN, max_retries=0)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": ["string", "null"], "enum": ["C", "F", None]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}


class Step(BaseModel):
    explanation: str
    output: str | None


class Reasoned(BaseModel):
    steps: list[Step]
    answer: str


for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    # Every event, in the order of its sequence number.
    with client.responses.stream(model=model, input="Hello", reasoning={"effort": "low", "summary": "auto"}) as stream:
        events = list(stream)
        whole = stream.get_final_response()
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == sorted(
        event.sequence_number for event in events if hasattr(event, "sequence_number")
    )
    kinds = [event.type for event in events]
    for kind in (
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ):
        assert kind in kinds, (kind, kinds)
    assert whole.output_text and whole.usage.total_tokens, whole

    # A function call in a stream, and its result.
    with client.responses.stream(model=model, input="Weather?", tools=[TOOL], tool_choice="required") as stream:
        kinds = [event.type for event in stream]
        called = stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds and "response.function_call_arguments.done" in kinds, kinds
    calls = [item for item in called.output if item.type == "function_call"]
    assert calls and calls[0].parsed_arguments["city"], called
    turns = [{"role": "user", "content": "Weather?"}, *[item.model_dump(exclude_none=True) for item in called.output]]
    turns += [{"type": "function_call_output", "call_id": call.call_id, "output": "20 degrees"} for call in calls]
    assert client.responses.create(model=model, input=turns, tools=[TOOL], store=False).output_text
    output = [{"type": "input_text", "text": "20"}, {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]
    turns[-1]["output"] = output
    assert client.responses.create(model=model, input=turns, tools=[TOOL]).output_text
    for choice in (
        "auto", "none", "required", {"type": "function", "name": "weather"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
    ):
        assert client.responses.create(model=model, input="Weather?", tools=[TOOL], tool_choice=choice).output, choice

    parsed = client.responses.parse(model=model, input="2+2", text_format=Reasoned, instructions="Think.")
    assert parsed.output_parsed.steps, parsed
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Very."}]},
        {"role": "user", "content": [
            {"type": "input_text", "text": "What is it?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"},
        ]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "A dot.", "annotations": [], "logprobs": []}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "…"}], "encrypted_content": "x"},
        {"role": "user", "content": "Sure?"},
    ]
    whole = client.responses.create(
        model=model, input=items, max_output_tokens=100, temperature=0.5, top_p=0.9, truncation="disabled",
        include=["reasoning.encrypted_content"], metadata={"a": "b"}, parallel_tool_calls=False, user="me", store=False,
        text={"format": {"type": "text"}, "verbosity": "medium"}, service_tier="auto", background=False,
    )
    assert whole.output_text and whole.status in ("completed", "incomplete"), whole

    # The same helpers with chats.
    chat = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "2+2"}], response_format=Reasoned
    )
    assert chat.choices[0].message.parsed.steps, chat
    function = openai.pydantic_function_tool(Step, name="step")
    # Tools together with a schema: the model may use either.
    both = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "2+2"}], response_format=Reasoned, tools=[function]
    )
    assert both.choices[0].message.parsed or both.choices[0].message.tool_calls, both
    with client.chat.completions.stream(
        model=model, messages=[{"role": "user", "content": "2+2"}], tools=[function], tool_choice="required",
        stream_options={"include_usage": True},
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds, kinds
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments.explanation, final
    assert final.usage.total_tokens, final

# Responses that are cut, and invalid requests.
cut = client.responses.create(model="gemini-2.5-flash", input="Hello", max_output_tokens=16)
assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens", cut
for wrong, exception in (
    (dict(model="no-such-model", input="x"), openai.NotFoundError),
    (dict(model="gemini-2.5-flash", input="x", previous_response_id="resp_1"), openai.BadRequestError),
    (dict(model="gemini-2.5-flash", input=[]), openai.BadRequestError),
):
    for stream in (False, True):
        try:
            client.responses.create(stream=stream, **wrong)
            raise SystemExit(f"{wrong}: expected an exception")
        except exception:
            pass


async def together():
    aio = openai.AsyncOpenAI(base_url=URL + "/v1", api_key=TOKEN, max_retries=0)
    said = ""
    async with aio.responses.stream(model="gemini-2.5-flash", input="Hello") as stream:
        async for event in stream:
            said += event.delta if event.type == "response.output_text.delta" else ""
    assert said
    answers = await asyncio.gather(*[aio.responses.create(model="gemini-2.5-flash", input="Hi") for _ in range(10)])
    assert all(answer.output_text for answer in answers)


asyncio.run(together())
