"""benchmarks.own_past: its table of made-up records."""

from benchmarks.own_past import NAMES, table, world


def account(pairs: int, right: int, window_days: int = 7) -> dict:
    return {"posts": 30, "window_days": window_days, "pairs": pairs, "right": dict.fromkeys(NAMES, float(right))}


def test_accounts_are_pooled_by_their_pairs():
    worlds = [{"accounts": {"a": account(10, 10), "b": account(30, 15, 14)}}, {"accounts": {"c": account(40, 20)}}]
    worlds[0]["accounts"]["none"] = account(0, 0)
    lines = table(worlds).splitlines()
    rows = [line for line in lines[2:] if line.startswith("|")]
    assert len(rows) == len(NAMES) and all("| 56.2 | 50.0 to " in row and "| 62.5, 50.0 |" in row for row in rows)
    assert all("| +0.0 (+0.0 to +0.0) |" in row for row in rows if "auto" not in row)
    assert "2 worlds, 3 accounts with pairs, 120 posts, 80 pairs; 2 accounts were tested within a week" in lines


def test_a_world_that_was_measured_is_read(tmp_path):
    command = '{"world": {"seed": 3, "accounts": 4, "posts": 9, "side": 32}, "accounts": {}}'
    (tmp_path / "seed3.json").write_text(command)
    assert world(tmp_path, 4, 9, 32, 3)["accounts"] == {}
