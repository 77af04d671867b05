"""What each port must reproduce: a module per fixture format, used by `ipa-jax verify`.

Each module has three names. MODELS lists the values of the manifest's `model` that it serves. `needed(fixture)` returns
the arrays that every fixture of the format holds, without `tap_`, and as "FILE: NAME" if they are not in io.npz.
`compare(fixture)` yields a Comparison per array.
"""
