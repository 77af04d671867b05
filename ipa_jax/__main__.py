"""`python -m ipa_jax` and the console script `ipa-jax`: they answer signals first, and load the program after that."""

import sys

from third_party_ports.first_moments import answer_signals


def main() -> int:
    """Runs the command that the command line names; returns its exit status."""
    answer_signals()
    from ipa_jax import program

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
