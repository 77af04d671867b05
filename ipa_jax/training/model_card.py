"""The model card of an export."""

from pathlib import Path

from ml_collections import ConfigDict

from ipa_jax.input import texts
from ipa_jax.models import registry

STARTS = {  # by field of config.init
    "swin": "Swin-B",
    "efficientnet_lite": "EfficientNet-Lite",
    "resnet": "ResNet50",
    "peer": "published weights of the network",
}


def model_card(config: ConfigDict, results: dict, data: dict, seconds: float) -> str:
    """README.md of an export: what it is, what a score means, how it was made and how well it did."""
    test = results["test"]
    started = [STARTS[start.field] for start in registry.for_config(config).starts(config)]
    start = "random weights" if config.init.random else f"pretrained {' and '.join(started)}"
    if config.init.export:
        start = f"fine-tuned from the export {config.init.export}, whose card says what that one started from"
    marks = ["trained from a random start: for tests and demonstrations"] if start == "random weights" else []
    if config.init.words:
        start += f", word vectors of {Path(config.init.words).name}"
    if "texts" in registry.for_config(config).reads(config) and "comment" in texts.text_fields(config)[0].values():
        marks.append("reads comments, which are written after posting: it cannot score a photo before")
    if config.data.shuffle_likes:
        marks.append("a control, trained on likes drawn anew within each account: it knows nothing")
    if data.get("random_weights"):
        marks.append("features made with random extractor weights: scores mean nothing")
    low, high = test["accuracy_interval"]
    return "\n".join([
        "# Neural image popularity model",
        "",
        *[f"**Mark: {mark}.**" for mark in marks],
        "",
        "Given photos of one account, says which will be liked more, before they are posted. It gives z = log score: "
        "higher is better, and only differences within one account mean anything.",
        "",
        "| | |",
        "|---|---|",
        f"| network | {config.model.network} |",
        f"| start | {start} |",
        f"| branches | retrieval {config.model.retrieval.enabled}, depth {config.model.depth.enabled}, "
        f"fusion {config.model.fusion} |",
        f"| loss | {config.loss.name} |",
        f"| seed | {config.seed} |",
        f"| training | {results['steps']} steps, best at {results['best_step']}, {seconds:.0f} s |",
        f"| parameters | {results['parameters']:,} |",
        f"| test pairwise accuracy | {test['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}) |",
        f"| test PLCC, SRCC | {test['plcc']:.4f}, {test['srcc']:.4f} |",
        f"| test Ratio MSE | {test['ratio_mse']:.4f} |",
        f"| train images, groups, pairs | {', '.join(str(data['statistics']['train'][k]) for k in ('images', 'groups', 'pairs'))} |",  # noqa: E501
        "",
        "`python -m ipa_jax evaluate --export=. --data_dir=DATA --split=test` gives the same figures again.",
        "The Instagram Influencer Dataset is for research only; a model trained on it inherits its terms.",
        "",
    ])  # fmt: skip
