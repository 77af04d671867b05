"""A short form of the fuzzing of readers; `python -m tests.helpers.fuzz` is the long one."""

import pytest

from tests.helpers import fuzz, fuzz_targets


@pytest.mark.filterwarnings("ignore")  # of libraries, about what the changed files hold
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_readers_answer_changed_files_with_their_own_error(tmp_path, name):
    found = fuzz.fuzz(name, 30, 10**6, tmp_path)
    assert (found.wrong, found.tracebacks, found.hangs) == (0, 0, 0), found.examples
    assert found.trials == 30


@pytest.mark.filterwarnings("ignore")  # a reader that is cut leaves its file open
def test_faults_are_counted(tmp_path, monkeypatch):
    """A reader that raises anything else, returns another value or never ends is found."""

    def read(folder):
        content = (folder / "a").read_bytes()
        if content == b"ok" * 50:
            return {}
        if len(content) % 4 == 1:
            raise IndexError
        while len(content) < 90:
            pass
        return {"a": content}

    def make(folder):
        (folder / "a").write_bytes(b"ok" * 50)
        return [folder / "a"]

    monkeypatch.setattr(fuzz, "SECONDS", 0.01)
    monkeypatch.setattr(fuzz, "_same", lambda found, whole: found == whole)
    monkeypatch.setitem(fuzz.TARGETS, "toy", fuzz_targets.Target(make, read, (ValueError,), compare=True))
    found = fuzz.fuzz("toy", 60, 0, tmp_path)
    assert found.wrong and found.tracebacks and found.hangs
