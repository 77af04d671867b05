"""A made-up Instagram with drawn photos, in the influencer dataset's layout. Every term of the likes is known.

`ipa-jax demo-world --out=OUT` writes OUT/raw, OUT/features, OUT/truth.parquet and OUT/world.json. The feature store
holds the truth with noise. It stands in for the pose, background, caption and depth networks, whose weights cannot be
shipped. A model's result here shows whether its parts work; it says nothing about real photos.
"""
