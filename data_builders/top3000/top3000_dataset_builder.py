"""TFDS builder of top3000: an example per group, with what its images retrieve from their account's memory bank."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow_datasets as tfds
from tqdm import tqdm

from configs import full
from data_builders import photos
from data_builders.groups import SPLITS
from data_builders.retrieval import cross_account
from data_builders.top3000 import beam_examples, build_report, duplicates
from data_builders.top3000 import index as group_index
from data_builders.top3000.examples import examples
from data_builders.top3000.prepare import Prepared, prepare
from data_builders.top3000.steps import PAPER, Steps
from data_builders.top3000.tfds_repairs import repaired
from third_party_ports import checksums

POSTS_FILE = "posts.parquet"  # in a build through Beam: workers read their account's posts there


class Builder(tfds.core.GeneratorBasedBuilder):
    """Groups of Instagram photos of the accounts with the most followers.

    Args:
      options: `config.data` as a nested dict; None: the defaults of configs/full.py.
      raw: the raw posts, see posts.read.read_posts; None: manual_dir/raw.
      features: the feature store; None: manual_dir/features.
      beam: build through Apache Beam, whose runner is in the DownloadConfig.
      steps: the functions that the build calls.
      Others as tfds.core.GeneratorBasedBuilder.

    Attributes:
      report: the build report, after download_and_prepare.
    """

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {  # noqa: RUF012 (tfds declares it so)
        "1.0.0": "First version.",
        "1.1.0": "Machine captions.",
        "1.2.0": "Each depth map is compressed by itself, so that one can be read without the others of its group.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    The authors of the Instagram Influencer Dataset give it on request, for research only (see README.md). Put (or link)
    its files as `raw/` and a feature store of its images as `features/` into the manual directory, or build with
    `ipa-jax build --raw=... --features=...`.
    """

    def __init__(
        self,
        *,
        options: Mapping[str, Any] | None = None,
        raw: Path | None = None,
        features: Path | None = None,
        beam: bool = False,
        steps: Steps = PAPER,
        file_format: str | None = None,
        **tfds_options,
    ):
        self._options = dict(options) if options is not None else full.get_config().data.to_dict()
        self._raw, self._features, self._beam, self._steps = raw, features, beam, steps
        if beam and self._options["memory"]["fallback"] != "none":
            raise ValueError(
                "config.data.memory.fallback searches all accounts at once, which a build through Beam cannot: build "
                "on one host, without --beam_pipeline_options"
            )
        self.report: dict[str, Any] | None = None
        super().__init__(file_format=file_format or "array_record", **tfds_options)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=example_features(
                self._options["retrieval"]["k"],
                self._options["depth"]["side"],
                foreign=self._options["memory"]["fallback"] != "none",
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        raw = self._raw if self._raw is not None else Path(dl_manager.manual_dir) / "raw"
        features = self._features if self._features is not None else Path(dl_manager.manual_dir) / "features"
        self._prepared = prepare(Path(raw), Path(features), self._options, self._steps)
        self._index = group_index.build(self._prepared.accounts, self._prepared.reader, self._steps)
        if self._beam:
            posts = str(self.data_path / POSTS_FILE)
            self._prepared.table.write_parquet(posts, row_group_size=beam_examples.ROW_GROUP)
            source = beam_examples.Source(
                posts=posts,
                root=str(self._prepared.root),
                features=str(self._prepared.reader.path),
                options=self._options,
                steps=self._steps,
            )
            names = self._prepared.table["account"].unique(maintain_order=True).to_list()
            return {name: beam_examples.split(names, split, source) for split, name in enumerate(SPLITS)}
        return {name: self._generate_examples(split) for split, name in enumerate(SPLITS)}

    def _generate_examples(self, split: int) -> Iterator[tuple[str, dict[str, Any]]]:
        prepared = self._prepared
        groups = len(self._index.groups[SPLITS[split]])
        with tqdm(total=groups, desc=SPLITS[split], unit=" groups", mininterval=1, disable=None) as progress:
            for account in prepared.accounts:
                made = examples(account, split, prepared.root, prepared.reader, self._options, self._pool, self._steps)
                for key, example in made:
                    yield key, example
                    progress.update()

    @cached_property
    def _pool(self) -> cross_account.Pool | None:
        """What fills short banks; made once for all splits."""
        if self._options["memory"]["fallback"] == "none":
            return None
        prepared = self._prepared
        return cross_account.make_pool(prepared.accounts, prepared.reader)

    def download_and_prepare(self, **options) -> None:
        """As the base class, with checksums of all files at the end. A data set that exists is left as it is."""
        exists = (Path(self.data_path) / "dataset_info.json").is_file()
        super().download_and_prepare(**options)
        if not exists:
            checksums.write(Path(self.data_path))

    def _log_download_bytes(self) -> None:
        """Says nothing: no data are downloaded, and `ipa-jax build` says where the data set is."""

    def _log_download_done(self) -> None:
        """Says nothing, as `_log_download_bytes`."""

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        """Writes the shards, then the index and the report beside them. TFDS then renames the folder into place."""
        with repaired():
            super()._download_and_prepare(dl_manager, download_config)
        prepared, index, folder = self._prepared, self._index, Path(self.data_path)
        (folder / POSTS_FILE).unlink(missing_ok=True)
        for name in SPLITS:
            written, listed = self.info.splits[name].num_examples, len(index.groups[name])
            if written != listed:
                raise RuntimeError(f"{folder}: {written} examples in {name}, but {listed} in its index")
        flags, found = duplicates.find(
            index.images["test"], index.images["train"], prepared.probes, self._options["duplicates"]["max_bits"]
        )
        for name in SPLITS:
            images = index.images[name].drop("path")
            images = images.with_columns(flags if name == "test" else pl.lit(False).alias("duplicate"))
            images.write_parquet(folder / f"images-{name}.parquet")
            index.groups[name].write_parquet(folder / f"groups-{name}.parquet")
        self.report = build_report.report(prepared, index, found, self._options)
        (folder / "build_report.json").write_text(json.dumps(self.report, indent=1))
        assert self.info.metadata is not None  # _info makes it
        self.info.metadata.update(metadata(prepared, index, self._options))


def metadata(prepared: Prepared, index: group_index.Index, options: dict[str, Any]) -> dict[str, Any]:
    """metadata.json: what training and reports need to know about the data set as a whole."""
    header = prepared.reader.header
    return {
        "choices": options,
        "features": header,
        "source": {"raw": str(prepared.raw.resolve()), "features": str(Path(prepared.reader.path).resolve())},
        "random_weights": header["random_weights"],
        "decoded_with": photos.versions(),
        "statistics": index.statistics(),
        "build_report": "build_report.json",
    }


def example_features(k: int, depth_side: int, *, foreign: bool = False) -> tfds.features.FeaturesDict:
    """The fields of a group of N images, each with K retrieved images.

    Numbers are stored as bytes, because tf.Example itself would round float64 to float32.

    Args:
      k: K.
      depth_side: pixels, the side of the depth maps; 0 leaves out "depth".
      foreign: whether other accounts may fill free slots; False leaves out "foreign".
    """

    def numbers(dtype: type, *shape: int) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=(None, *shape), dtype=dtype, encoding="bytes")

    def texts() -> tfds.features.Sequence:
        return tfds.features.Sequence(tfds.features.Text())

    fields = {
        "group_id": tfds.features.Text(),
        "account": tfds.features.Text(),
        "first_post": tfds.features.Text(),
        "category": tfds.features.Text(),
        "images": texts(),  # bytes of the files
        "image_ids": texts(),
        "post_ids": texts(),
        "captions": texts(),
        "hashtags": texts(),  # space between them
        "comments": texts(),  # newline between them
        "machine_captions": texts(),  # of the caption extractor, "" where it kept none
        "post": numbers(np.int32),
        "likes": numbers(np.int64),
        "times": numbers(np.int64),
        "pairs": numbers(np.int32, 2),
        "retrieved_ids": texts(),  # N * K, "" for an empty slot
        "similarity": numbers(np.float64, k, 4),
        "local_score": numbers(np.float64, k),
        "count": numbers(np.int32, k),
        "mask": numbers(np.bool_, k),
        "sponsored": numbers(np.bool_),
        "people": numbers(np.int32),
        "carousel_length": numbers(np.int32),
        "weight": numbers(np.float32),
    }
    if foreign:
        fields["foreign"] = numbers(np.bool_, k)  # slots filled from another account; their ids are ACCOUNT/IMAGE_ID
    if depth_side:
        depth = tfds.features.Tensor(shape=(depth_side, depth_side), dtype=np.uint16, encoding="zlib")
        fields["depth"] = tfds.features.Sequence(depth)
    return tfds.features.FeaturesDict(fields)
