"""google-genai in Python with its own retries, while the gateway does not wait for a key: the client retries a 503 after its own
pause, and the number of requests stays bounded."""

import concurrent.futures
import os
import time

from google import genai
from google.genai import errors, types

BASE, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
CLIENTS, ATTEMPTS = 8, 8
retries = types.HttpRetryOptions(attempts=ATTEMPTS, initial_delay=0.5, max_delay=4)
client = genai.Client(api_key=TOKEN, http_options=types.HttpOptions(base_url=BASE, retry_options=retries))


def ask(_):
    try:
        return bool(client.models.generate_content(model="gemini-2.5-flash", contents="Hello").text)
    except errors.ServerError as error:
        assert error.code == 503, error
        return False


began = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
    fine = sum(pool.map(ask, range(CLIENTS)))
assert fine >= CLIENTS // 2, fine
print(f"waiting: {fine} of {CLIENTS} clients served in {time.monotonic() - began:.1f} s")
