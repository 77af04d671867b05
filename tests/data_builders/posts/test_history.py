"""open_history: what lies there, whose it is, and zips that mean harm."""

import io
import json
import stat
import zipfile

import pytest
from PIL import Image

from data_builders.posts import archive
from data_builders.posts.history import open_history
from data_builders.posts.post import RawDataError
from tests.helpers.raw_layout import InstagramFolder, save_image

TIME = 1_580_479_509
HEADER = "image,account,likes,timestamp"


def photo() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 24), (90, 120, 40)).save(out, "JPEG")
    return out.getvalue()


def export(prefix: str = "") -> dict[str, bytes]:
    """The members of a small export of Instagram."""
    posts = [
        {
            "media_map_data": {"Media Thumbnail": {"uri": f"media/posts/{n}.jpg", "creation_timestamp": TIME + n}},
            "string_map_data": {"Likes": {"value": f"{n + 5}"}},
        }
        for n in range(3)
    ]
    user = {"profile_user": [{"string_map_data": {"Username": {"value": "ann"}}}]}
    members = {f"media/posts/{n}.jpg": photo() for n in range(3)}
    members |= {
        "logged_information/past_instagram_insights/posts.json": json.dumps({"organic_insights_posts": posts}).encode(),
        "personal_information/personal_information/personal_information.json": json.dumps(user).encode(),
        "your_instagram_activity/messages/inbox/bob_1/photos/secret.jpg": photo(),
        "your_instagram_activity/messages/inbox/bob_1/message_1.json": b"{}",
        "connections/followers_1.json": b"[]",
        "media/posts/video.mp4": b"video",
    }
    return {f"{prefix}{name}": data for name, data in members.items()}


def write_zip(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def posts_csv(folder, **accounts: int) -> None:
    lines = []
    for account, count in accounts.items():
        for number in range(count):
            save_image(folder / f"{account}{number}.jpg")
            lines.append(f"{account}{number}.jpg,{account},{number + 5},{TIME + number}")
    (folder / "posts.csv").write_text("\n".join([HEADER, *lines]))


def test_one_account_needs_no_choice(tmp_path, monkeypatch):
    posts_csv(tmp_path, ann=3)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for path in (tmp_path, tmp_path / "posts.csv", type(tmp_path)(f"~/{tmp_path.name}")):
        history = open_history(path, None, tmp_path / "cache")
        assert (history.account, history.accounts, history.as_of) == ("ann", ("ann",), TIME + 2)
        assert history.layout == "a list of your posts" and history.root == tmp_path
        assert all((history.root / where[0]).is_file() for where in history.table["image_paths"])
        assert "a list of your posts, account ann, 3 posts, 2020-01-31 to 2020-01-31" in history.summary()
    assert not (tmp_path / "cache").exists()


def test_a_list_of_one_account_needs_no_column_account(tmp_path):
    posts_csv(tmp_path, ann=3)
    rows = [line.split(",") for line in (tmp_path / "posts.csv").read_text().splitlines()]
    (tmp_path / "posts.csv").write_text("\n".join(",".join([row[0], *row[2:]]) for row in rows))
    history = open_history(tmp_path, None, tmp_path / "cache")
    assert history.account == "me" and len(history.table) == 3
    assert any("no column account" in text and "me" in text for text in history.skips.warnings)
    assert open_history(tmp_path, "@ann", tmp_path / "cache").account == "ann"


def test_what_was_left_out_is_shown_with_an_example(tmp_path):
    posts_csv(tmp_path, ann=3)
    with open(tmp_path / "posts.csv", "a") as file:
        file.write(f"\nann0.jpg,ann,99,{TIME}\n")  # the image again, with other likes
    summary = open_history(tmp_path, None, tmp_path / "cache").summary()
    assert "bad row: 1 (such as posts.csv:5: likes or timestamp differ" in summary


def instaloader(folder) -> None:
    node = {"edge_media_preview_like": {"count": 5}, "taken_at_timestamp": TIME, "owner": {"username": "ann"}}
    value = {"node": node, "instaloader": {"node_type": "Post"}}
    (folder / "2020-01-31_14-05-09_UTC.json").write_text(json.dumps(value))
    save_image(folder / "2020-01-31_14-05-09_UTC.jpg")


def graph_api(folder) -> None:
    media = {"id": "1", "username": "ann", "like_count": 5, "timestamp": "2020-01-31T14:05:09+0000"}
    (folder / "media.json").write_text(json.dumps({"data": [media]}))
    save_image(folder / "1.jpg")


def flickr_user(folder) -> None:
    header = "user,img_id,img_url,views,favorites,comments,upload_date"
    (folder / "FlickrUser.csv").write_text(f"{header}\nann,1,https://x/1.jpg,9,5,0,{TIME}\n")
    save_image(folder / "images" / "1.jpg")


def instagram_export(folder) -> None:
    for name, data in export().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("write", "layout"),
    [
        (instaloader, "profile folders of Instaloader"),
        (graph_api, "media of the Instagram Graph API"),
        (flickr_user, "FlickrUser"),
        (instagram_export, "an export of Instagram"),
    ],
)
def test_every_layout_is_told_by_its_name(tmp_path, write, layout, zipped):
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw)
    if zipped:
        members = {f"raw/{f.relative_to(raw)}": f.read_bytes() for f in raw.rglob("*") if f.is_file()}
        raw = write_zip(tmp_path / "raw.zip", members)
    history = open_history(raw, None, tmp_path / "cache")
    assert (history.layout, history.account) == (layout, "ann")
    assert history.table["likes"][0] == 5 and history.table["time"][0] == TIME
    assert all((history.root / path).is_file() for path in history.table["image_paths"].explode())


def test_several_accounts_are_listed_and_one_is_chosen(tmp_path):
    posts_csv(tmp_path, ann=2, Bob=3)
    with pytest.raises(RawDataError, match=r"2 accounts here\. Choose one with --account: Bob \(3 posts\), ann \(2"):
        open_history(tmp_path, None, tmp_path)
    for name in ("Bob", "bob", "@bob"):
        history = open_history(tmp_path, name, tmp_path)
        assert history.account == "Bob" and history.table["account"].to_list() == ["Bob"] * 3
        assert history.accounts == ("Bob", "ann")
    with pytest.raises(RawDataError, match=r"no usable post of an account 'anne'; did you mean ann\?.*Bob \(3 posts\)"):
        open_history(tmp_path, "anne", tmp_path)


def test_at_most_twenty_accounts_are_listed(tmp_path):
    posts_csv(tmp_path, **{f"u{n:02}": 1 for n in range(23)})
    with pytest.raises(RawDataError, match=r"23 accounts here.*u19 \(1 posts\), and 3 more\.$"):
        open_history(tmp_path, None, tmp_path)


def test_only_the_chosen_account_of_the_large_data_set_is_read(tmp_path):
    folder = InstagramFolder(tmp_path)
    for name in ("ann", "bob"):
        folder.account(name)
        folder.post(name, "1", missing=["info"] if name == "bob" else [])
    folder.write()
    with pytest.raises(RawDataError, match=r"2 accounts here.*ann, bob"):
        open_history(tmp_path, None, tmp_path)
    history = open_history(tmp_path, "ann", tmp_path)
    assert len(history.table) == 1 and not history.skips.counts and history.accounts == ("ann", "bob")


@pytest.mark.parametrize("prefix", ["", "instagram-ann-2026-01-02-x/"])
def test_a_zip_is_unpacked_once_and_only_what_is_needed(tmp_path, prefix, monkeypatch):
    path = write_zip(tmp_path / "instagram-ann-2026-03-04-x.zip", export(prefix))
    history = open_history(path, None, tmp_path / "cache")
    assert history.account == "ann" and history.layout == "an export of Instagram"
    assert history.table["likes"].to_list() == [5, 6, 7]
    assert history.as_of == 1_772_582_400  # 2026-03-04
    names = {file.name for file in history.root.rglob("*") if file.is_file()}
    assert names == {"0.jpg", "1.jpg", "2.jpg", "posts.json", "personal_information.json"}
    monkeypatch.setattr(archive, "_extract", None)
    assert open_history(path, None, tmp_path / "cache").root == history.root
    write_zip(path, export(prefix) | {f"{prefix}media/posts/0.jpg": photo() + b"more"})
    with pytest.raises(TypeError):  # another content is unpacked anew
        open_history(path, None, tmp_path / "cache")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [history.root.name]


def test_a_zip_of_any_layout(tmp_path):
    posts_csv(tmp_path, ann=2)
    members = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    path = write_zip(tmp_path / "mine.ZIP", {f"mine\\{name}": data for name, data in members.items()})
    history = open_history(path, None, tmp_path / "cache")
    assert len(history.table) == 2 and history.root.name == "mine"
    path = write_zip(tmp_path / "mine2.zip", {**members, "__MACOSX/._a.jpg": b"", ".DS_Store": b"", "run.sh": b"rm"})
    history = open_history(path, None, tmp_path / "cache")
    assert len(history.table) == 2 and len(list(history.root.rglob("*"))) == 3


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/a.jpg", "x/../../a.jpg", "..\\a.jpg", "C:\\a.jpg", "a\x01.jpg", "x//a.jpg"]
)
def test_no_member_escapes(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", {"posts.csv": HEADER.encode(), name: photo()})
    with pytest.raises(RawDataError, match=r"a\.zip: the member .* leads out of its folder"):
        open_history(path, None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_links_and_passwords_are_refused(tmp_path):
    link = zipfile.ZipInfo("a.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(RawDataError, match=r"'a\.jpg' is a link"):
        open_history(tmp_path / "a.zip", None, tmp_path / "cache")
    data = bytearray(write_zip(tmp_path / "b.zip", {"a.jpg": b"x"}).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(RawDataError, match="password"):
        open_history(tmp_path / "b.zip", None, tmp_path / "cache")


def test_sizes_and_counts_are_bounded(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(5000), "b.jpg": bytes(10)})
    for name, value, message in [
        ("MOST_PHOTO", 4000, r"'a\.jpg' has 5000 bytes, more than 4000"),
        ("MOST_FILES", 1, "more than 1 files"),
        ("MOST_BYTES", 5005, "can be unpacked here"),
        ("SPARE", 1 << 60, "at most 0 MB"),
    ]:
        with monkeypatch.context() as patch, pytest.raises(RawDataError, match=message):
            patch.setattr(archive, name, value)
            open_history(path, None, tmp_path / "cache")


def test_a_zip_that_lies_or_is_broken_leaves_nothing(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(5000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (50).to_bytes(4, "little")  # says 50 bytes
    for content in (bytes(data), path.read_bytes()[:60], b"no zip", b""):
        (tmp_path / "b.zip").write_bytes(content)
        with pytest.raises(RawDataError, match=r"b\.zip: this zip is broken"):
            open_history(tmp_path / "b.zip", None, tmp_path / "cache")
        assert not list((tmp_path / "cache").glob("*"))
    twice = write_zip(tmp_path / "c.zip", {"a.jpg": b"x", "a.jpg/b.jpg": b"x"})
    with pytest.raises(RawDataError, match="twice"):
        open_history(twice, None, tmp_path / "cache")


def test_nothing_there(tmp_path):
    with pytest.raises(RawDataError, match=r"gone\.zip: this path does not exist"):
        open_history(tmp_path / "gone.zip", None, tmp_path)
    with pytest.raises(RawDataError, match="no photos and no lists"):
        open_history(write_zip(tmp_path / "a.zip", {"run.sh": b"x"}), None, tmp_path)


def test_names_that_no_disk_takes_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"posts.csv": HEADER.encode(), "é" * 200 + ".jpg": photo()})
    with pytest.raises(RawDataError, match=r"a\.zip: the name of the member .* is longer"):
        open_history(path, None, tmp_path / "cache")


def test_members_that_begin_before_the_zip_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"posts.csv": HEADER.encode(), "a.jpg": photo()})
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\5\6") + 16  # where the directory begins, as the zip says
    content[place : place + 4] = (int.from_bytes(content[place : place + 4], "little") + 100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(RawDataError, match=r"a\.zip: this zip is broken"):
        open_history(path, None, tmp_path / "cache")
