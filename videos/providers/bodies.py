"""Answers of providers, read up to a limit: one without end would fill the memory of the worker."""

from collections.abc import AsyncIterator

import aiohttp
import httpx2

# Bytes. A page of 100 jobs with prompts of 32,000 characters has 3.3 MB.
MAX_ANSWER = 4_000_000
# What is compressed, although nobody asked for that, may be a thousand times as large.
MAX_COMPRESSED = 256 * 1024


async def read(response: aiohttp.ClientResponse) -> str:
    """The text of an answer. Raises aiohttp.ClientPayloadError if it has more than MAX_ANSWER bytes."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER:
            raise aiohttp.ClientPayloadError(f"more than {MAX_ANSWER} bytes")
    return body.decode(errors="replace")


async def limit(response: httpx2.Response) -> None:
    """A hook for responses of the SDK's client. Files are left alone: who downloads one counts its bytes."""
    if not response.request.url.path.endswith("/content"):
        is_compressed = response.headers.get("content-encoding", "identity") != "identity"
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Limited(response.stream, MAX_COMPRESSED if is_compressed else MAX_ANSWER)


class _Limited(httpx2.AsyncByteStream):
    """A body that raises httpx2.ReadError after `most` bytes."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self.stream, self.most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.most
        async for piece in self.stream:
            left -= len(piece)
            if left < 0:
                raise httpx2.ReadError(f"more than {self.most} bytes")
            yield piece

    async def aclose(self) -> None:
        await self.stream.aclose()
