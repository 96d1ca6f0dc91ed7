"""Some cells of the matrix of `make chaos`."""

from tests.support.chaos import chaos


def test_some_faults_at_some_crash_points_do_no_harm_and_the_checks_see_what_would():
    figures = chaos(ONLY="matrix", SAMPLE="10")
    assert figures["matrix_violations"]["value"] == 0
    assert figures["matrix_violations"]["n"] == 10
    assert all(figure["value"] > 0 for name, figure in figures.items() if name.startswith("naive_"))
