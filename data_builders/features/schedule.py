"""Which images run together: for each extractor, images of one shape wait for each other until a batch is full.

A network runs on batches of one shape. A row is complete when all extractors have seen its image. While the devices
compute a batch, the next one is prepared: results are fetched one batch later.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_builders.features.extractors import Extractor
from data_builders.features.inputs import Inputs


@dataclass
class _Row:
    inputs: Inputs
    lacking: set[str]  # extractors that have not seen the image
    values: dict[str, Any] = field(default_factory=dict)


Complete = tuple[Inputs, dict[str, Any]]  # an image, and its arguments of FeatureWriter.write


class Schedule:
    """Takes images one by one, and yields rows when they are complete.

    Args:
      extractors: by name.
      batch: images of one shape that run together.
      waiting: images that may wait. Above it, the batches of the oldest image run although they are not full.
    """

    def __init__(self, extractors: Mapping[str, Extractor], batch: int, waiting: int):
        self._extractors = extractors
        self._batch, self._waiting = batch, waiting
        self._arrived = 0
        self._held: dict[int, _Row] = {}  # by order of arrival
        self._queues: dict[tuple[str, Hashable], list[int]] = {}  # by extractor and shape
        self._running: deque[tuple[str, list[int], Any]] = deque()

    def add(self, inputs: Inputs) -> Iterator[Complete]:
        """Takes one image. Yields the rows that it completes; raises what an extractor raises."""
        number, self._arrived = self._arrived, self._arrived + 1
        self._held[number] = _Row(inputs, set(self._extractors))
        for name, extractor in self._extractors.items():
            shape = extractor.shape(inputs.prepared[name])
            if shape is None:
                yield from self._put(number, name, extractor.finish(None, [inputs.prepared[name]])[0])
                continue
            queue = self._queues.setdefault((name, shape), [])
            queue.append(number)
            if len(queue) == self._batch:
                self._start((name, shape))
                yield from self._finish(running=1)
        while len(self._held) > self._waiting:
            yield from self._hurry()

    def drain(self) -> Iterator[Complete]:
        """Runs the images that still wait."""
        while self._held:
            yield from self._hurry()

    def _hurry(self) -> Iterator[Complete]:
        """Runs the batches that the oldest image waits in, full or not, and waits for that image."""
        oldest = next(iter(self._held))
        for queue in [queue for queue, members in self._queues.items() if oldest in members]:
            self._start(queue)
            yield from self._finish(running=1)
        if oldest in self._held:
            yield from self._finish(running=0)

    def _start(self, queue: tuple[str, Hashable]) -> None:
        name, members = queue[0], self._queues.pop(queue)
        started = self._extractors[name].start([self._held[n].inputs.prepared[name] for n in members])
        self._running.append((name, members, started))

    def _finish(self, running: int) -> Iterator[Complete]:
        """Fetches results, the earliest first, until only `running` batches are left on the devices."""
        while len(self._running) > running:
            name, members, started = self._running.popleft()
            results = self._extractors[name].finish(started, [self._held[n].inputs.prepared[name] for n in members])
            for number, values in zip(members, results, strict=True):
                yield from self._put(number, name, values)

    def _put(self, number: int, name: str, values: dict[str, Any]) -> Iterator[Complete]:
        row = self._held[number]
        row.values |= values
        row.lacking.discard(name)
        row.inputs.prepared[name] = None  # frees the memory
        if not row.lacking:
            yield self._held.pop(number).inputs, row.values
