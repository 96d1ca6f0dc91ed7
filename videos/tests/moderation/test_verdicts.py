"""Verdicts: who reads, overrules and forgets them."""

import uuid
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from aivideo.models import AuditEntry
from aivideo.staff import actions
from tests.support.fixtures import new_user, signed_in, video_order
from tests.support.moderation import order_cleared, page_of, refused, upload
from videos.models import Verdict
from videos.moderation import blocked_terms, gate

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db):
    return new_user(is_staff=True, is_superuser=True)


@pytest.fixture
def support(db):
    for module, function in [("0002_groups", "forwards"), ("0005_moderation", "let_support")]:
        migration = import_module(f"aivideo.migrations.{module}")
        getattr(migration, function)(apps, SimpleNamespace(connection=connection))
    user = new_user(is_staff=True)
    user.groups.add(Group.objects.get(name="support"))
    return user


@pytest.mark.parametrize("prompt", ["Much gore", "csam"])
def test_what_staff_overrule_passes_from_then_on_for_that_person_alone(
    owner, stranger, boss, service, prompt
):
    verdict = refused(owner, prompt)
    form = actions.ActionRequest(boss, "a film about medicine", uuid.uuid4())
    assert [actions.overrule(form, verdict) for _ in range(2)] == [True, True]
    assert not actions.overrule(actions.ActionRequest(boss, "again", uuid.uuid4()), verdict)
    line = AuditEntry.objects.get()
    assert (line.action, line.target, line.reason) == (
        "overrule",
        f"verdict:{verdict.pk}",
        "a film about medicine",
    )
    verdict.refresh_from_db()
    assert (verdict.overruled_by, verdict.overruled_at is not None) == (boss, True)

    Verdict.objects.update(at=timezone.now() - 2 * gate.REUSED)
    asked = len(service.asked)
    assert order_cleared(owner, prompt=prompt)
    assert len(service.asked) == asked
    refused(stranger, prompt)
    refused(owner, f"{prompt}!")


def test_what_was_allowed_cannot_be_overruled(owner, boss, service):
    gate.clear(owner, [video_order()])
    form = actions.ActionRequest(boss, "why not", uuid.uuid4())
    assert not actions.overrule(form, owner.verdicts.get())
    assert not AuditEntry.objects.exists()


def test_support_reads_verdicts_overrules_them_and_keeps_the_list(support, owner, service):
    verdict = refused(owner, upload=upload(owner))
    client = signed_in(support)
    page = client.get("/admin/videos/verdict/?outcome__exact=refused")
    assert verdict.pk in page_of(page)
    assert verdict.pk in page_of(client.get(f"/admin/videos/verdict/?q={verdict.pk}"))
    assert verdict.pk not in page_of(client.get("/admin/videos/verdict/?outcome__exact=allowed"))
    row = page_of(client.get(f"/admin/videos/verdict/{verdict.pk}/change/"))
    assert "Much gore" in row
    assert "violence/graphic" in row
    assert f"/admin/videos/verdict/{verdict.pk}/overrule/" in row

    sent = {"reason": "medicine", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    answer = client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent)
    assert "HX-Redirect" in answer
    verdict.refresh_from_db()
    assert verdict.overruled_by == support
    row = page_of(client.get(f"/admin/videos/verdict/{verdict.pk}/change/"))
    assert f"/admin/videos/verdict/{verdict.pk}/overrule/" not in row

    assert client.post("/admin/videos/blockedterm/add/", {"term": "zeppelin"}).status_code == 302
    assert blocked_terms.found_in("a Zeppelin")


def test_nobody_writes_or_deletes_a_verdict_by_hand(as_staff, owner, service):
    verdict = refused(owner)
    page = f"/admin/videos/verdict/{verdict.pk}"
    assert as_staff.get("/admin/videos/verdict/add/").status_code == 403
    assert as_staff.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert as_staff.post(f"{page}/change/", {"outcome": "allowed"}).status_code == 403
    assert Verdict.objects.get().outcome == "refused"


def test_A01_a_stranger_sees_no_verdict_and_overrules_none(owner, as_owner, as_stranger, service):
    verdict = refused(owner)
    sent = {"reason": "please", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    for client in (as_stranger, as_owner):
        assert client.get(f"/admin/videos/verdict/{verdict.pk}/change/").status_code == 302
        assert client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent).status_code == 302
    verdict.refresh_from_db()
    assert verdict.overruled_at is None


def test_staff_without_the_right_do_not_overrule(owner, service):
    verdict = refused(owner)
    client = signed_in(new_user(is_staff=True))
    sent = {"reason": "please", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    assert client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent).status_code == 403
    verdict.refresh_from_db()
    assert verdict.overruled_at is None


def test_old_verdicts_are_forgotten_except_those_that_staff_overruled(owner, boss, service):
    kept, gone = refused(owner), refused(owner, "Other gore")
    gate.overrule(kept, boss)
    Verdict.objects.update(at=timezone.now() - gate.KEPT)
    gate.purge_expired()
    assert [verdict.pk for verdict in Verdict.objects.all()] == [kept.pk]
    assert gone.pk != kept.pk


def test_a_picture_that_goes_leaves_the_verdict_about_it(owner, service):
    service.minds_pictures = "sexual"
    verdict = refused(owner, "A kite", upload=upload(owner))
    owner.uploads.get().delete()
    verdict.refresh_from_db()
    assert verdict.upload is None
