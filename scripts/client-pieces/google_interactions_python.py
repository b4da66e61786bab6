"""google-genai in Python: interactions are created, streamed, read, continued and deleted."""

import os

from google import genai

client = genai.Client(api_key=os.environ["TOKEN"], http_options={"base_url": os.environ["KEYPOOL_URL"]})
MODEL = "gemini-2.5-flash"

begun = client.interactions.create(model=MODEL, input="Hello")
assert begun.output_text and begun.usage.total_tokens, begun
kinds = [event.event_type for event in client.interactions.create(model=MODEL, input="Hello", stream=True)]
assert kinds[0] == "interaction.created" and kinds[-1] == "interaction.completed", kinds
assert client.interactions.get(begun.id).id == begun.id
assert [event.event_type for event in client.interactions.get(begun.id, stream=True)] == kinds
then = client.interactions.create(model=MODEL, input="And?", previous_interaction_id=begun.id)
client.interactions.delete(then.id)
try:
    client.interactions.get(then.id)
    raise SystemExit("expected an exception")
except Exception as error:
    assert type(error).__name__ == "NotFoundError", repr(error)
