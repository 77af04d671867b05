"""A made-up Instagram whose likes are known to the last term: drawn photos, the influencer dataset's layout, the truth.

`python -m ipa_jax demo-world OUT` writes OUT/raw, OUT/features, OUT/truth.parquet and OUT/world.json. The feature
store holds the truth itself with noise on it, in the place of what pose, background, caption and depth networks say:
their weights cannot be shipped. What a model reaches here shows that its parts work, and says nothing of real photos.
"""
