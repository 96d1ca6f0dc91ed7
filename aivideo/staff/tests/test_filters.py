"""By what the lists of `/admin/` can be filtered: whoever may filter by a field can read it letter by letter."""

from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from accounts.models import CreditEntry, StripeEvent, User
from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import becomes, without
from videos.models import Video

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser():
    return new_user(is_staff=True, is_superuser=True)


def members():
    """Somebody of each group of staff."""
    for name in ("support", "finance"):
        user = new_user(is_staff=True)
        user.groups.add(Group.objects.get(name=name))
        yield user


def page(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def fields(model, prefix=""):
    """Every field of a table and of the tables that it refers to or that refer to it, as a path of names."""
    for field in model._meta.get_fields():
        yield f"{prefix}{field.name}", field
        if field.is_relation and field.related_model and not prefix:
            yield from fields(field.related_model, f"{field.name}__")


@pytest.fixture
def request_of(rf, superuser):
    def build(query=None):
        request = rf.get("/", query or {})
        request.user = superuser
        return request

    return build


@without(
    "the list of filters that a page offers",
    "aivideo.staff.admin.base.ModelAdmin.lookup_allowed",
    becomes("lookup in self.filtered_by_links", "True"),
)
def test_A72_no_field_can_be_read_by_filters_that_a_list_does_not_offer(request_of):
    """By those that it offers, a value that it shows is compared as a whole."""
    request = request_of()
    tried = 0
    for model, model_admin in admin.site._registry.items():
        offered = list(model_admin.get_list_filter(request))
        offered += [name.partition("__")[0] for name in getattr(model_admin, "filtered_by_links", ())]
        offered += filter(None, [model_admin.date_hierarchy])
        for path, field in fields(model):
            own, _, of_another = path.partition("__")
            is_key = getattr(field, "primary_key", False)
            is_offered = path in offered or (own in offered and (not of_another or is_key))
            for how in ("startswith", "istartswith", "contains", "regex", "gt", "range", "in", "date__gt"):
                assert not model_admin.lookup_allowed(f"{path}__{how}", "a", request), (model, path, how)
            for lookup in (path, *(f"{path}__{how}" for how in ("exact", "isnull", "gte", "lt"))):
                assert is_offered or not model_admin.lookup_allowed(lookup, "a", request), (model, lookup)
                tried += 1
    assert tried > 3000


SECRETS = [
    ("accounts/apikey", "digest__startswith"),
    ("accounts/apikey", "webhook_secret__startswith"),
    ("accounts/apikey", "user__password__startswith"),
    ("accounts/user", "password__startswith"),
    ("accounts/user", "mfa__isnull"),
    ("accounts/creditentry", "user__password__startswith"),
    ("videos/video", "cost__gt"),
    ("videos/video", "user__password__startswith"),
    ("videos/video", "prompt__contains"),
    ("videos/delivery", "secret__startswith"),
]


@pytest.mark.parametrize(("where", "lookup"), SECRETS)
def test_A72_such_a_filter_is_a_bad_request(where, lookup):
    for member in members():
        answer = signed_in(member).get(f"/admin/{where}/", {lookup: "a"})
        assert answer.status_code in (400, 403), lookup


def test_every_filter_that_a_list_offers_works(request_of, superuser):
    new_user()
    tried = 0
    for model_admin in admin.site._registry.values():
        lists = model_admin.get_changelist_instance(request_of())
        for spec in lists.filter_specs:
            for choice in spec.choices(lists):
                query = dict(parse_qsl(choice["query_string"][1:]))
                assert isinstance(model_admin.get_changelist_instance(request_of(query)), ChangeList)
                tried += 1
    assert tried > 50


def test_the_links_of_other_pages_filter_as_before(superuser):
    client = signed_in(superuser)
    for model, query in (
        (Video, {"ended_at__isnull": "True", "status__exact": "queued"}),
        (CreditEntry, {"user__id__exact": superuser.pk}),
        (StripeEvent, {"settled_at__isnull": "True"}),
        (User, {"date_joined__gte": (timezone.now() - timedelta(days=7)).isoformat()}),
    ):
        assert client.get(page(model), query).status_code == 200
