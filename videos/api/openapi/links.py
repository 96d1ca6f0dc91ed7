"""The `links` of the OpenAPI document: which calls take the ids of a response."""

from collections.abc import Mapping

from videos.api.openapi_extra import Part

# By the schema of the response: operations, the parameter that takes an id, and where the id is in the response.
LINKS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "VideoObject": tuple(
        (operation, "video_id", "/id")
        for operation in (
            "retrieve_video",
            "video_content",
            "cancel_video",
            "remix_video",
            "delete_video",
            "query_by_path",
        )
    ),
    "VideoList": (("list_videos", "after", "/last_id"), ("retrieve_video", "video_id", "/data/0/id")),
    "FileObject": tuple(
        (operation, "file_id", "/id") for operation in ("retrieve_file", "file_content", "delete_file")
    ),
    "FileList": (("list_files", "after", "/last_id"), ("retrieve_file", "file_id", "/data/0/id")),
    "BatchObject": tuple((operation, "batch_id", "/id") for operation in ("retrieve_batch", "cancel_batch")),
    "ModelList": (("retrieve_model", "model_id", "/data/0/id"),),
    "SiteVideo": (("site_video", "video_id", "/id"),),
    "DrillAnswer": (("drill_status", "run_id", "/run_id"),),
}


def of(response: Part) -> Part:
    """The links of this response; empty if it has no id that other calls take."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    title = schema.get("title") or schema.get("$ref", "").rpartition("/")[2]
    return {
        operation: {"operationId": operation, "parameters": {parameter: f"$response.body#{where}"}}
        for operation, parameter, where in LINKS.get(title, ())
    }
