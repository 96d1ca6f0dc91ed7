"""One short run of a whole installation under faults, as `make chaos` does many."""

from tests.support.chaos import chaos


def test_a_site_whose_processes_are_killed_all_the_time_loses_nothing():
    figures = chaos(ONLY="runs", RUNS="1", SECONDS="8")
    assert figures["chaos_violations"]["value"] == 0
    assert figures["chaos_kills"]["value"] > 0
    assert figures["chaos_videos"]["value"] > 0
