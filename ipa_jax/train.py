"""One training run, in reading order: check, prepare, step, log, evaluate, save, export."""

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax
from absl import logging
from ml_collections import ConfigDict

from data_builders.dataset import GroupDataset
from data_builders.groups import SPLITS
from ipa_jax.input import batches, packing, vocabularies
from ipa_jax.input.field import Batch
from ipa_jax.metrics.split_metrics import rescale_factor
from ipa_jax.models import registry
from ipa_jax.training import optimizer, preflight, state
from ipa_jax.training import workdir as workdirs
from ipa_jax.training.checkpoints import Checkpoints
from ipa_jax.training.depth_cache import depth_vectors
from ipa_jax.training.devices import ahead, to_devices, to_host
from ipa_jax.training.export import save_export
from ipa_jax.training.host_memory import keep_freed_memory
from ipa_jax.training.initial import initial_variables, with_words
from ipa_jax.training.meter import Meter
from ipa_jax.training.metric_writers import MetricWriter, create_writer
from ipa_jax.training.model_card import model_card
from ipa_jax.training.rescale import Rescale
from ipa_jax.training.schedule import PART, WHOLE, Evaluations, Saves, part_of
from ipa_jax.training.scorer import Scorer, split_metrics
from ipa_jax.training.step_metrics import TrainMetrics
from ipa_jax.training.steps import TrainStep, make_train_step
from ipa_jax.training.trained_on import trained_on
from third_party_ports import stopping

Measured = tuple[TrainMetrics, Batch]  # of a step: its metrics on the devices, and its batch on the host


@dataclass(frozen=True)
class Job:
    """What a run is made of once its data are open and its network has parameters.

    Attributes:
      train, validation, test: the splits.
      total: steps of the whole run.
      tables: the vocabularies that the network reads by.
      tx: the optimizer.
      shapes: of the state; every checkpoint has them.
      state, position: where this start of the run begins: the latest checkpoint's, or the initial ones. The state is
        on the devices, and gone after the first step.
      depth_vectors: the file of cached ones, or None.
    """

    config: ConfigDict
    workdir: Path
    train: GroupDataset
    validation: GroupDataset
    test: GroupDataset
    plan: packing.TrainPlan
    total: int
    tables: vocabularies.Vocabularies
    tx: optax.GradientTransformation
    shapes: state.TrainState
    state: state.TrainState
    position: dict
    depth_vectors: Path | None
    checkpoints: Checkpoints
    scorer: Scorer
    writer: MetricWriter


def run(config: ConfigDict, workdir: Path, verify: str = "full") -> dict:
    """Trains, evaluates the best checkpoint and exports it; a stopped run resumes, a finished one is left as it is.

    `verify` says what of the data set is checked before the first step, as GroupDataset takes it.

    Returns what `<workdir>/results.json` holds. The same config ends with the same metrics however often the process
    was killed on the way: step t, its data and its random draws are functions of (config, t) alone.
    Raises PreflightError before anything is compiled, FloatingPointError at a loss that is not finite.
    """
    keep_freed_memory()
    preflight.check(config, jax.device_count())
    if results := workdirs.finished(config, workdir):
        logging.warning("%s holds the finished run; nothing to do", workdir)
        return results
    if config.train.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", config.train.compilation_cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if config.data.shuffle_likes and jax.process_index() == 0:
        logging.warning(
            "data.shuffle_likes: a control run; train and validation likes are drawn anew, nothing is learned"
        )
    preflight.warn_of_bfloat16(config, [gpu.compute_capability for gpu in jax.local_devices() if gpu.platform == "gpu"])
    job = _prepare(config, workdir, verify)
    with closing(job.writer):
        seconds = _train(job)
        return _finish(job, seconds)


def _prepare(config: ConfigDict, workdir: Path, verify: str) -> Job:
    """Opens the data, makes the network's parameters, and restores the latest checkpoint."""
    first_process = jax.process_index() == 0
    cached = config.model.depth.enabled and config.model.depth.resnet == "cached"
    maps = config.model.depth.enabled  # unpacking them is most of the work of reading
    train = GroupDataset(config.data_dir, "train", depth=maps and not cached, verify=verify)
    validation, test = (GroupDataset(config.data_dir, name, depth=maps, verify=verify) for name in SPLITS[1:])
    for split in (train, validation, test):
        split.verify()  # now, not when an evaluation reads it after days
    plan = batches.train_plan(train, config)
    total = packing.total_steps(plan, config.train.epochs)

    position = {"step": 0, "seconds": 0.0, "seed": config.seed, "data": workdirs.digest(train)}
    tables = vocabularies.for_run(train, config, workdir / f"vocabularies/{position['data']}", write=first_process)
    variables = _variables(config, train, tables)
    tx = optimizer.optimizer(variables["params"], config, total)
    initial = jax.tree.map(np.asarray, state.create(variables, tx, config.optim.ema))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), initial)
    if first_process:
        workdirs.start(config, variables["params"], workdir)

    checkpoints = Checkpoints(workdir)
    host_state, stored = checkpoints.latest(shapes) or (initial, position)
    position = workdirs.same_data(position, stored, workdir)
    vectors = depth_vectors(workdir / f"depth_vectors/{position['data']}.npy", variables, config) if cached else None
    writer = create_writer(
        workdir, config.train.writers, resume_step=position["step"] or None, first_process=first_process
    )
    writer.write_hparams(workdirs.flat(config))
    return Job(
        config, workdir, train, validation, test, plan, total, tables, tx, shapes,
        to_devices(host_state, jax.devices()), position, vectors, checkpoints, Scorer(config, vocabularies=tables),
        writer,
    )  # fmt: skip


def _variables(config: ConfigDict, train: GroupDataset, tables: vocabularies.Vocabularies) -> dict:
    """What the run starts from: the network's own start, then word vectors where config.init.words names a file."""
    predicts_likes = registry.loss_of(config).log_likes
    head_bias = float(np.log(train.images["likes"].to_numpy()).mean()) if predicts_likes else 0.0
    variables = initial_variables(config, head_bias)
    if config.init.words:
        assert tables.vocabulary is not None, "preflight: a network with a word table reads texts"
        variables, known = with_words(variables, config, tables.vocabulary)
        logging.warning(
            "%s holds %d of the vocabulary's %d words; the others start at random",
            config.init.words, known, len(tables.vocabulary),
        )  # fmt: skip
    return variables


def _train(job: Job) -> float:
    """Takes the steps that are left, logs, evaluates and saves. Returns the seconds of the run so far, all starts."""
    config, start, spent = job.config, job.position["step"], job.position["seconds"]
    reader = batches.train_batches(
        job.train, config, start_step=start, process_index=jax.process_index(), process_count=jax.process_count(),
        depth_vectors=job.depth_vectors, vocabularies=job.tables, plan=job.plan,
    )  # fmt: skip
    scale = packing.loss_scale(job.plan)
    if registry.loss_of(config).of == "images":
        scale = packing.image_loss_scale(job.plan, job.train.images["weight"].to_numpy())
    train_step = make_train_step(registry.build(config), job.tx, config, scale)

    evaluations, saves = Evaluations.for_run(config, job.total), Saves(config)
    began, first = time.monotonic(), job.state
    made = Meter(job.writer, job.workdir.name, job.total, start, job.position.get("seen"))
    # A signal waits for the running step, which is saved. Several processes cannot agree on a step: it ends them.
    with closing(made) as meter, stopping.deferred(when=jax.process_count() == 1) as stop:
        if job.position.get("due"):  # the run was stopped before it had evaluated the step that it resumes from
            job.checkpoints.evaluated(start, _evaluate(job, start, to_host(job.state), meter, stop, WHOLE))
            stopping.if_asked()
        running: deque[Measured] = deque()
        for step, (device_state, measured) in enumerate(_steps(train_step, first, reader), start + 1):
            job.checkpoints.check()
            running.append(measured)
            last = step == job.total
            log, look = step % config.train.log_every == 0 or last, evaluations.at(step)
            _settle(running, 0 if log or look else ahead(), step, meter, job)
            if log:
                meter.write(step)
            save = saves.due(step) or bool(stop.asked)
            if not (look or save):
                continue
            _settle(running, 0, step, meter, job)
            host_state = to_host(device_state)
            accuracy = _evaluate(job, step, host_state, meter, stop, look) if look else None
            if look == WHOLE or save or stop.asked:
                whole = accuracy if look == WHOLE else None
                spent_now = spent + time.monotonic() - began
                told = {"step": step, "seconds": spent_now, "seen": meter.seen}
                told["due"] = look == WHOLE and whole is None
                job.checkpoints.save(step, host_state, job.position | told, whole)
                saves.saved()
                if last:
                    spent = spent_now
            if stop.asked:
                job.checkpoints.wait()
                break
    return spent


def _evaluate(
    job: Job, step: int, host_state: state.TrainState, meter: Meter, stop: stopping.Stop, look: str
) -> float | None:
    """Pair accuracy on the validation split, WHOLE or a PART of it; writes it with the other metrics.

    Returns None where a signal cut it short.
    """
    rows = part_of(job.validation.images, job.config.eval.part, job.config.seed) if look == PART else None
    try:
        scores = job.scorer.scores(host_state.evaluated, job.validation, rows)
    except stopping.Stopped:
        if not stop.asked:
            raise
        return None
    figures = split_metrics(scores, job.config, draws=0)
    names = ("accuracy", "plcc", "srcc", "ratio_mse")
    job.writer.write_scalars(step, {f"{look}/{name}": figures[name] for name in names})
    meter.restart_clock()
    return figures["accuracy"]


def _finish(job: Job, seconds: float) -> dict:
    """Scores validation and test with the best checkpoint, exports it, and writes results.json last."""
    config, params = job.config, job.shapes.params
    best = job.checkpoints.best(job.shapes)
    results = {
        "config": job.workdir.name, "init": _start(config), "seed": config.seed,
        "steps": job.total, "best_step": int(best.step), "parameters": optimizer.parameter_count(params),
        "seconds": seconds,
    }  # fmt: skip
    splits = {"validation": job.validation, "test": job.test}
    scores = {name: job.scorer.scores(best.evaluated, split) for name, split in splits.items()}
    factor = rescale_factor(scores["validation"], config.data.pairs.min_ratio)
    results |= {split: split_metrics(table, config, factor) for split, table in scores.items()}
    job.checkpoints.close()
    if jax.process_index() == 0:
        card = model_card(config, results, job.train.info, seconds)
        photos = GroupDataset(config.data_dir, "train", depth=False, verify="index")
        trained = trained_on(photos, job.position["data"])
        rescale = Rescale(factor, workdirs.digest(job.validation))
        save_export(job.workdir / "export", best.evaluated, config, job.train.info, card, job.tables, trained, rescale)
        workdirs.finish(results, scores, job.workdir)
    # After the files: a run that is killed while writing them comes here again, at the same step.
    figures = {f"test/{name}": results["test"][name] for name in ("accuracy", "plcc", "srcc")}
    job.writer.write_scalars(job.total, figures)
    return results


def _start(config: ConfigDict) -> str:
    """What the run started from, in a word."""
    if config.init.export:
        return "export"
    return "random" if config.init.random else "pretrained"


def _steps(
    train_step: TrainStep, device_state: state.TrainState, reader: Iterator[Batch]
) -> Iterator[tuple[state.TrainState, Measured]]:
    """The state and what is measured of each step, as soon as it has started; both are still on the devices."""
    devices = jax.local_device_count()
    for batch in reader:
        spread = {k: v.reshape(devices, -1, *v.shape[1:]) for k, v in batch.items() if k not in ("record", "position")}
        device_state, metrics = train_step(device_state, spread)
        yield device_state, (metrics, batch)


def _settle(running: deque[Measured], keep: int, step: int, meter: Meter, job: Job) -> None:
    """Waits for the oldest of the running steps, of which `step` is the last, until `keep` are left; counts them.

    A loss that is not finite stops the run, with the batch's images saved.
    """
    while len(running) > keep:
        metrics, batch = running.popleft()
        metrics = to_host(metrics)
        _check(metrics, step - len(running), batch, job)
        meter.add(metrics, batch)


def _check(metrics: TrainMetrics, step: int, batch: Mapping[str, np.ndarray], job: Job) -> None:
    """Raises FloatingPointError for a loss that is not finite."""
    if np.isfinite(metrics.loss.total):
        return
    places = job.train.images.select("record", "position", "image_id").iter_rows()
    index = {(record, position): image for record, position, image in places}
    in_batch = zip(batch["record"].ravel().tolist(), batch["position"].ravel().tolist(), strict=True)
    file = job.workdir / f"non_finite_{jax.process_index()}.json"
    names = [index[place] for place in in_batch if place[0] >= 0]
    file.write_text(json.dumps({"step": step, "image_ids": names}, indent=2))
    raise FloatingPointError(
        f"step {step}: the loss is {float(metrics.loss.total)}; its images are listed in {file}. "
        "Lower the learning rates (config.optim.groups) or look at these images"
    )
