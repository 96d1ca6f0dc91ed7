"""Simulators that the tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.support.simulator_process import Simulator, running
from tests.support.webhook_receiver import Receiver


@pytest.fixture(scope="module")
def simulator(tmp_path_factory) -> Iterator[Simulator]:
    """Its jobs are completed as soon as their picture is painted."""
    with running(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def unhurried(tmp_path_factory) -> Iterator[Simulator]:
    """Its jobs take so long that each state is seen, and webhooks tell when they have ended."""
    with (
        Receiver() as receiver,
        running(tmp_path_factory.mktemp("unhurried"), seconds=3, **receiver.environment) as simulator,
    ):
        simulator.receiver = receiver
        yield simulator
