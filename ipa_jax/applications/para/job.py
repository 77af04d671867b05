"""The whole of `ipa-jax para`: reads PARA, draws the bank, describes and scores the photos, writes the files."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from data_builders.features.photo_store import ACCOUNT, PhotoFeatures, features_of, store_beside
from data_builders.features.reader import FeatureReader
from data_builders.photos import PhotoError
from data_builders.retrieval.top_k import Retrieved, nothing
from ipa_jax import paper
from ipa_jax.applications.para import page, ratings
from ipa_jax.applications.para.bank import SIZE, Bank, draw_bank, retrieve
from ipa_jax.applications.para.ratings import ParaError, Photos
from ipa_jax.applications.para.results import BANK, EMPTY, HEADINGS, LEAD, correlations, verdict
from ipa_jax.applications.photo_network import BATCH, PhotoNetwork
from ipa_jax.metrics.display import interval, number
from ipa_jax.training.preflight import PreflightError, check_data
from third_party_ports import seals, stopping
from third_party_ports.files import write_text

GIVEN = ("photo", "retrieval", "depth")  # parts of a batch that a photo and a bank can fill


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; the fields are its flags."""

    para: Path
    export: Path
    data_dir: str | None = None
    weights: Path = Path("weights")
    bank: int = SIZE
    seed: int = 0
    skip_missing: bool = False
    random_weights: bool = False


@dataclass(frozen=True)
class Described:
    """What the network reads beside the photos themselves.

    Attributes:
      retrieved: BANK and EMPTY -> what the N photos retrieve.
      rows: int [N], which of the photos can be read.
      reader: of depth maps, by digest; None where the network reads none.
      digests: of the N photos.
      unreadable: SESSION/IMAGE -> why.
      extractors: part -> name and weights of the networks that described the photos; {} where nothing had to be.
    """

    retrieved: dict[str, Retrieved]
    rows: np.ndarray
    reader: FeatureReader | None
    digests: list[str]
    unreadable: dict[str, str]
    extractors: dict[str, Any]


def run(asked: Asked, out: Path) -> dict[str, Any]:
    """Scores PARA, prints the result and writes para.json, para.html, figure6.png and figure6.svg into `out`.

    Returns:
      What para.json holds.
    Raises:
      ParaError: a file of PARA is missing or damaged.
      ValueError: the export, the data set or the weights do not fit; their subclasses name the file.
    """
    network = PhotoNetwork(asked.export, GIVEN)
    config = _config(network.config, asked)
    try:
        check_data(config)
    except PreflightError as error:
        raise ValueError(f"{error}; or give --data_dir the data set that the export was trained on") from error
    photos, counts = ratings.select(ratings.read_ratings(asked.para), asked.para)
    _print_counts(counts)
    photos, lost = _found(photos, asked)
    train = GroupDataset(config.data_dir, "train", depth=False)
    bank = draw_bank(train, asked.bank, asked.seed)
    described = _describe(photos, bank, config, network, asked, out)
    photos, z, unreadable = _score(photos, described, network)
    found = correlations(z, photos, seed=asked.seed)
    left_out = {"missing": lost, "unreadable": described.unreadable | unreadable}
    similarity = described.retrieved[BANK]
    results = {
        "verdict": verdict(found, "retrieval" in network.reads),
        "correlations": found,
        "photos": counts | {"scored": len(photos), "sessions": len(np.unique(photos.session)), "left_out": left_out},
        "paper": paper.PARA,
        "bank": {
            "images": len(bank),
            "asked": asked.bank,
            "accounts": len({name.partition("/")[0] for name in bank.names}),
            "similarity": float(similarity.similarity[..., 0][similarity.mask].mean())
            if similarity.mask.any()
            else None,
            "names": bank.names,
        },
        "seed": asked.seed,
        "export": str(asked.export),
        "data_dir": str(config.data_dir),
        "reads": list(network.reads),
        "random_weights": asked.random_weights,
        "notes": _notes(left_out, described.extractors, train.info),
    }
    _write(results, z, photos, out)
    return results


def _config(trained: ConfigDict, asked: Asked) -> ConfigDict:
    """The export's config, with the folders that the flags name."""
    config = trained.copy_and_resolve_references()
    with config.unlocked():
        config.data_dir = asked.data_dir or config.data_dir
        config.extract.weights = str(asked.weights)
    return config


def _print_counts(counts: dict[str, int]) -> None:
    print(f"PARA: {counts['images']:,} photos (the paper: {paper.PARA['images']:,})")
    print(f"  {counts['agreed']:,} of which at least {ratings.LEAST_AGREEMENT:.0%} of the raters agree on one rate")
    print(
        f"  {counts['kept']:,} of which are above the 90th or below the 10th percentile (the paper: "
        f"{paper.PARA['kept']:,}): {counts['willing']:,} willing, {counts['unwilling']:,} unwilling",
        flush=True,
    )


def _found(photos: Photos, asked: Asked) -> tuple[Photos, list[str]]:
    """The photos whose files exist, and SESSION/IMAGE of the others. Raises ParaError unless these may be left out."""
    lost = ratings.missing(photos)
    if not lost:
        return photos, []
    told = (
        f"{len(lost):,} of {len(photos):,} photo files are missing below {asked.para / 'imgs'}: {ratings.named(lost)}"
    )
    if not asked.skip_missing:
        raise ParaError(f"{told}. Unzip all of PARA, or leave them out by --skip_missing")
    if len(lost) == len(photos):
        raise ParaError(f"{told}. No photo is left: unzip all of PARA")
    print(f"left out: {told}", flush=True)
    return photos.rows(np.array([file.is_file() for file in photos.files])), lost


def _describe(
    photos: Photos, bank: Bank, config: ConfigDict, network: PhotoNetwork, asked: Asked, out: Path
) -> Described:
    """Describes PARA's photos and the bank's by the same networks, and retrieves."""
    k, every = config.data.retrieval.k, np.arange(len(photos))
    empty = nothing(len(photos), k)
    if not {"retrieval", "depth"} & set(network.reads):
        return Described({BANK: empty, EMPTY: empty}, every, None, [""] * len(photos), {}, {})
    store = store_beside(asked.para)
    found = features_of(photos.files, config, store, "PARA", random_weights=asked.random_weights)
    unreadable = {"/".join(photos.files[i].parts[-2:]): reason for i, reason in found.reasons.items()}
    rows = np.flatnonzero(found.rows >= 0)
    if not len(rows):
        raise ParaError(f"{asked.para}: no photo can be read, such as {next(iter(unreadable.items()))}")
    reader = FeatureReader(found.folder)
    retrieved = nothing(len(photos), k)
    if "retrieval" in network.reads:
        own = _described_bank(bank, config, store, asked, out)
        some = retrieve(found.features.rows(found.rows[rows]), bank, own.features.rows(own.rows), config.data.to_dict())
        for name, values in vars(some).items():
            getattr(retrieved, name)[rows] = values
    extractors = {part: entry["name"] for part, entry in reader.header["extractors"].items()}
    maps = reader if "depth" in network.reads else None
    return Described({BANK: retrieved, EMPTY: empty}, rows, maps, found.digests, unreadable, extractors)


def _described_bank(bank: Bank, config: ConfigDict, store: Path, asked: Asked, out: Path) -> PhotoFeatures:
    """Features of the bank's photos, which a data set holds inside its records."""
    with tempfile.TemporaryDirectory(prefix=".bank-", dir=out) as folder:
        files = [Path(folder) / f"{number}.photo" for number in range(len(bank))]
        for file, photo in zip(files, bank.photos, strict=True):
            file.write_bytes(photo)
        found = features_of(files, config, store, "bank", random_weights=asked.random_weights)
    if found.reasons:
        number, reason = next(iter(found.reasons.items()))
        raise ValueError(f"{config.data_dir}: the train image {bank.names[number]}: {reason}; build the data set again")
    return found


def _score(
    photos: Photos, described: Described, network: PhotoNetwork
) -> tuple[Photos, dict[str, np.ndarray], dict[str, str]]:
    """The photos that could be read, their z with both banks, f64 [N], and why others could not."""
    ways = list(described.retrieved)
    z = np.full((len(ways), len(photos)), np.nan)
    broken: dict[str, str] = {}
    with tqdm(total=len(described.rows), desc="score PARA", unit="photo", disable=None) as bar:
        for rows in np.split(described.rows, range(BATCH, len(described.rows), BATCH)):
            images, read = [], []
            for row in rows.tolist():
                try:
                    images.append(network.read(photos.files[row]))
                    read.append(row)
                except PhotoError as error:
                    broken["/".join(photos.files[row].parts[-2:])] = str(error)
            if read:
                depth = None
                if described.reader:
                    depth = described.reader.depth(ACCOUNT, [described.digests[row] for row in read])
                found = [retrieved.rows(np.array(read)) for retrieved in described.retrieved.values()]
                z[:, read] = network.scores(images, found, depth, foreign=True)
            bar.update(len(rows))
            stopping.if_asked()
    kept = np.asarray(~np.isnan(z[0]))
    photos = photos.rows(kept)
    if not photos.willing.any() or photos.willing.all():
        raise ParaError("of the photos that can be read, none is left on one side: unzip PARA again")
    return photos, dict(zip(ways, z[:, kept], strict=True)), broken


def _notes(left_out: dict[str, Any], extractors: dict[str, str], info: dict[str, Any]) -> list[str]:
    """What else a reader should know, a sentence each."""
    notes = []
    for why, names in left_out.items():
        if names:
            told = f"{len(names):,} photo{'s' * (len(names) != 1)} left out as {why}"
            notes.append(f"{told}: {ratings.named(list(names))}.")
    stored = {part: entry.get("name") for part, entry in info.get("features", {}).get("extractors", {}).items()}
    other = {part: stored[part] for part, name in extractors.items() if stored.get(part) not in (None, name)}
    if other:
        told = ", ".join(f"{part}: {name}" for part, name in other.items())
        notes.append(
            f"The model was trained on features of other networks ({told}) than those that describe PARA's photos and "
            "the bank here, so its similarities are not those that it knows."
        )
    return notes


def _write(results: dict[str, Any], z: dict[str, np.ndarray], photos: Photos, out: Path) -> None:
    print()
    for key, heading in HEADINGS.items():
        print(f"{heading}:")
        for way in (BANK, EMPTY, LEAD):
            row = results["correlations"][key][way]
            over = {name: interval(row[f"{name}_interval"], 3) for name in ("images", "sessions")}
            told = "; ".join(f"{text} over {name}" for name, text in over.items() if text)
            print(f"  {way:<12} {number(row['value'], 3) or 'undefined'}{f' (95 %: {told})' if told else ''}")
    for line in (*results["notes"], results["verdict"]):
        print(line)
    page.write_figure(out / "figure6", results, z, photos.willing)
    write_text(out / "para.html", page.render(results, z, photos.willing))
    seals.write_json(out / "para.json", results)
    print(f"next: open {out / 'para.html'} in a browser; the figure is in {out / 'figure6.png'}")
