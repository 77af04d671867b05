"""What batches bring to the peers: quantiles, accounts, words, patches."""

import jax
import numpy as np
import pytest

from ipa_jax.input import batches, photos, vocabularies
from ipa_jax.input import peer_fields as peer_inputs
from ipa_jax.input.texts import text_fields
from ipa_jax.models import registry
from ipa_jax.training import initial, preflight
from tests.helpers.group_stand_in import StandIn
from tests.helpers.tiny_models import tiny_config
from third_party_ports.peers import musiq_patches


def test_quantiles_by_hand():
    accounts, likes = np.array(["b", "a", "b", "b", "a", "b"], object), np.array([5, 1, 9, 5, 2, 1])
    np.testing.assert_allclose(peer_inputs.quantiles(accounts, likes), [2 / 4, 1 / 4, 3.5 / 4, 2 / 4, 3 / 4, 0.5 / 4])


def read(config, dataset, tables=batches.NONE, start=0):
    config.input.update({"threads": 0, "workers": 0, "prefetch": 1})
    return list(
        batches.train_batches(dataset, config, start_step=start, process_index=0, process_count=1, vocabularies=tables)
    )


def test_a_batch_of_nima_holds_quantiles_of_its_accounts_images():
    dataset = StandIn([3, 2, 4])
    config = tiny_config("nima_tuned", input__resize=48, input__crop=24, batch__slots=5)
    expected = peer_inputs.quantiles(dataset.images["account"].to_numpy(), dataset.images["likes"].to_numpy())
    row = {key: i for i, key in enumerate(dataset.images.select("record", "position").iter_rows())}
    for batch in read(config, dataset):
        for at in np.argwhere(batch["slot_mask"]):
            key = tuple(int(batch[name][tuple(at)]) for name in ("record", "position"))
            assert batch["quantile"][tuple(at)] == expected[row[key]]
    scored = next(batches.score_batches(dataset, config, 9))
    assert "quantile" not in scored and "image_weight" not in scored  # labels


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_train_images_has_an_unknown_account(share):
    dataset = stand_in_with_texts([6] * 20)
    config = tiny_config("uhan", input__resize=48, texts__min_count=1, uhan__unknown=share, batch__slots=12)
    tables = vocabularies.make(dataset, config)
    steps_of = read(config, dataset, tables)
    hidden = total = 0
    for batch in steps_of:
        for at in map(tuple, np.argwhere(batch["slot_mask"])):
            own = tables.accounts.index(dataset.examples[batch["record"][at]]["account"]) + 1
            assert batch["account"][at] in (0, own)
            hidden, total = hidden + (batch["account"][at] == 0), total + 1
    assert abs(hidden / total - share) < 0.15
    again = read(config, dataset, tables, start=2)
    np.testing.assert_array_equal(again[0]["account"], steps_of[2]["account"])
    known = vocabularies.Vocabularies(tables.vocabulary, tables.accounts[1:])  # account0 was not in train
    scored = next(batches.score_batches(dataset, config, 120, vocabularies=known))
    rows = scored["account"][scored["slot_mask"]].reshape(20, 6)
    expected = [0 if e["account"] == "account0" else known.accounts.index(e["account"]) + 1 for e in dataset.examples]
    np.testing.assert_array_equal(rows, np.repeat(np.array(expected)[:, None], 6, 1))


def test_words_of_a_batch_are_those_of_the_post():
    dataset = stand_in_with_texts([3, 2])
    config = tiny_config("xu_comments", input__resize=48, texts__min_count=1, batch__slots=5)
    tables = vocabularies.make(dataset, config)
    batch = next(batches.score_batches(dataset, config, 5, vocabularies=tables))
    for slot in range(5):
        example = dataset.examples[batch["record"][0, slot]]
        texts = {"description": "look at this", "hashtag": "tag", "comment": "nice", "caption": "a picture"}
        for field, text in texts.items():
            assert " ".join(tables.vocabulary.words(batch[f"words/{field}"][0, slot])) == text, example["group_id"]
    with pytest.raises(ValueError, match="'xu', but no vocabulary was given"):
        read(config, dataset)


def test_a_field_holds_the_text_that_its_entry_names():
    """Description=post: the whole text under the name, in batch, parameters and vocabulary alike; UHAN's too."""
    dataset = stand_in_with_texts([3])
    fields = ("image", "description=post", "said=caption")
    config = tiny_config("xu", input__resize=48, texts__min_count=1, batch__slots=3, xu__fields=fields)
    preflight.check_model(config)
    tables = vocabularies.make(dataset, config)
    batch = next(batches.score_batches(dataset, config, 3, vocabularies=tables))
    texts = {"description": "look at this tag", "said": "a picture"}
    for field, text in texts.items():
        assert " ".join(tables.vocabulary.words(batch[f"words/{field}"][0, 0])) == text
    assert {key for key in batch if key.startswith("words/")} == {f"words/{field}" for field in texts}
    params = jax.eval_shape(lambda: initial.initial_variables(config))["params"]
    assert {"project_image", "project_description", "project_said", "gru_said_forward"} <= params.keys()
    uhan = tiny_config("uhan", uhan__fields=("words=description",))
    assert registry.build(uhan).field == "words" and text_fields(uhan)[0] == {"words": "description"}


def stand_in_with_texts(sizes):
    dataset = StandIn(sizes)
    for example in dataset.examples:
        n = len(example["likes"])
        example |= {"captions": ["look at this #tag"] * n, "hashtags": ["tag"] * n, "comments": ["nice"] * n}
        example["machine_captions"] = ["a picture"] * n
    return dataset


def test_patches_are_drawn_and_flipped_in_training_and_whole_in_scoring():
    dataset = StandIn([3, 2], side=48)  # 48 px: nine patches of 16
    config = tiny_config("musiq_tuned", batch__slots=5, musiq__train_tokens=4)
    layout = peer_inputs.layout(config, train=False)
    scored = next(batches.score_batches(dataset, config, 5))
    assert scored["patches"].shape == (1, 5, 4 + 16 + 9, 768) and "image" not in scored
    whole = [
        musiq_patches.sequence(photos.decode_whole(photo), layout) for e in dataset.examples for photo in e["images"]
    ]
    for slot, tokens in enumerate(whole):
        np.testing.assert_array_equal(scored["patches"][0, slot], tokens.patches)
        np.testing.assert_array_equal(scored["spatial"][0, slot], tokens.spatial)
        assert scored["patch_mask"][0, slot].all() and scored["scale"][0, slot].tolist() == tokens.scale.tolist()
    row = {key: i for i, key in enumerate(dataset.images.select("record", "position").iter_rows())}
    config.train.epochs, seen = 8.0, set()
    first = read(config, dataset)
    for batch in first:
        assert batch["patches"].shape[2] == 4 + 16 + 4
        for at in map(tuple, np.argwhere(batch["slot_mask"])):
            number = row[int(batch["record"][at]), int(batch["position"][at])]
            own, places = batch["patches"][at][-4:], batch["spatial"][at][-4:]
            straight = {s: p for s, p in zip(whole[number].spatial[-9:], whole[number].patches[-9:], strict=True)}
            flipped = all(not np.allclose(straight[s], p) for s, p in zip(places, own, strict=True))
            assert flipped or all(np.allclose(straight[s], p) for s, p in zip(places, own, strict=True))
            seen.add((flipped, *places.tolist()))
    assert {flipped for flipped, *_ in seen} == {True, False} and len(seen) > 10
    np.testing.assert_array_equal(read(config, dataset, start=3)[0]["patches"], first[3]["patches"])


def test_more_native_tokens_than_are_scored_are_cut():
    config = tiny_config("musiq_tuned", musiq__score_tokens=5)
    scored = next(batches.score_batches(StandIn([2], side=48), config, 2))
    assert scored["patches"].shape[2] == 4 + 16 + 5 and scored["patch_mask"].all()
