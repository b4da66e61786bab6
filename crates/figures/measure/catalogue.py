"""Every figure, in the order of the project's table."""

import pool
from report import Figure

FIGURES = [
    Figure("pick", "pick + settle of 1,000 keys in one lane", pool.pick, quick=True, callgrind=True),
    Figure("lanes", "the same with 10 lanes a key", pool.lanes, quick=True, callgrind=True),
    Figure("tokens", "mixed demands, nine of ten owners token-full", pool.tokens, quick=True, callgrind=True),
    Figure("growth", "that cost at 10 and at 100,000 keys", pool.growth, quick=True, callgrind=True),
    Figure("resting", "that cost with 99 % of the keys resting", pool.resting, quick=True, callgrind=True),
]
