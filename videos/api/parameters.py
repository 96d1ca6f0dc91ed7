"""Query parameters that several routes share."""

from typing import Annotated, Literal

from ninja import Query

Order = Annotated[
    Literal["asc", "desc"],
    Query(..., description="By the time of creation: `asc`, oldest first, or `desc`, newest first."),
]
After = Annotated[str, Query(..., description="The last id of the page before this one.")]
