"""Every image becomes one row, whatever the shapes and batch sizes; a batch has one shape; nothing waits forever."""

from hypothesis import given
from hypothesis import strategies as st

from data_builders.features.inputs import Image, Inputs
from data_builders.features.schedule import Schedule


class Doubler:
    """Doubles each image's number; its shape is the number's remainder, None for multiples of ten."""

    def __init__(self, name: str, shapes: int):
        self.name, self._shapes, self.batches = name, shapes, []

    def shape(self, number: int):
        return None if number % 10 == 0 else number % self._shapes

    def start(self, batch):
        self.batches.append(list(batch))
        return [2 * number for number in batch]

    def finish(self, started, batch):
        return [{self.name: 2 * number if started is None else started[i]} for i, number in enumerate(batch)]


def run(numbers, shapes, batch, waiting):
    extractors = [Doubler("pose", shapes[0]), Doubler("caption", shapes[1])]
    schedule = Schedule({extractor.name: extractor for extractor in extractors}, batch, waiting)
    complete, most = [], 0
    for arrived, number in enumerate(numbers, 1):
        inputs = Inputs(Image("a", str(number), ""), 1, 1, {"pose": number, "caption": number})
        complete += schedule.add(inputs)
        most = max(most, arrived - len(complete))
    return complete + list(schedule.drain()), extractors, most


@given(
    st.lists(st.integers(0, 99), unique=True),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 5),
    st.integers(1, 12),
)
def test_every_image_becomes_one_row(numbers, shapes, batch, waiting):
    complete, extractors, most = run(numbers, shapes, batch, waiting)
    got = {int(inputs.image.image_id): values for inputs, values in complete}
    assert len(complete) == len(numbers)
    assert got == {number: {"pose": 2 * number, "caption": 2 * number} for number in numbers}
    assert most <= waiting
    for extractor, count in zip(extractors, shapes, strict=True):
        for members in extractor.batches:
            assert 1 <= len(members) <= batch
            assert len({number % count for number in members}) == 1


def test_batches_are_filled_where_there_is_room_to_wait():
    """Two shapes in turn, batches of three, room for all images: only the last batch of each shape is short."""
    _, extractors, _ = run([n for n in range(1, 40) if n % 10], (2, 1), 3, 100)
    assert sorted(map(len, extractors[0].batches)) == [1, 2] + [3] * 11  # of 20 odd and 16 even numbers
    assert all(len(members) == 3 for members in extractors[1].batches)


def test_arrays_do_not_outlive_their_extractor():
    complete, _, _ = run([1, 2, 3], (1, 1), 2, 10)
    assert all(set(inputs.prepared.values()) == {None} for inputs, _ in complete)
