"""Calls of OpenAI's Videos API that this site does not offer: 404, with what to use instead."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from videos.api.errors import ApiError

# By the path after /v1/videos/; paths below it are not offered either.
NOT_OFFERED = {
    "edits": "Editing a video is not offered here. To make it again with another prompt, use"
    " POST /v1/videos/{video_id}/remix.",
    "extensions": "Extending a video is not offered here. Create a longer one: GET /v1/models lists the `seconds`"
    " of each model.",
    "characters": "Characters are not offered here. Send a picture of the character as `input_reference` with"
    " POST /v1/videos.",
}


PATHS = rf"^v1/videos/(?P<name>{'|'.join(NOT_OFFERED)})(?:/.*)?$"


@csrf_exempt
def answer(request: HttpRequest, name: str) -> HttpResponse:
    """The answer to every method of these paths."""
    return ApiError(404, NOT_OFFERED[name], code="not_offered").answer()
