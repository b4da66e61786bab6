"""The batch engine."""

import statistics
from collections.abc import Iterator

import programs
import serve
import virtual
from report import Line


def slots(_: bool) -> Iterator[Line]:
    rounds = [programs.values("batches", "slots") for _ in range(3)]
    share = statistics.median(told["share"] for told in rounds)
    note = f"{statistics.median(told['a second'] for told in rounds):.2f} of 4 a second, scaled back"
    yield Line("12 keys × 4 slots at 12 s (scaled 10 ×), 400 tasks: rate achieved", share, 0.99, ">=", note=note)


def limits(quick: bool) -> Iterator[Line]:
    seen = virtual.told("batch", quick)
    note = f"{seen['calls']:,} calls in {seen['minutes']:.0f} minutes"
    yield Line("10,000 tasks, 3 of 12 keys suspended, 10 % 503s: used of what healthy keys allow", seen["used"], 0.98, ">=",
               note=note)
    yield Line("tasks lost", seen["lost"] + seen["failed"], 0)
    yield Line("tasks answered twice", seen["double"], 0)


def kills(quick: bool) -> Iterator[Line]:
    told = programs.values("batches", "kills", programs.KEYPOOL, 5 if quick else 20)
    name = f"kill -9 × {told['kills']} of a batch of {told['tasks']:,}: tasks missing, lost or double"
    yield Line(name, told["missing"] + told["lost"] + told["twice"], 0)
    yield Line("upstream calls wasted", told["wasted"], told["under way"], note="bar: those under way when killed")


def load(quick: bool) -> Iterator[Line]:
    tasks = 100_000 if quick else 1_000_000
    bare, own = [], []
    with serve.listening("upstream", cores=serve.OTHERS) as (_, upstream):
        for round in range(6):
            count = tasks if round == 0 else min(tasks, 200_000)
            both = [
                lambda: bare.append(programs.values("batches", "bare", upstream, 200_000, cores=serve.SERVER)),
                lambda: own.append(programs.values("batches", "run", upstream, count, cores=serve.SERVER)),
            ]
            # Whatever warms up or tires does so for both.
            for measure in both if round % 2 == 0 else reversed(both):
                measure()
    ratio = lambda name: statistics.median(mine[name] / theirs[name] for mine, theirs in zip(own, bare))
    rate, cpu = ratio("a second"), ratio("cpu us")
    per_task = statistics.median(mine["cpu us"] for mine in own)
    note = f"{statistics.median(mine['a second'] for mine in own):,.0f} a second"
    yield Line(f"{tasks:,} tasks against a bare client loop: rate", rate, 0.5, ">=", note=note)
    yield Line("CPU a task against that loop's", cpu, 2.5, note=f"{per_task:.0f} µs a task")
    yield Line("resident", own[0]["peak MiB"], 100, unit="MiB")
    yield Line("resident, grown over the last three quarters", own[0]["growth MiB"], 5, unit="MiB")


def json(_: bool) -> Iterator[Line]:
    told = programs.values("batches", "json")
    yield Line(f"{told['broken']} broken JSON texts: repaired to what was meant", told["repaired"], 0.95, ">=")
    yield Line(f"{told['valid']} valid ones: untouched", told["untouched"], 1, ">=")
