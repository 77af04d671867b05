"""What the file keeps, and what it refuses."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ipa_jax.human_study import answers as store
from tests.helpers.participants import PAIRS, enter


def test_the_first_answer_counts_and_pairs_come_in_order(answers, dataset):
    who = enter(answers, dataset, "Ada")
    first, second = answers.upcoming(who)
    assert (first.position, second.position) == (1, 2)
    assert not answers.answer(who, second.key, "left", 1.0)  # not its turn
    assert not answers.answer(who, first.key, "middle", 1.0)
    assert answers.answer(who, first.key, "left", 1.0)
    assert not answers.answer(who, first.key, "right", 2.0)
    assert [choice.side for choice in answers.choices()] == ["left"]
    assert answers.upcoming(who)[0] == second


def test_an_answer_right_after_another_is_the_rest_of_a_double_click(answers, dataset):
    who = enter(answers, dataset, "Ada")
    keys = [pair.key for pair in answers.upcoming(who)]
    assert answers.answer(who, keys[0], "left", 100.0)
    assert not answers.answer(who, keys[1], "left", 100.0 + store.PACE / 2)
    assert answers.answer(who, keys[1], "left", 100.0 + store.PACE)
    assert answers.answer(who, answers.upcoming(who)[0].key, "left", 50.0)  # the clock was set back


def test_one_cannot_answer_for_another(answers, dataset):
    ada, bob = (enter(answers, dataset, name) for name in ("Ada", "Bob"))
    assert not answers.answer(bob, answers.upcoming(ada)[0].key, "left", 1.0)
    assert answers.photo(bob, answers.upcoming(ada)[0].left) is None
    assert not answers.choices()


def test_the_file_itself_refuses_doubles(answers, dataset):
    who = enter(answers, dataset, "Ada")
    assert answers.answer(who, answers.upcoming(who)[0].key, "left", 1.0)
    db = sqlite3.connect(answers.path)
    db.execute("PRAGMA foreign_keys = ON")
    for statement in (
        "INSERT INTO answers VALUES (1, 1, 'right', 9)",
        "INSERT INTO answers VALUES (1, 2, 'middle', 9)",
        f"INSERT INTO answers VALUES (1, {PAIRS + 1}, 'left', 9)",
        "INSERT INTO answers VALUES (2, 1, 'left', 9)",
        "INSERT INTO pairs SELECT 1, 99, 'k', record, right_image, left_image, 'l', 'r' FROM pairs WHERE position = 1",
        "INSERT INTO participants SELECT 5, code, 'Eve', 0 FROM participants",
        "INSERT INTO study VALUES (2, 'd', 'test', 'x', 1, 0)",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_nothing_in_the_file_says_likes(answers, dataset):
    enter(answers, dataset, "Ada")
    db = sqlite3.connect(answers.path)
    text = " ".join(sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    db.close()
    assert "like" not in text


def test_threads_at_once_lose_and_double_nothing(answers, dataset):
    """Four people, each answering every pair from four threads at the same moment."""
    with ThreadPoolExecutor(8) as pool:
        people = list(pool.map(lambda i: enter(answers, dataset, f"P{i}"), range(4)))
        for second in range(PAIRS):
            keys = {who: answers.upcoming(who)[0].key for who in people}
            kept = pool.map(lambda i: answers.answer(i[0], i[1], "left", i[2]), [
                (who, keys[who], float(second)) for who in people for _ in range(4)
            ])  # fmt: skip
            assert sum(kept) == 4
    assert Counter(choice.participant for choice in answers.choices()) == dict.fromkeys(people, PAIRS)


def test_a_study_resumes_and_another_is_refused(answers, dataset):
    study = answers.study()
    enter(answers, dataset, "Ada")
    answers.create(study)
    assert [person.name for person in answers.participants()] == ["Ada"]
    with pytest.raises(ValueError, match=r"another study .pairs 5, not 6.*--db"):
        answers.create(store.Study(study.data, study.split, study.digest, pairs=6, seed=0))


def test_a_damaged_study_is_named(answers):
    """Its row is gone, or a name in the schema is no UTF-8, which sqlite3 cannot even put into its message."""
    whole = answers.path.read_bytes()
    with sqlite3.connect(answers.path) as db:
        db.execute("DELETE FROM study")
    with pytest.raises(OSError, match="--db"):
        answers.study()
    db.close()
    for wal in answers.path.parent.glob(f"{answers.path.name}-*"):
        wal.unlink()
    answers.path.write_bytes(whole.replace(b"CREATE TABLE answers (", b"CREATE TABLE answ\xffrs ("))
    with pytest.raises(OSError, match="--db"):
        answers.participants()


@pytest.fixture
def answered(answers, dataset):
    who = enter(answers, dataset, "Ada")
    assert answers.answer(who, answers.upcoming(who)[0].key, "left", 1.0)
    return answers


def edited(answers, statement):
    db = sqlite3.connect(answers.path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE answers SET side = 'right'", "answers 1 1"),
        ("DELETE FROM answers", "answers 1 1"),
        ("UPDATE pairs SET record = record + 1 WHERE position = 2", "pairs 1 2"),
        ("UPDATE participants SET name = 'Bob'", "participants 1"),
        ("UPDATE study SET seed = 9", "study 1"),
    ],
)
def test_a_changed_or_lost_row_is_named(answered, statement, named):
    answered.study()
    edited(answered, statement)
    with pytest.raises(OSError, match=f"is damaged .*{named}.*--db"):
        answered.study()


def test_a_study_of_before_is_read_with_a_warning_and_sealed_when_it_goes_on(answered, dataset, capsys):
    edited(answered, "DROP TABLE seals")
    study = answered.study()
    assert "has no checksums" in capsys.readouterr().err
    answered.create(study)
    enter(answered, dataset, "Bob")
    answered.study()
    edited(answered, "UPDATE answers SET side = 'right'")
    with pytest.raises(OSError, match="is damaged"):
        answered.study()


def test_files_that_are_no_study_are_left_alone(tmp_path):
    study = store.Study("data", "test", "x", 1, 0)
    text, other = tmp_path / "a.txt", tmp_path / "b.sqlite"
    text.write_text("not a database, whatever it is called " * 40)
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(OSError, match="--db"):
            store.Answers(path).create(study)
        assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="--db"):
        store.Answers(tmp_path / "none").study()
    with pytest.raises(OSError, match="--db"):
        store.Answers(tmp_path).study()  # a folder


@pytest.mark.parametrize(
    ("typed", "code"), [("K7FQ 2m9x", "k7fq-2m9x"), ("k7fq2m9x", "k7fq-2m9x"), ("k7fq-2m9", None), ("k7fq-2m90", None)]
)
def test_codes_are_read_as_people_write_them(typed, code):
    assert store.read_code(typed) == code
    assert store.read_code(store.new_code())
