"""What staff may not do in `/admin/`, whatever their browser sends: run code, and raise themselves or others."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.signing import SignedPackage

pytestmark = pytest.mark.django_db

OURS = ("aivideo", "accounts", "videos")
# Of other packages, what superusers do change: groups, and the second factor of who lost the device.
CHANGED_BY_SUPERUSERS = {"auth.Group", "mfa.Authenticator"}


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


# --- What belongs to libraries --------------------------------------------------------------------


@pytest.fixture
def rows(owner):
    """A row of each model of other packages."""
    account = SocialAccount.objects.create(user=owner, provider="google", uid="1")
    app = SocialApp.objects.create(provider="google", name="x", client_id="x")
    task = {"func": "os.system", "args": ("true",), "started": timezone.now(), "stopped": timezone.now()}
    package = SignedPackage.dumps({"id": "q", "name": "q", "func": "os.system", "args": (), "kwargs": {}})
    made = [
        account,
        app,
        SocialToken.objects.create(app=app, account=account, token="x"),
        EmailAddress.objects.create(user=owner, email="x@example.com"),
        Schedule.objects.create(func="os.system", next_run=timezone.now() + timedelta(days=9)),
        Task.objects.create(id="s" * 32, name="s", success=True, **task),
        Task.objects.create(id="f" * 32, name="f", success=False, **task),
        OrmQ.objects.create(key="other", payload=package, lock=timezone.now() + timedelta(days=9)),
    ]
    return {type(row)._meta.label: row for row in made} | {
        "django_q.Success": Success.objects.get(),
        "django_q.Failure": Failure.objects.get(),
    }


def test_A67_of_other_packages_nothing_is_added_changed_deleted_or_run(as_staff, rows):
    others = [model for model in admin.site._registry if model._meta.app_label not in OURS]
    assert {model._meta.label for model in others} == CHANGED_BY_SUPERUSERS | rows.keys() - {"django_q.Task"}
    for model in others:
        if model._meta.label in CHANGED_BY_SUPERUSERS:
            continue
        row = rows[model._meta.label]
        before = model.objects.filter(pk=row.pk).values().get()
        queued = OrmQ.objects.count()
        changed = {field.name: "os.system" for field in model._meta.fields}
        for way in ("add", "change", "delete"):
            page = url(model, way) if way == "add" else url(model, way, row.pk)
            if way != "change":
                assert as_staff.get(page).status_code == 403, page
            assert as_staff.post(page, changed | {"post": "yes"}).status_code == 403, page
        shown = as_staff.get(url(model, "changelist"))
        assert shown.context["cl"].model_admin.get_actions(shown.wsgi_request) == {}
        for action in ("resubmit_task", "delete_selected", "make_verified"):
            form = {"action": action, "_selected_action": row.pk, "post": "yes"}
            as_staff.post(url(model, "changelist"), form)
        assert as_staff.get(url(model, "change", row.pk)).status_code == 200
        assert model.objects.filter(pk=row.pk).values().get() == before
        assert (model.objects.count(), OrmQ.objects.count()) == (1, queued), model


def test_A67_no_schedule_of_anybodys_function_can_be_made(as_staff):
    form = {"func": "os.system", "args": "'true'", "schedule_type": "O", "repeats": "-1"}
    later = {"next_run_0": "2030-01-01", "next_run_1": "00:00:00"}
    assert as_staff.post("/admin/django_q/schedule/add/", form | later).status_code == 403
    assert not Schedule.objects.exists()
