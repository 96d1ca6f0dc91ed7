"""`/v1/models` and `/v1/credits`: the available models and the balance of the account."""

from django.http import HttpResponse, JsonResponse
from ninja import Router

from accounts.models import User
from videos import serializers
from videos.api import schemas, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import not_found
from videos.catalogue import availability

router = Router(auth=ApiKeyAuth())


@router.get("/v1/models", response=schemas.ModelList, tags=["Account"])
def list_models(request: KeyedRequest) -> HttpResponse:
    """List the available models and their prices in credits."""
    return JsonResponse(
        {
            "object": "list",
            "data": [serializers.model_object(model) for model in availability.models(request.user)],
        }
    )


@router.get("/v1/models/{model_id}", response=schemas.ModelObject, tags=["Account"])
def retrieve_model(request: KeyedRequest, model_id: str) -> HttpResponse:
    """Retrieve a model."""
    model = availability.models(request.user).filter(slug=model_id).first()
    if model is None:
        raise not_found("model", model_id)
    return JsonResponse(serializers.model_object(model))


@router.get("/v1/credits", response=schemas.Credits, tags=["Account"])
def retrieve_credits(request: KeyedRequest) -> HttpResponse:
    """Retrieve the balance of the account."""
    return JsonResponse(credits_of(request.user))


def credits_of(user: User) -> dict[str, object]:
    return {"object": "credits", "balance": user.balance, "reserved": spending.reserved(user)}
