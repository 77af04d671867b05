"""What all tests share: how they compile, which of them start first, and a small world with a trained model."""

from pathlib import Path

import pytest

from tests.helpers import compiling  # first: before jax is imported

assert compiling

# The files that take longest, which start first, so that the workers end together.
FIRST = (
    "cli/test_extract.py", "third_party_ports/test_verify.py", "cli/test_demo.py", "cli/test_make_tables.py",
    "cli/test_choice_runs.py", "cli/test_devices.py", "ipa_jax/training/test_steps.py", "cli/test_peer_runs.py",
    "cli/test_protocols.py", "faults/test_faults.py", "cli/test_resume.py", "ipa_jax/peers/test_peers.py",
    "cli/test_train.py",
    "third_party_ports/adabins/test_network.py", "third_party_ports/bottom_up/test_detector.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / file: number for number, file in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))  # stable: the others keep their order


def pytest_configure(config):
    # jax writes entries in place. Who reads one that is half-written, or left by a killed process, compiles again.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache entry")


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def demo_world(shared) -> Path:
    """See tests.helpers.shared_world.world."""
    from tests.helpers import shared_world  # here, because most tests need no jax

    return shared_world.world(shared)


@pytest.fixture(scope="session")
def trained(shared) -> Path:
    """See tests.helpers.shared_world.trained."""
    from tests.helpers import shared_world

    return shared_world.trained(shared)


@pytest.fixture(scope="session")
def described_history(shared) -> Path:
    """See tests.helpers.described_history.history."""
    from tests.helpers import described_history

    return described_history.history(shared)
