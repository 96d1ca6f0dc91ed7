"""Batches as the API and the page order them."""

from tests.support.fixtures import video_order
from videos.generation import batches


def some(user, count, **options):
    return batches.place(user, [video_order(f"Kite {number}") for number in range(count)], **options)
