"""`/v1/files`, compatible with OpenAI's Files API: pictures that are uploaded once and used in many orders."""

from typing import Annotated, Any, BinaryIO, cast

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from videos import serializers
from videos.api import actions, bodies, idempotency, openapi_extra, parameters, requests, schemas
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, bad_value, not_found
from videos.media import images, uploads
from videos.models import Upload

router = Router(auth=ApiKeyAuth(), tags=["Files"])

PAGE = 10_000  # as at OpenAI


def _file(value: Any) -> UploadedFile:
    if not isinstance(value, UploadedFile):
        raise ValueError("send the picture itself, as multipart/form-data")
    return value


class FileUpload(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: Annotated[
        UploadedFile, PlainValidator(_file), WithJsonSchema({"type": "string", "format": "binary"})
    ] = Field(description="A JPEG, PNG, or WebP picture of at most 10 MB, sent as multipart/form-data.")
    purpose: schemas.Purpose = Field(
        description="Kept with the file. It makes no difference to what the file can be used for."
    )


@router.post(
    "/v1/files",
    response=schemas.FileObject,
    openapi_extra=openapi_extra.upload(FileUpload),
)
def create_file(request: KeyedRequest) -> HttpResponse:
    """Upload a picture. Its id can be used as `file_id` in `input_reference` and `last_frame` of any order.

    The picture is stored as a JPEG of at most 2048 pixels on its long side. The same picture is the same file.
    """
    body = bodies.read(request, files=("file",))
    sent = body.fields | ({"file": body.file} if body.file is not None else {})

    def prepare() -> idempotency.Action:
        asked = requests.checked(FileUpload, sent)
        try:
            picture = cast(BinaryIO, asked.file)
            upload = uploads.keep_file(request.user, picture, asked.file.name or "", asked.purpose)
        except images.ImageRefused as refusal:
            raise bad_value("file", str(refusal)) from refusal
        except uploads.TooManyFiles as error:
            raise ApiError(
                409,
                f"An account can have at most {uploads.MAX_FILES} files. Delete those that you no longer need.",
                code="too_many_files",
            ) from error
        return lambda: (200, serializers.file_object(upload))

    return idempotency.once(request, body.digest, prepare)


@router.get("/v1/files", response=schemas.FileList)
def list_files(
    request: KeyedRequest,
    after: parameters.After = "",
    limit: Annotated[int, Query(..., ge=1, le=PAGE, description="How many files at most.")] = PAGE,
    order: parameters.Order = "desc",
    purpose: Annotated[str, Query(..., description="Only files with this purpose.")] = "",
) -> HttpResponse:
    """List the files of the account, newest first, or oldest first with `order=asc`. For the next page, set `after` to the last id of this one."""
    actions.only(request, "after", "limit", "order", "purpose")
    files = uploads.files(request.user)
    if after:
        last = _own(request, after, "after")
        word = "lt" if order == "desc" else "gt"
        files = files.filter(
            Q(**{f"created_at__{word}": last.created_at})
            | Q(created_at=last.created_at, **{f"pk__{word}": last.pk})
        )
    if purpose:
        files = files.filter(purpose=purpose) if "\x00" not in purpose else files.none()
    by = ("-created_at", "-pk") if order == "desc" else ("created_at", "pk")
    page = [serializers.file_object(upload) for upload in files.order_by(*by)[: limit + 1]]
    data = page[:limit]
    return JsonResponse(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(page) > limit,
        }
    )


@router.get("/v1/files/{file_id}", response=schemas.FileObject)
def retrieve_file(request: KeyedRequest, file_id: str) -> HttpResponse:
    """Retrieve what is known of a file."""
    return JsonResponse(serializers.file_object(_own(request, file_id)))


@router.delete("/v1/files/{file_id}", response=schemas.FileDeleted)
def delete_file(request: KeyedRequest, file_id: str) -> HttpResponse:
    """Delete a file. Videos that were ordered with it keep the picture until they are deleted themselves."""
    if not uploads.delete_file(request.user, _own(request, file_id).pk):
        raise not_found("file", file_id)
    return JsonResponse({"id": file_id, "object": "file", "deleted": True})


@router.api_operation(
    ["GET", "HEAD"], "/v1/files/{file_id}/content", openapi_extra=openapi_extra.download("image/jpeg")
)
def file_content(request: KeyedRequest, file_id: str) -> HttpResponseBase:
    """Download a file: the JPEG that is stored. Byte ranges are supported."""
    upload = _own(request, file_id)
    return actions.stored(request, str(upload.file.name), etag=upload.sha256, content_type="image/jpeg")


def _own(request: KeyedRequest, file_id: str, param: str | None = None) -> Upload:
    """The account's file with this id. Raises ApiError 404 if there is none."""
    pk = serializers.uuid_of(file_id, "file")
    upload = uploads.files(request.user).filter(pk=pk).first() if pk else None
    if upload is None:
        raise not_found("file", file_id, param)
    return upload
