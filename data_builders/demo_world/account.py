"""Writes one account: draws its photos, and writes its image and .info files with the planted defects."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from data_builders.demo_world import captions, instagram, plants
from data_builders.demo_world.defects import ON_GOOD_POSTS, Defect
from data_builders.demo_world.draw import draw
from data_builders.demo_world.features import Row, features
from data_builders.demo_world.likes import LAYERS, OBJECTS, POSES, SCENES, Post, draw_account
from data_builders.demo_world.parameters import Parameters

CONSTANT_LIKES = 3
# Streams of random numbers; likes, defects, features, write and plants have others.
_ACCOUNT_WORDS, _POST, _IMAGE, _COMMENTS = 4, 5, 6, 9


@dataclass(frozen=True)
class Arguments:
    """The flags of `ipa-jax demo-world` other than --set. With the parameters they fix every byte.

    Attributes:
      accounts: number of accounts.
      posts: good posts per account.
      side, depth_side: pixels, the side of a photo and of a stored depth map.
      seed: of all random numbers.
      plant: one of plants.PLANTS, or None.
    """

    accounts: int
    posts: int
    side: int
    depth_side: int
    seed: int
    plant: str | None = None


@dataclass(frozen=True)
class Written:
    """What an account adds to the files that all accounts share.

    Attributes:
      user: its name.
      influencer: its line of influencers.txt.
      rows: its lines of the mapping.
      features: (image id, row) of each image that the store holds.
      truth: its rows of truth.parquet.
      planted: its defects.
      carousels: number of good posts with several images.
      images: number of images drawn.
    """

    user: str
    influencer: str
    rows: list[str]
    features: list[tuple[str, Row]]
    truth: list[dict]
    planted: list[Defect]
    carousels: int
    images: int


def is_constant(number: int, accounts: int, parameters: Parameters) -> bool:
    """Whether all posts of an account show 3 likes, as accounts with hidden likes do."""
    return number >= accounts - min(parameters.constant_accounts, accounts // 8)


def write_account(
    root: Path, number: int, planted: list[Defect], arguments: Arguments, parameters: Parameters
) -> Written:
    """Writes the files of account `number` below root/image and root/info. Every process writes the same bytes.

    Args:
      root: the folder of the raw data.
      number: of the account, from 0.
      planted: the account's defects.
      arguments, parameters: of the world.
    """
    extra = [defect for defect in planted if defect not in ON_GOOD_POSTS]
    account = draw_account(arguments.seed, number, arguments.posts, len(extra), parameters)
    rng = np.random.default_rng([arguments.seed, _ACCOUNT_WORDS, number])
    user = instagram.user_name(number, rng)
    category = "fasion" if number == 0 else str(rng.choice(instagram.CATEGORIES))  # one row of the real file says so
    constant = is_constant(number, arguments.accounts, parameters)
    writer = _Writer(root, number, user, constant, arguments, parameters)

    good = plants.posts_of(
        arguments.plant, account.posts, arguments.posts + len(extra), arguments.seed, number, parameters
    )
    posts: list[tuple[Post, Defect | None]] = [(post, None) for post in good]
    for post, defect in zip(account.extra, extra, strict=True):
        images = max(2, post.images) if defect is Defect.FIRST_IMAGE_MISSING else 1
        posts.append((replace(post, images=images), defect))
    for post, defect in sorted(posts, key=lambda item: -item[0].time):  # newest first, as crawlers list them
        writer.write_post(post, defect)
    repeated = writer.repeat_posts([defect for defect in planted if defect in ON_GOOD_POSTS], rng)
    return Written(
        user=user,
        influencer=instagram.influencer_row(
            user, category, account.followers, int(rng.integers(80, 3000)), len(writer.rows)
        ),
        rows=writer.rows,
        features=writer.features,
        truth=writer.truth,
        planted=extra + repeated,
        carousels=sum(post.images > 1 for post in good),
        images=writer.images,
    )


class _Writer:
    """Writes the files of one account and collects what goes into shared files, in attributes named as in Written."""

    def __init__(
        self, root: Path, number: int, user: str, constant: bool, arguments: Arguments, parameters: Parameters
    ) -> None:
        self.root, self.number, self.user, self.constant = root, number, user, constant
        self.arguments, self.parameters = arguments, parameters
        self.rows: list[str] = []
        self.features: list[tuple[str, Row]] = []
        self.truth: list[dict] = []
        self.images = 0
        self._single: list[tuple[str, str]] = []  # (post id, .info text) of good posts with one image

    def write_post(self, post: Post, defect: Defect | None) -> None:
        post_id = instagram.post_id(self.number, post.number, post.time)
        ids = [post_id]
        if post.images > 1:
            ids = [instagram.post_id(self.number, post.number, post.time, i + 1) for i in range(post.images)]
        for i, image_id in enumerate(ids):
            if defect is Defect.IMAGE_MISSING or (defect is Defect.FIRST_IMAGE_MISSING and i == 0):
                continue
            self._write_image(post, i, image_id, defect)
        self.rows.append(instagram.mapping_row(self.user, post_id, ids))
        if defect is not Defect.INFO_MISSING:
            text = self._info(post, post_id, ids, defect)
            (self.root / "info" / f"{self.user}-{post_id}.info").write_text(text, encoding="utf-8")
            if defect is None and len(ids) == 1:
                self._single.append((post_id, text))

    def repeat_posts(self, planted: list[Defect], rng: np.random.Generator) -> list[Defect]:
        """Repeats good posts of one image, after all other rows. Returns the defects that found such a post."""
        order = rng.permutation(len(self._single))
        for defect, which in zip(planted, order, strict=False):
            post_id, text = self._single[which]
            if defect is Defect.DUPLICATE_ROW:
                self.rows.append(instagram.mapping_row(self.user, post_id, [post_id]))
            else:
                again = str(int(post_id) + (1 << 22))  # an id that no other post of the account has
                self.rows.append(instagram.mapping_row(self.user, again, [post_id]))
                (self.root / "info" / f"{self.user}-{again}.info").write_text(text, encoding="utf-8")
        return planted[: len(order)]

    def _write_image(self, post: Post, position: int, image_id: str, defect: Defect | None) -> None:
        a, p = self.arguments, self.parameters
        shown = post.number if post.drawn_as is None else post.drawn_as
        rng = np.random.default_rng([a.seed, _IMAGE, self.number, shown, position])
        photo = draw(post.kind, post.layer, post.look, bool(rng.uniform() < p.bystanders), rng, a.side)
        data = _jpeg(photo.rgb, None if post.drawn_as is None else plants.REPOST_QUALITY)
        self.images += 1
        path = self.root / "image" / f"{self.user}-{image_id}.jpg"
        if defect is Defect.IMAGE_UNREADABLE:
            path.write_bytes((data[: len(data) // 2], b"<html>404</html>", b"")[rng.integers(3)])
            return
        path.write_bytes(data)
        self.truth.append(self._truth(post, image_id))
        if defect is not Defect.NO_FEATURES:
            self.features.append((image_id, features(post.kind, photo, a.seed, a.depth_side, p, rng)))

    def _truth(self, post: Post, image_id: str) -> dict:
        scene, pose, thing = post.kind
        return {
            "account": self.user,
            "post_id": instagram.post_id(self.number, post.number, post.time),
            "image_id": image_id,
            "time": post.time,
            "scene": SCENES[scene],
            "pose": POSES[pose],
            "object": OBJECTS[thing],
            "layer": LAYERS[post.layer],
            "log_followers_growth": post.followers,
            "universal": post.universal,
            "taste": post.taste,
            "depth": post.depth,
            "noise": post.noise,
        }

    def _info(self, post: Post, post_id: str, ids: list[str], defect: Defect | None) -> str:
        p = self.parameters
        rng, texts = (
            np.random.default_rng([self.arguments.seed, stream, self.number, post.number])
            for stream in (_POST, _COMMENTS)
        )
        success = post.effects / p.effects_sd if p.effects_sd else 0.0
        likes = CONSTANT_LIKES if self.constant else post.likes
        planted = {Defect.LIKES_HIDDEN: -1, Defect.LIKES_MISSING: None, Defect.LIKES_BELOW_1: 0}
        text = instagram.info(
            self.user,
            self.number,
            post_id,
            time=None if defect is Defect.NO_TIMESTAMP else post.time,
            likes=likes if defect is None else planted.get(defect, likes),
            images=ids,
            caption=captions.caption(post.kind, p.wrong_words, rng),
            comments=captions.comments(likes, success, rng, texts),
            video=defect is Defect.VIDEO,
            sponsor=f"brand_{rng.integers(50)}" if rng.uniform() < p.sponsored else None,
            tagged=[f"friend.{n}" for n in rng.integers(500, size=rng.poisson(p.tagged))],
            side=self.arguments.side,
        )
        if defect is Defect.INFO_EMPTY:
            return ""
        return text[: len(text) // 2] if defect is Defect.INFO_BROKEN else text


def _jpeg(rgb: np.ndarray, quality: int | None = None) -> bytes:
    file = io.BytesIO()
    small = len(rgb) < 100  # then every pixel of colour counts
    quality = quality or (92 if small else 88)
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=0 if small else 2)
    return file.getvalue()
