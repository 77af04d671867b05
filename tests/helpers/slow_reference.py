"""The retrieval data again, as the method's text says it: plain loops over plain Python numbers, nothing shared with
`data_builders`, nothing fast. An account is a name and a list of posts:

  {"id": str, "time": int, "likes": int, "images": [
      {"id": str, "width": int, "height": int, "people": [(keypoints, box)], "background": [...], "caption": [...]}]}

with keypoints a list of 17 (x, y, score) and box (x0, y0, x1, y1). `choices` is the nested dict of `config.data`.
"""

import hashlib
import math

DAY = 86400
SIGMAS = [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072]
SIGMAS += [0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]


def groups(posts, options):
    """Kept groups, each {"posts": [...], "images": [(post, image)], "pairs": [(i, j)]}, and how many singletons."""
    limits = options["groups"]
    free = [p for p in sorted(posts, key=lambda p: (p["time"], p["id"])) if len(p["images"]) <= limits["max_images"]]
    walked = []
    while free:
        group, room, last = [], limits["max_images"], free[0]["time"] + round(limits["window_days"] * DAY)
        while free and free[0]["time"] <= last and len(free[0]["images"]) <= room:
            room -= len(free[0]["images"])
            group.append(free.pop(0))
        walked.append(group)
    singletons = sum(len(group) == 1 for group in walked)
    newest = max((p["time"] for group in walked for p in group), default=0)
    kept = []
    for group in walked:
        old = [p for p in group if newest - p["time"] >= round(options["posts"]["min_age_days"] * DAY)]
        images = [(p, image) for p in old for image in p["images"]]
        pairs = []
        for i in range(len(images)):
            for j in range(i + 1, len(images)):
                a, b = images[i][0], images[j][0]
                high, low = max(a["likes"], b["likes"]), min(a["likes"], b["likes"])
                if a is not b and high > options["pairs"]["min_ratio"] * low:
                    pairs.append((i, j))
        if len(images) >= limits["min_images"] and pairs:
            kept.append({"posts": old, "images": images, "pairs": pairs})
    return kept, singletons


def split(account, group, options):
    """The group's split: "train", "validation" or "test"."""
    text = f"{options['split']['seed']}|{account}"
    if options["split"]["by"] == "group":
        text += f"|{group['posts'][0]['id']}"
    first8 = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    draw = int(first8, 16) / 18446744073709551616
    if draw < 0.8:
        return "train"
    return "validation" if draw < 0.9 else "test"


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return min(max(dot / length, 0.0), 1.0) if length > 0 else 0.0


def _placed(image, person):
    """A person's keypoints [(x, y, visible)] about the box centre in longer sides, and the box area in that unit."""
    keypoints, (x0, y0, x1, y1) = person
    side = max(image["width"], image["height"])
    return keypoints, ((x0 + x1) / 2, (y0 + y1) / 2), side, max(x1 - x0, 0) / side * max(y1 - y0, 0) / side


def oks(query, a, retrieved, b, threshold):
    points_a, centre_a, side_a, area = _placed(query, a)
    points_b, centre_b, side_b, _ = _placed(retrieved, b)
    visible = sum(score > threshold for _, _, score in points_a)
    total = 0.0
    for (xa, ya, score_a), (xb, yb, score_b), sigma in zip(points_a, points_b, SIGMAS, strict=True):
        if score_a > threshold and score_b > threshold:
            dx = (xa - centre_a[0]) / side_a - (xb - centre_b[0]) / side_b
            dy = (ya - centre_a[1]) / side_a - (yb - centre_b[1]) / side_b
            total += math.exp(-(dx * dx + dy * dy) / (2 * area * (2 * sigma) ** 2))
    return total / visible


def pose(query, retrieved, threshold):
    weighted = areas = 0.0
    for a in query["people"]:
        area = _placed(query, a)[3]
        if area == 0 or not any(score > threshold for _, _, score in a[0]):
            continue
        areas += area
        weighted += area * max((oks(query, a, retrieved, b, threshold) for b in retrieved["people"]), default=0.0)
    return weighted / areas if areas > 0 else 0.0


def parts(query, retrieved, options):
    """S and its three parts."""
    w = options["similarity"]
    three = [
        pose(query, retrieved, options["pose"]["keypoint_threshold"]),
        cosine(query["background"], retrieved["background"]),
        cosine(query["caption"], retrieved["caption"]),
    ]
    return [w["pose"] * three[0] + w["background"] * three[1] + w["caption"] * three[2], *three]


def bank(account, posts, options):
    """The groups of the memory bank."""
    kept, _ = groups(posts, options)
    if options["split"]["by"] == "account":
        return kept
    return [group for group in kept if split(account, group, options) == "train"]


def seen_posts(account, posts, options, group, post, time):
    """Posts that a query may see; `group` and `post` are None for a photo that is no post of the account."""
    memory = options["memory"]
    exclude = "group"
    if group is not None and split(account, group, options) == "train":
        exclude = memory["exclude"]
    seen = []
    for other in bank(account, posts, options):
        for m in other["posts"]:
            if exclude == "group" and group is not None and other["posts"][0]["id"] == group["posts"][0]["id"]:
                continue
            if exclude == "post" and m is post:
                continue
            if memory["past_only"] and not m["time"] < time - round(memory["min_lag_days"] * DAY):
                continue
            seen.append(m)
    return seen


def top_k(query, seen, options):
    """[(image id, S, pose, background, caption, local score, |A_r|)] of at most K posts, in rank order."""
    ranked = []
    for post in seen:
        for image in post["images"]:
            values = parts(query, image, options)
            ranked.append((-round(values[0], 6), -post["time"], image["id"], post, values))
    ranked.sort(key=lambda row: row[:3])
    result, used = [], []
    for _, _, image_id, r, values in ranked:
        if r["id"] in used or len(result) == options["retrieval"]["k"]:
            continue
        used.append(r["id"])
        window = [m for m in seen if abs(r["time"] - m["time"]) < round(options["memory"]["window_days"] * DAY)]
        if not options["memory"]["mean_includes_retrieved"]:
            window = [m for m in window if m is not r]
        likes = sum(m["likes"] for m in window)
        local = r["likes"] / (likes / len(window)) if window else 1.0
        result.append((image_id, *values, local, len(window)))
    return result


def retrieve(account, posts, options):
    """{image id: its Top-K} over all images of kept groups."""
    result = {}
    for group in groups(posts, options)[0]:
        for post in group["posts"]:
            seen = seen_posts(account, posts, options, group, post, post["time"])
            for image in post["images"]:
                result[image["id"]] = top_k(image, seen, options)
    return result


def retrieve_new(account, posts, options, photo, time):
    """Top-K of a photo that is no post of the account."""
    return top_k(photo, seen_posts(account, posts, options, None, None, time), options)
