"""Which images run together: images of one shape wait for each other, part by part, and rows are written when complete.

A network runs on batches of one shape, so each part keeps the images of each shape apart until a batch is full. While
the devices compute a batch, the next one is prepared: results are fetched one batch later.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from data_builders.features.inputs import Inputs


class Extractor(Protocol):
    """One part of the feature store and the networks that make it.

    Attributes:
      part: "pose", "background", "caption" or "depth".
      header: what the store's header says of it: `name`, `version`, `weights_sha256`.
    """

    part: str
    header: dict[str, str]

    def shape(self, inputs: Any) -> Hashable:
        """What images must share to run in one batch; None: this one needs no network."""

    def start(self, batch: Sequence[Any]) -> Any:
        """Starts the devices on a batch of one shape and returns without waiting."""

    def finish(self, started: Any, batch: Sequence[Any]) -> list[dict[str, Any]]:
        """Waits; the arguments of FeatureWriter.write that this part gives, an image each."""


@dataclass
class _Row:
    inputs: Inputs
    lacking: set[str]  # parts
    values: dict[str, Any] = field(default_factory=dict)


Complete = tuple[Inputs, dict[str, Any]]  # an image and the arguments of FeatureWriter.write


class Schedule:
    """Takes images one by one and gives back complete rows as they come.

    Args:
      extractors: of the store's parts.
      batch: images of one shape that run together.
      waiting: images held at most before the oldest one's batch runs although it is not full.
    """

    def __init__(self, extractors: Sequence[Extractor], batch: int, waiting: int):
        self._extractors = {extractor.part: extractor for extractor in extractors}
        self._batch, self._waiting = batch, waiting
        self._arrived = 0
        self._held: dict[int, _Row] = {}  # by arrival
        self._queues: dict[tuple[str, Hashable], list[int]] = {}  # by part and shape
        self._running: deque[tuple[str, list[int], Any]] = deque()

    def add(self, inputs: Inputs) -> Iterator[Complete]:
        """Takes one image. Yields what became complete; raises what an extractor raises."""
        number, self._arrived = self._arrived, self._arrived + 1
        self._held[number] = _Row(inputs, set(self._extractors))
        for part, extractor in self._extractors.items():
            shape = extractor.shape(inputs.parts[part])
            if shape is None:
                yield from self._put(number, part, extractor.finish(None, [inputs.parts[part]])[0])
                continue
            queue = self._queues.setdefault((part, shape), [])
            queue.append(number)
            if len(queue) == self._batch:
                self._start((part, shape))
                yield from self._finish(running=1)
        while len(self._held) > self._waiting:
            yield from self._hurry()

    def drain(self) -> Iterator[Complete]:
        """Runs what is left."""
        while self._held:
            yield from self._hurry()

    def _hurry(self) -> Iterator[Complete]:
        """Runs the oldest image's waiting batches, full or not, and waits for it."""
        oldest = next(iter(self._held))
        for queue in [queue for queue, members in self._queues.items() if oldest in members]:
            self._start(queue)
            yield from self._finish(running=1)
        if oldest in self._held:
            yield from self._finish(running=0)

    def _start(self, queue: tuple[str, Hashable]) -> None:
        part, members = queue[0], self._queues.pop(queue)
        started = self._extractors[part].start([self._held[n].inputs.parts[part] for n in members])
        self._running.append((part, members, started))

    def _finish(self, running: int) -> Iterator[Complete]:
        """Fetches results, the earliest first, until so many batches are left on the devices."""
        while len(self._running) > running:
            part, members, started = self._running.popleft()
            results = self._extractors[part].finish(started, [self._held[n].inputs.parts[part] for n in members])
            for number, values in zip(members, results, strict=True):
                yield from self._put(number, part, values)

    def _put(self, number: int, part: str, values: dict[str, Any]) -> Iterator[Complete]:
        row = self._held[number]
        row.values |= values
        row.lacking.discard(part)
        row.inputs.parts[part] = None  # an image's arrays need not outlive their part
        if not row.lacking:
            yield self._held.pop(number).inputs, row.values
