"""Google's Agent Development Kit: agents with a tool and a schema, with and without streaming, through google-genai and LiteLLM."""

import asyncio
import os

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
os.environ.update(GOOGLE_API_KEY=TOKEN, GOOGLE_GEMINI_BASE_URL=URL, GOOGLE_GENAI_USE_VERTEXAI="FALSE")

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai import errors, types
from pydantic import BaseModel


class Verdict(BaseModel):
    answer: str


def weather(city: str) -> dict:
    """The weather in a city."""
    return {"degrees": 20}


async def said(text, mode=StreamingMode.NONE, **wish):
    """Runs a turn, and returns its parts: calls, results and texts."""
    runner = InMemoryRunner(agent=LlmAgent(name="one", instruction="Be brief.", **wish), app_name="app")
    session = await runner.session_service.create_session(app_name="app", user_id="somebody")
    content = types.Content(role="user", parts=[types.Part(text=text)])
    wish = dict(user_id="somebody", session_id=session.id, new_message=content, run_config=RunConfig(streaming_mode=mode))
    events = [event async for event in runner.run_async(**wish)]
    assert not any(event.error_code for event in events), events
    return [part for event in events if not event.partial for part in event.content.parts]


async def main():
    models = ["gemini-2.5-flash", "gemini-3.8-flash"]
    models += [LiteLlm(model=f"openai/{model}", api_base=f"{URL}/v1", api_key=TOKEN) for model in models]
    for model in models:
        for mode in (StreamingMode.NONE, StreamingMode.SSE):
            call, answer, text = await said("weather()", mode, model=model, tools=[weather])
            assert call.function_call and answer.function_response and text.text, (model, mode)
        assert Verdict.model_validate_json((await said("Hello", model=model, output_schema=Verdict))[0].text).answer
    try:
        await said("Hello", model="gemini-of-nowhere")
        raise SystemExit("expected an exception")
    except errors.ClientError as error:
        assert error.code == 404, error


asyncio.run(main())
