"""Every figure, in the order of the project's table."""

import batch
import gateway
import layers
import pool
import serve
import shared
import store
import virtual
from report import Figure

FIGURES = [
    Figure("pick", "pick + settle of 1,000 keys in one lane", pool.pick, quick=True, callgrind=True),
    Figure("lanes", "the same with 10 lanes a key", pool.lanes, quick=True, callgrind=True),
    Figure("tokens", "mixed demands, nine of ten owners token-full", pool.tokens, quick=True, callgrind=True),
    Figure("growth", "that cost at 10 and at 100,000 keys", pool.growth, quick=True, callgrind=True),
    Figure("resting", "that cost with 99 % of the keys resting", pool.resting, quick=True, callgrind=True),
    Figure("threads", "two threads on one pool against one", pool.threads),
    Figure("memory", "bytes a key", pool.memory, quick=True),
    Figure("rotation", "what KeyRotation + Cooldown add to a good answer", layers.rotated, quick=True, callgrind=True),
    Figure("stack", "KeyPoolLayer against tower's Retry alone", layers.stack, quick=True, callgrind=True),
    Figure("replay-copies", "body bytes copied by replay", layers.copies, quick=True),
    Figure("replay-resident", "memory with 64 bodies of 20 MiB in flight", layers.resident),
    Figure("goodput", "under saturation, limits known", virtual.goodput, quick=True),
    Figure("unknown", "under saturation, limits unknown", virtual.unknown, quick=True),
    Figure("burst", "100 calls at once on 10 × 10 a minute", virtual.burst, quick=True),
    Figure("half-full", "10,000 picks while half of the keys are full", virtual.half_full, quick=True),
    Figure("failover", "30 % of the keys bad from the start", virtual.failover, quick=True),
    Figure("amplification", "upstream calls a request in bad weather", virtual.amplification, quick=True),
    Figure("serve-json", "serve against a bare proxy, 1 KiB JSON", serve.json, served=True),
    Figure("serve-post", "serve against a bare proxy, 1 MiB POST", serve.post, served=True),
    Figure("serve-stream", "serve against a bare proxy, event streams", serve.stream, served=True),
    Figure("translated", "chats of OpenAI's clients, translated, against the same bytes passed through", serve.translated,
           served=True),
    Figure("translation", "what a chat's translation takes by itself", serve.read, callgrind=True),
    Figure("serve-idle", "serve with 1,000 keys: memory and start", serve.idle, served=True),
    Figure("all-on", "serve with tenants, log, metrics and SQLite against a bare proxy", gateway.throughput, served=True),
    Figure("latency", "p50 of an answer and of a stream's first byte against a bare proxy", gateway.latency, served=True),
    Figure("streams-200", "200 streams at once against a bare proxy, each byte compared", gateway.streams, served=True),
    Figure("resident", "serve with all on: memory idle and with 1,000 streams open", gateway.resident, served=True),
    Figure("chaos", "serve at half load with everything going wrong around it", gateway.chaos, quick=True),
    Figure("counting", "serve with its counts in SQLite against in memory", store.counting, served=True),
    Figure("start", "serve with 5,000 keys in SQLite: start", store.start, served=True),
    Figure("kills", "kill -9 × 50 under load on one SQLite file", store.kills),
    Figure("batch-slots", "12 keys × 4 slots at 12 s, ten times as fast", batch.slots),
    Figure("batch-limits", "a batch by the pool's limits in bad weather", batch.limits, quick=True),
    Figure("batch-kills", "kill -9 × 20 on one output", batch.kills),
    Figure("batch-load", "a million tasks against a bare client loop", batch.load),
    Figure("batch-json", "broken JSON as models make it", batch.json, quick=True),
    Figure("shared-steady", "four processes on one store, 20 owners", shared.steady, ahead=shared.both("steady")),
    Figure("shared-many", "the same with 300 small owners", shared.many, ahead=shared.both("many")),
    Figure("shared-lopsided", "nine tenths of the traffic on one of four", shared.lopsided, ahead=shared.both("lopsided")),
    Figure("shared-lanes", "two processes, a lane each", shared.lanes, ahead=shared.both("lanes")),
    Figure("shared-burst", "100 calls at once on one of four", shared.burst, ahead=shared.both("burst")),
    Figure("shared-killed", "one of four killed", shared.killed, ahead=shared.both("killed")),
    Figure("shared-lost", "Redis gone, flushed, replaced", shared.lost,
           ahead=shared.ahead(*((scene, "redis") for scene in shared.LOST))),
]
