"""One training run, in reading order: preflight, batches, model, state, restore, step, log, evaluate, save, export."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from ipa_jax.input import batches, packing, vocabularies
from ipa_jax.metrics.split_metrics import rescale_factor
from ipa_jax.models import registry
from ipa_jax.training import optimizer, preflight, state
from ipa_jax.training import workdir as workdirs
from ipa_jax.training.checkpoints import Checkpoints
from ipa_jax.training.depth_cache import depth_vectors
from ipa_jax.training.devices import to_devices, to_host
from ipa_jax.training.export import save_export
from ipa_jax.training.initial import initial_variables, with_words
from ipa_jax.training.metric_writers import create_writer
from ipa_jax.training.model_card import model_card
from ipa_jax.training.scorer import Scorer, split_metrics
from ipa_jax.training.step_metrics import TrainMetrics
from ipa_jax.training.steps import make_train_step


def run(config: ConfigDict, workdir: Path) -> dict:
    """Trains, evaluates the best checkpoint and exports it; a run that was stopped goes on, one that ended is kept.

    Returns what `<workdir>/results.json` holds. The same config ends with the same metrics however often the process
    was killed on the way: step t, its data and its random draws are functions of (config, t) alone.
    Raises PreflightError before anything is compiled, FloatingPointError at a loss that is not finite.
    """
    preflight.check(config, jax.device_count())
    if results := workdirs.finished(config, workdir):
        logging.warning("%s holds the finished run; nothing to do", workdir)
        return results
    if config.train.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", config.train.compilation_cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    first_process = jax.process_index() == 0
    if config.data.shuffle_likes and first_process:
        logging.warning(
            "data.shuffle_likes: a control run; train and validation likes are drawn anew, nothing is learned"
        )
    cached = config.model.depth.enabled and config.model.depth.resnet == "cached"
    maps = config.model.depth.enabled  # unpacking them is most of the work of reading
    train = GroupDataset(config.data_dir, "train", depth=maps and not cached)
    validation, test = (GroupDataset(config.data_dir, split, depth=maps) for split in ("validation", "test"))
    plan = batches.train_plan(train, config)
    total = packing.total_steps(plan, config.train.epochs)
    head_bias = float(np.log(train.images["likes"].to_numpy()).mean()) if config.loss.name in registry.OF_LIKES else 0.0
    scale = packing.loss_scale(plan)
    if config.loss.name in registry.IMAGE_LOSSES:
        scale = packing.image_loss_scale(plan, train.images["weight"].to_numpy())

    position = {"step": 0, "seconds": 0.0, "seed": config.seed, "data": workdirs.digest(train)}
    tables = vocabularies.for_run(train, config, workdir / f"vocabularies/{position['data']}", write=first_process)
    variables = initial_variables(config, head_bias)
    if config.init.words:
        variables, known = with_words(variables, config, tables.vocabulary)
        logging.warning(
            "%s holds %d of the vocabulary's %d words; the others start at random",
            config.init.words, known, len(tables.vocabulary),
        )  # fmt: skip
    tx = optimizer.optimizer(variables["params"], config, total)
    initial = jax.tree.map(np.asarray, state.create(variables, tx, config.optim.ema))
    parameters = optimizer.parameter_count(variables["params"])
    if first_process:
        workdirs.start(config, variables["params"], workdir)

    checkpoints = Checkpoints(workdir)
    host_state, stored = checkpoints.restore(initial) or (initial, position)
    position = workdirs.same_data(position, stored, workdir)
    start, spent = position["step"], position["seconds"]

    vectors = depth_vectors(workdir / f"depth_vectors/{position['data']}.npy", variables, config) if cached else None
    train_step = make_train_step(registry.build(config), tx, config, scale)
    scorer = Scorer(config, vocabularies=tables)
    reader = batches.train_batches(
        train, config, start_step=start, process_index=jax.process_index(), process_count=jax.process_count(),
        depth_vectors=vectors, vocabularies=tables, plan=plan,
    )  # fmt: skip
    writer = create_writer(workdir, config.train.writers, resume_step=start or None, first_process=first_process)
    writer.write_hparams(workdirs.flat(config))

    began = logged = time.monotonic()
    device_state = to_devices(host_state, jax.devices())
    bar = tqdm(total=total, initial=start, desc=workdir.name, unit="step", disable=not first_process, mininterval=2)
    seen, images = TrainMetrics.empty(), 0
    for step, (measured, batch) in enumerate(_train(train_step, device_state, reader), start + 1):
        device_state, metrics = measured
        metrics = _checked(metrics, step, batch, train, workdir)
        seen, images = seen.merge(metrics), images + int(batch["slot_mask"].sum()) * jax.process_count()
        bar.update()
        last = step == total
        if step % config.train.log_every == 0 or last:
            now = time.monotonic()
            rate = images / max(now - logged, 1e-9)
            scalars = {f"train/{name}": float(value) for name, value in seen.compute().items()}
            writer.write_scalars(step, scalars | {"train/images_per_second": rate})
            seen, images, logged = TrainMetrics.empty(), 0, now
        evaluate = step % config.train.eval_every == 0 or last
        if evaluate or step % config.train.checkpoint_every == 0:
            host_state = to_host(device_state)
            accuracy = None
            if evaluate:
                figures = split_metrics(scorer.scores(host_state.evaluated, validation), config, draws=0)
                names = ("accuracy", "plcc", "srcc", "ratio_mse")
                writer.write_scalars(step, {f"validation/{name}": figures[name] for name in names})
                accuracy, logged = figures["accuracy"], time.monotonic()
            position |= {"step": step, "seconds": spent + time.monotonic() - began}
            checkpoints.save(step, host_state, position, accuracy)
    bar.close()

    best, _ = checkpoints.restore(initial, best=True)
    results = {
        "config": workdir.name, "init": "random" if config.init.random else "pretrained", "seed": config.seed,
        "steps": total, "best_step": int(best.step), "parameters": parameters, "seconds": position["seconds"],
    }  # fmt: skip
    scores = {"validation": scorer.scores(best.evaluated, validation), "test": scorer.scores(best.evaluated, test)}
    factor = rescale_factor(scores["validation"], config.data.pairs.min_ratio)
    results |= {split: split_metrics(table, config, factor) for split, table in scores.items()}
    checkpoints.close()
    if first_process:
        card = model_card(config, results, train.info, position["seconds"])
        save_export(workdir / "export", best.evaluated, config, train.info, card, tables)
        workdirs.finish(results, scores, workdir)
    # After the files: a run that is killed while writing them comes here again, at the same step.
    writer.write_scalars(total, {f"test/{name}": results["test"][name] for name in ("accuracy", "plcc", "srcc")})
    writer.close()
    return results


def _train(train_step, device_state, reader) -> Iterator:
    """((state, metrics), batch) after each step; metrics on the host, so that one step at most is under way.

    Waiting for them also keeps forced host devices alive: queued all-reduces on fewer cores than devices deadlock.
    """
    devices = jax.local_device_count()
    for batch in reader:
        spread = {k: v.reshape(devices, -1, *v.shape[1:]) for k, v in batch.items() if k not in ("record", "position")}
        device_state, metrics = train_step(device_state, spread)
        yield (device_state, to_host(metrics)), batch


def _checked(metrics: TrainMetrics, step: int, batch: dict, dataset: GroupDataset, workdir: Path) -> TrainMetrics:
    """The step's metrics; a loss that is not finite stops the run with the batch's images saved."""
    if np.isfinite(metrics.loss.total):
        return metrics
    index = {(r, p): i for r, p, i in dataset.images.select("record", "position", "image_id").iter_rows()}
    places = zip(batch["record"].ravel().tolist(), batch["position"].ravel().tolist(), strict=True)
    file = workdir / f"non_finite_{jax.process_index()}.json"
    names = [index[place] for place in places if place[0] >= 0]
    file.write_text(json.dumps({"step": step, "image_ids": names}, indent=2))
    raise FloatingPointError(
        f"step {step}: the loss is {float(metrics.loss.total)}; its images are listed in {file}. "
        "Lower the learning rates (config.optim.groups) or look at these images"
    )
