"""The adapter for any server that speaks OpenAI's `/v1/videos`."""

from tests.support.provider_contract import OpenAIContract


class TestOpenAI(OpenAIContract):
    pass
