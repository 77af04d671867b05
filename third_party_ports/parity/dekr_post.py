"""Compares what surrounds DEKR's network with the original: canvases, and poses from stored network outputs."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from third_party_ports.dekr import poses
from third_party_ports.dekr.canvas import Geometry, warp
from third_party_ports.dekr.maps import whole_mean_heat
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import REMEDY, Comparison, Fixture, FixtureError
from third_party_ports.parity.fixture import compare as compare_arrays

MODELS = ("dekr_post",)
LEVELS, LEVELS_DIFFER = 1, 0.005  # in a canvas: the largest difference, and the share of values that may differ
MATRIX, HEAT, PIXELS, MATCHED_PIXELS = 1e-6, 1e-5, 1e-3, 1e-2
EXACT = ("n_candidates_per_scale", "keep")


def needed(fixture: Fixture) -> set[str]:
    """Also raises FixtureError if the fixture has no case for the canvases or none for the poses."""
    geometry = fixture.document("geometry.json")
    if not (geometry["geometry"] and geometry["warp"] and fixture.manifest):
        raise FixtureError(f"{fixture.folder}: no case in manifest.json, or in a part of geometry.json. {REMEDY}")
    names = {f"warp.npz: {name}" for name in geometry["warp"]}
    for case, given in fixture.manifest.items():
        answers = fixture.arrays(f"{case}.npz")
        parts = {"n_candidates_per_scale", "heatmap_avg", "scores", "final_poses"}
        if "n_candidates_per_scale" in answers and answers["n_candidates_per_scale"].any():
            parts |= {"candidates", "candidate_heat_score", "keep", "poses_nms"}
            parts |= {"poses_matched"} if given["match_hmp"] else set()
        flips = ("", "_flip") if given["flip"] else ("",)
        maps = {f"{part}{flip}" for part in ("heatmap", "offset") for flip in flips}
        parts |= {f"scale{scale:g}_{name}" for scale in given["scales"] for name in maps}
        names |= {f"{case}.npz: {part}" for part in parts}
    return names


def compare(fixture: Fixture) -> Iterator[Comparison]:
    yield from _geometry(fixture)
    for case, given in fixture.manifest.items():
        yield from _case(fixture, case, given)


def _geometry(fixture: Fixture) -> Iterator[Comparison]:
    stored = fixture.document("geometry.json")
    rows = [(row, _geometry_of(row), row["scale"]) for row in stored["geometry"]]
    ours = {
        "resized_wh": lambda geometry, scale: geometry.canvas(scale)[::-1],
        "center": lambda geometry, scale: geometry.centre,
        "scale200": Geometry.extent,
        "forward": Geometry.forward,
        "inverse": Geometry.inverse,
    }
    for name, of in ours.items():
        kind, limit = ("exact", 0.0) if name in ("resized_wh", "center") else ("absolute", MATRIX)
        values = [of(geometry, scale) for _, geometry, scale in rows]
        yield compare_arrays(f"geometry/{name}", values, [row[name] for row, _, _ in rows], kind, limit)
    answers = fixture.arrays("warp.npz")
    for name, row in stored["warp"].items():
        image_name, shape = row["image"]
        image = np.rint(recipe.image(image_name, tuple(shape)) * 255).astype(np.uint8).transpose(1, 2, 0)
        geometry = _geometry_of({**row, "image_hw": image.shape[:2]})
        levels = warp(image, geometry, row["scale"])
        expected = (*geometry.canvas(row["scale"]), *geometry.centre, *geometry.extent(row["scale"]))
        given = (*row["output_hw"], *row["center"], *row["scale200"])
        yield compare_arrays(f"warp/{name} geometry", expected, given, "absolute", MATRIX)
        yield compare_arrays(f"warp/{name} trans", geometry.forward(row["scale"]), row["trans"], "absolute", MATRIX)
        yield compare_arrays(f"warp/{name} levels", levels, answers[name], "absolute", LEVELS)
        differ = float((levels != answers[name]).mean()) if levels.shape == answers[name].shape else float("inf")
        yield Comparison(f"warp/{name} share that differs", differ, "absolute", LEVELS_DIFFER)


def _geometry_of(given: Mapping[str, Any]) -> Geometry:
    height, width = given["image_hw"]
    return Geometry(height, width, given["input_size"])


def _case(fixture: Fixture, case: str, given: dict[str, Any]) -> Iterator[Comparison]:
    answers = fixture.arrays(f"{case}.npz")
    geometry = _geometry_of(given)
    expected = (*geometry.base[::-1], *geometry.centre, *geometry.extent())
    written = (*given["base_size_wh"], *given["center"], *given["scale"])
    yield compare_arrays(f"{case}/geometry", expected, written, "absolute", MATRIX)
    ours = _answers({scale: _outputs(answers, scale) for scale in given["scales"]}, geometry, _settings(given))
    for name in answers:
        if name.startswith("scale") or name.endswith(("_index", "_shape")):
            continue  # inputs, and where heatmap_avg was sampled
        kind, limit = ("exact", 0.0) if name in EXACT else ("absolute", HEAT)
        value, (reference, index, shape) = ours[name], fixture.expected(name, answers)
        if name in ("candidates", "poses_nms", "poses_matched", "final_poses"):
            pixels = MATCHED_PIXELS if name == "poses_matched" else PIXELS
            yield compare_arrays(f"{case}/{name} xy", value[..., :2], reference[..., :2], kind, pixels)
            if reference.shape[-1] == 2:
                continue
            name, value, reference, shape = f"{name} score", value[..., 2], reference[..., 2], None
        yield compare_arrays(f"{case}/{name}", value, reference, kind, limit, index=index, shape=shape)


def _answers(maps: dict, geometry: Geometry, settings: poses.PoseSettings) -> dict[str, np.ndarray]:
    """Returns every array that a case may store, by its stored name."""
    scales = poses.scale_maps(maps, geometry.base)
    heats, channels = [scale.heat for scale in scales], np.arange(scales[0].heat.shape[-1])
    found = poses.candidates(scales, geometry.base, settings)
    kept = poses.select(found, settings)
    chosen = matched = poses.kept_poses(found, kept)
    if settings.match_hmp:
        matched = poses.refine(chosen, scales, geometry.base, settings)
    return {
        "heatmap_avg": whole_mean_heat(heats, geometry.base, channels).transpose(2, 0, 1),
        "n_candidates_per_scale": np.array(found.counts),
        "candidates": found.points,
        "candidate_heat_score": found.heat_score,
        "keep": np.array(kept, int),
        "poses_nms": chosen,
        "scores": chosen[..., 2].mean(axis=1),
        "poses_matched": matched,
        "final_poses": poses.in_image(matched, geometry),
    }


def _outputs(answers: Mapping[str, np.ndarray], scale: float) -> tuple[np.ndarray | None, ...]:
    """Returns the stored network outputs of a scale, channels last."""
    names = [f"scale{scale:g}_{part}{flip}" for flip in ("", "_flip") for part in ("heatmap", "offset")]
    return tuple(answers[name].transpose(1, 2, 0) if name in answers else None for name in names)


def _settings(given: dict[str, Any]) -> poses.PoseSettings:
    named = {field.name for field in fields(poses.PoseSettings)} & given.keys()
    chosen = {name: given[name] for name in named}
    return poses.PoseSettings(**chosen, centre_threshold=given["keypoint_threshold"], original_defect=True)
