"""openai in Python with Google's own OpenAI-compatible endpoint, to which the gateway passes requests untranslated."""

import os

import openai

BASE, TOKEN = os.environ["KEYPOOL_URL"] + "/v1beta/openai", os.environ["TOKEN"]
client = openai.OpenAI(base_url=BASE, api_key=TOKEN, max_retries=0)
WISH = dict(model="gemini-2.5-flash", messages=[{"role": "user", "content": "Hello"}])


def raises(kind, call):
    try:
        call()
    except openai.OpenAIError as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"expected {kind}")


answer = client.chat.completions.create(**WISH)
assert answer.choices[0].message.content, answer
chunks = client.chat.completions.create(**WISH, stream=True)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer.choices[0].message.content
assert len(client.embeddings.create(model="gemini-embedding-001", input=["a", "b"], dimensions=64).data) == 2
assert "models/gemini-2.5-flash" in [model.id for model in client.models.list()]
# That endpoint refuses unknown fields with a Google error in a list.
error = raises(openai.BadRequestError, lambda: client.chat.completions.create(**WISH, frequency_penalty=0.5))
assert "frequency_penalty" in str(error.body), error.body
raises(openai.NotFoundError, lambda: client.chat.completions.create(**{**WISH, "model": "gemini-of-nowhere"}))
stranger = openai.OpenAI(base_url=BASE, api_key="wrong", max_retries=0)
raises(openai.AuthenticationError, stranger.models.list)
