"""The bars: what each figure must reach, and what we dream of. Ratios to a yardstick of the same run outlast a machine.

Promise: a bar is data. A scenario says what it measured, by the bar's name, one value a round; ``judge`` compares the
median with the goal and nothing else decides.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and its goals."""

    name: str
    figure: str
    must: float
    moonshot: float
    more_is_better: bool = False
    unit: str = "x"


BARS = {
    bar.name: bar
    for bar in (
        Bar("cpu_postgresql", "gateway CPU a request / bare, 32 at once, PostgreSQL", 2.6, 1.5),
        Bar("cpu_with_database", "gateway + PostgreSQL CPU a request / bare", 3.8, 2.2),
        Bar("cpu_sqlite", "gateway CPU a request / bare, 32 at once, SQLite", 2.6, 1.6),
        Bar("throughput", "requests a second / bare, PostgreSQL", 0.30, 0.60, more_is_better=True),
        Bar(
            "throughput_litellm",
            "requests a second / LiteLLM (one worker, no database)",
            20,
            45,
            more_is_better=True,
        ),
        Bar("throughput_portkey", "requests a second / Portkey (which meters nothing)", 2.5, 6, more_is_better=True),
        Bar("added_latency", "added p50 at 1 connection, beyond two measured commits", 2.0, 1.0, unit="ms"),
        Bar("added_first_token", "stream: added time to first token, beyond one measured commit", 2.0, 1.0, unit="ms"),
        Bar("cpu_event", "stream: CPU an event / bare, 64 streams", 1.6, 1.0),
        Bar("one_wallet", "requests a second, one wallet / 1,000 wallets", 0.7, 0.9, more_is_better=True),
        Bar("refused", "CPU a request, 20 % refused (empty wallets) / none", 1.3, 1.1),
        Bar("canonical_door", "canonical door, CPU a request / bare", 16, 10),
        Bar("idle_memory", "memory of an idle production worker", 180, 150, unit="MiB"),
        Bar("start", "start of a production server to its first 200", 4.0, 2.0, unit="s"),
        Bar("scale_organizations", "CPU a request, 10^6 / 10^3 organizations", 1.3, 1.0),
        Bar("body_prompt", "CPU for each MB of a long prompt, beyond bare", 20, 8, unit="ms"),
        Bar("body_picture", "CPU for each MB of a 2 MB value, beyond bare", 20, 8, unit="ms"),
        Bar("memory_stream", "memory of one stream among 1,200", 150, 60, unit="KiB"),
        Bar("soak_growth", "memory after each minute of load / after the first", 1.1, 1.0),
        Bar("scale_calls", "CPU a request, 10^7 / 10^5 stored calls", 1.3, 1.0),
    )
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was reached, how far the rounds lie apart, and whether that is enough."""

    bar: Bar
    reached: float
    lowest: float
    highest: float
    rounds: int

    @property
    def holds(self) -> bool:
        """Whether the median reaches what it must."""
        return self._reaches(self.bar.must)

    @property
    def word(self) -> str:
        """The verdict in a word."""
        if self._reaches(self.bar.moonshot):
            return "moonshot"
        return "holds" if self.holds else "MISSED"

    def _reaches(self, goal: float) -> bool:
        return self.reached >= goal if self.bar.more_is_better else self.reached <= goal

    def row(self) -> str:
        """A row of the table of results."""
        sign = ">=" if self.bar.more_is_better else "<="
        unit = self.bar.unit
        spread = f"{self.lowest:.2f}-{self.highest:.2f}"
        goals = f"{sign} {self.bar.must:g} {unit} | {sign} {self.bar.moonshot:g} {unit}"
        return f"| {self.bar.figure} | {goals} | {self.reached:.2f} {unit} | {spread} | {self.rounds} | {self.word} |"


HEADING = "| figure | must | moonshot | reached (median) | spread | rounds | verdict |\n|---|---|---|---|---|---|---|"


def judge(measured: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """Weigh what a scenario measured."""
    return [
        Verdict(BARS[name], statistics.median(values), min(values), max(values), len(values))
        for name, values in measured.items()
        if values
    ]


def table(verdicts: Iterable[Verdict]) -> str:
    """Render verdicts as a Markdown table."""
    return "\n".join([HEADING, *(verdict.row() for verdict in verdicts)])
