"""What a round's pipeline file says: drawn by its seed, so that not only the paths of the shipped one are attacked.

Every third seed is forgetful: a key is forgotten after seconds, or at once, and checkpoints follow each other quickly. Repeats come
late there all the time, and each time one is found an attempt ends, by design.
"""
import random

FORGETFUL_EVERY, AS_SHIPPED = 3, "as shipped"

# What the shipped file says, and what may stand there instead.
DRAWN = {
    "ingest: 2, dedup: 2, rollup: 1": ("ingest: 1, dedup: 1, rollup: 1", "ingest: 2, dedup: 3, rollup: 2", "ingest: 4, dedup: 2, rollup: 3"),
    "min_interval: 10ms": ("min_interval: 0ms", "min_interval: 60ms"),
    "max_in_flight: 3": ("max_in_flight: 1", "max_in_flight: 8"),
    "max_bytes: 1MiB": ("max_bytes: 64KiB",),
    "memory: 32MiB": ("memory: 8MiB",),
}
# Every rollup gets a second measure, whose values may be null.
MEASURE = '      - {column: total_sales, sum: total_amount, type: "decimal(15,2)"}'
TWO_MEASURES = f'      - {{column: quantity, sum: product_quantity, type: "decimal(20,0)"}}\n{MEASURE}'
RETENTION, FORGETFUL = "retention: 24h", ("retention: 0s", "retention: 0s", "retention: 1s", "retention: 4s")
INTERVAL, OFTEN = "interval: 5s", {"interval: 200ms": 0.2, "interval: 500ms": 0.5, "interval: 1s": 1}  # in seconds
RETAIN, FEWEST = "retain: 3", "retain: 2"
KEPT_SECONDS = 15  # as with the shipped ones: a failover to a backup that is older cannot be survived


def is_forgetful(seed):
    return seed % FORGETFUL_EVERY == 0


def draw(seed):
    """The shipped text and that instead, of what is changed."""
    rng = random.Random(f"settings of {seed}")
    drawn = {shipped: rng.choice(others) for shipped, others in DRAWN.items() if rng.random() < 0.4}
    if random.Random(f"measures of {seed}").random() < 0.5:
        drawn[MEASURE] = TWO_MEASURES
    if is_forgetful(seed):
        drawn[RETENTION] = rng.choice(FORGETFUL)
    if is_forgetful(seed) or rng.random() < 0.4:
        drawn[INTERVAL] = rng.choice(sorted(OFTEN))
        drawn[RETAIN] = rng.choice((FEWEST, f"retain: {KEPT_SECONDS / OFTEN[drawn[INTERVAL]]:.0f}"))
    return drawn


def survives_failover(drawn):
    return drawn.get(RETAIN) != FEWEST


def text_of(drawn):
    return ", ".join(sorted("two measures" if new == TWO_MEASURES else new for new in drawn.values())) or AS_SHIPPED
