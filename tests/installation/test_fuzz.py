"""Everything that the OpenAPI document allows, and much that it forbids, sent to a whole site.

`API_CASES=20000` sends so many in all; the suite sends a few hundred.
"""

import json
import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.installation import Site
from videos.api.openapi.document import FILE

CASES = int(os.environ.get("API_CASES", "400"))
CALLS = [
    (method.upper(), path)
    for path, operations in json.loads(FILE.read_text())["paths"].items()
    for method in operations
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("fuzz"), SIMULATOR_SECONDS="1", API_REQUESTS_A_MINUTE="0") as site:
        yield site


@pytest.fixture(scope="module")
def key(site):
    site.manage("grant_credits", "fuzz@example.com", "300", "--reason", "tests")
    return site.manage("create_api_key", "fuzz@example.com", "--name", "tests").splitlines()[-1]


@pytest.fixture(scope="module")
def schema():
    import schemathesis  # takes seconds, so not while tests are collected

    schema = schemathesis.openapi.from_path(str(FILE))
    schema.config.generation.update(modes=list(schemathesis.GenerationMode))
    return schema


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_no_answer_is_a_5xx_or_undocumented(method, path, schema, site, key):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=CASES // len(CALLS) + 1,
        deadline=None,
        derandomize=CASES < 1000,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        answer = case.call(
            base_url=site.url, headers={"Authorization": f"Bearer {key}"}, allow_redirects=False
        )
        case.validate_response(
            answer,
            checks=[
                not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )

    ask()
