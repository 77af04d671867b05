"""What each port must reproduce: one module a fixture format, used by `python -m ipa_jax verify`.

MODELS are the values of the manifest's `model` that a module serves. `needed(fixture)` names the arrays that its
fixtures hold in any case, without `tap_` ("FILE: NAME" where not of io.npz); `compare(fixture)` yields the rows.
"""
