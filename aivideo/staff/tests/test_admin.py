"""`/admin/`: who gets in, what each group sees and may do, and that every page opens."""

import hashlib
import hmac
import re
import struct
import time
from base64 import b32decode
from types import SimpleNamespace
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import api_keys, low_balance, payments, plans, redeem_codes, stripe_gateway
from accounts.models import (
    BalanceTransaction,
    CodeBatch,
    CreditPack,
    FreeCredits,
    Payment,
    Plan,
    StaffGrant,
    StripeEvent,
)
from accounts.payments import Truth
from aivideo.migrations import __name__ as migrations
from aivideo.models import AuditEntry, LedgerCheck, LedgerSeal, PurchaseCheck
from tests.support.fixtures import give, new_user, order, signed_in
from tests.support.sabotage import becomes, insert_first, without
from videos.models import (
    Batch,
    BlockedTerm,
    Channel,
    Offer,
    PumpSlot,
    Verdict,
    Video,
    VideoModel,
    WebhookReceipt,
    Worker,
)
from videos.webhooks import outbox

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _groups(db):
    """Tests that empty the database take them away."""
    from importlib import import_module

    import_module(f"{migrations}.0002_groups").forwards(apps, SimpleNamespace(connection=connection))


def member_of(group):
    user = new_user(is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


@pytest.fixture
def support():
    return member_of("support")


@pytest.fixture
def finance():
    return member_of("finance")


@pytest.fixture
def video(owner):
    video = order(owner)
    Video.objects.filter(pk=video.pk).update(
        status="completed",
        file="videos/x.mp4",
        sha256="0" * 64,
        ended_at=timezone.now(),
        ref="job-1",
        cost="0.4000",
    )
    video.refresh_from_db()
    return video


@pytest.fixture
def held(owner, monkeypatch):
    """A payment of less than was ordered, and a Stripe that says so."""
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2599)
    truth = Truth(is_paid=True, amount=2400, currency="usd")
    monkeypatch.setattr(stripe_gateway, "truth_of", lambda _payment: truth)
    return payments.settle(payments.order(owner, pack, Payment.Processor.STRIPE), stripe_gateway.truth_of)


def page(model, pk=None):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return reverse(f"{name}_change", args=[pk]) if pk else reverse(f"{name}_changelist")


def send(client, model, pk, deed, **fields):
    """Press a button with a reason; the answer to its form."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{deed}", args=[pk])
    form = {"reason": "because of a test", "form": str(uuid4()), "_form_submitted": "True", **fields}
    return client.post(url, form)


def test_every_list_and_every_row_of_ours_opens(as_staff, owner, video, held):
    owner.uploads.create(file="uploads/x.jpg", sha256="1" * 64, width=1, height=1)
    Worker.objects.create(name="w", seen_at=timezone.now())
    PumpSlot.objects.get_or_create(number=1)
    WebhookReceipt.objects.create(id="wh_1", event="video.completed", ref="job-1")
    StripeEvent.objects.create(id="evt_1", kind="charge.refunded", payment=held)
    redeem_codes.create(CodeBatch.objects.create(name="Fair", credits=5), 2)
    low_balance.email(owner, 50)
    plans.order(owner, Plan.objects.create(name="Maker", credits=500, price=900))
    FreeCredits.objects.create()
    outbox.ping(api_keys.create(owner, "tests", webhook_url="https://example.com/")[0])
    Batch.objects.create(user=owner, total=1, credits=10, concurrency=1)
    BlockedTerm.objects.create(term="zeppelin")
    Verdict.objects.create(user=owner, digest="0" * 64, outcome="refused", inputs=["prompt"], source="list")
    give(owner, 5)
    LedgerSeal.objects.create(table="accounts_lot", last_id=1, rows=1, digest="0" * 64)
    LedgerCheck.objects.create(violations=["something"])
    PurchaseCheck.objects.create(wrong=1)
    AuditEntry.objects.create(form=uuid4(), staff=owner, action="grant", target="user:1", reason="test")
    ours = [m for app in ("accounts", "videos", "aivideo") for m in apps.get_app_config(app).get_models()]
    shown = [model for model in ours if admin.site.is_registered(model)]
    assert len(shown) == 28
    for model in shown:
        assert as_staff.get(page(model)).status_code == 200, model
        assert as_staff.get(f"{page(model)}?q=x").status_code == 200, model
        row = model.objects.first()
        if row is not None:
            assert as_staff.get(page(model, row.pk)).status_code == 200, model


def test_the_cards_of_the_dashboard_lead_to_lists_that_open(as_staff):
    links = re.findall(r'href="(/admin/[^"]+)" class="staff-card', as_staff.get("/admin/").content.decode())
    assert len(links) >= 5
    for link in links:
        assert as_staff.get(link.replace("&amp;", "&")).status_code == 200, link


def test_the_lists_of_other_packages_open_too(as_staff):
    others = [m for m in admin.site._registry if m._meta.app_label not in ("accounts", "videos", "aivideo")]
    assert len(others) >= 5
    for model in others:
        assert as_staff.get(page(model)).status_code == 200, model


def test_every_model_is_in_the_admin():
    ours = [m for app in ("accounts", "videos", "aivideo") for m in apps.get_app_config(app).get_models()]
    shown = {model for model in ours if admin.site.is_registered(model)}
    within_others = {"VideoEvent", "RedeemCode", "Draw", "Offer", "Price", "BalanceTransaction", "PaidMonth"}
    within_others |= {"TopUp"}
    of_no_use_to_read = {"FreeCreditTally", "Welcome", "LedgerDay", "VideoDay", "IdempotentAnswer"}
    assert {model.__name__ for model in set(ours) - shown} == within_others | of_no_use_to_read


def test_support_sees_no_figure_of_money_anywhere(support, video, held):
    client = signed_in(support)
    Offer.objects.update(cost_a_second="0.1000")
    pages = [reverse("admin:index"), page(Video), page(Video, video.pk), page(VideoModel)]
    pages += [page(VideoModel, video.model_id), page(type(video.user), video.user_id), page(Channel)]
    for url in pages:
        answer = client.get(url)
        assert answer.status_code == 200, url
        text = answer.content.decode()
        assert not re.search(r"25\.99|24\.00|USD|0\.4000|0\.1000|Money|Paid|Cost\b", text), url
    for model in (Payment, CreditPack, StripeEvent, CodeBatch, AuditEntry):
        assert client.get(page(model)).status_code == 403
    assert client.get(page(Payment, held.pk)).status_code in (302, 403)
    assert client.get(reverse("admin:money")).status_code == 403


def test_finance_sees_money_and_may_decide_about_it(finance, owner, held):
    client = signed_in(finance)
    assert "25.99 USD" in client.get(page(Payment)).content.decode()
    assert "which is not what was ordered" in client.get(reverse("admin:money")).content.decode()
    assert send(client, Payment, held.pk, "accept")["HX-Redirect"] == page(Payment, held.pk)
    owner.refresh_from_db()
    assert owner.balance == 1100
    assert "because of a test" in client.get(page(AuditEntry)).content.decode()
    assert ">Accept" not in client.get(page(Payment, held.pk)).content.decode()


def test_support_refunds_and_finance_does_not(support, finance, owner, video):
    assert send(signed_in(finance), Video, video.pk, "refund").status_code == 403
    assert send(signed_in(support), Video, video.pk, "refund")["HX-Redirect"] == page(Video, video.pk)
    owner.refresh_from_db()
    assert owner.balance == 100


def test_finance_grants_and_support_does_not(support, finance, owner):
    assert send(signed_in(support), type(owner), owner.pk, "grant", amount="50").status_code == 403
    answer = send(signed_in(finance), type(owner), owner.pk, "grant", amount="50")
    assert answer["HX-Redirect"] == page(type(owner), owner.pk)
    owner.refresh_from_db()
    assert owner.balance == 150


@pytest.mark.parametrize(
    ("verb", "has_text"),
    [("grant", True), ("refund", True), ("fail", True), ("hurry", False), ("suspend", False)],
)
def test_only_deeds_that_the_customer_can_see_ask_for_a_text_for_them(as_staff, owner, video, verb, has_text):
    model, pk = (type(owner), owner.pk) if verb in ("grant", "suspend") else (Video, video.pk)
    if verb != "refund":
        Video.objects.filter(pk=video.pk).update(status="in_progress", ended_at=None)
    form = as_staff.get(f"{page(model, pk).removesuffix('change/')}{verb}/").content.decode()
    assert ("Note to the customer (optional)" in form) == has_text
    assert ("Shown in their statement." in form) == has_text


def test_the_text_for_the_customer_is_one_short_line(finance, owner):
    send(signed_in(finance), type(owner), owner.pk, "grant", amount="50", note="x" * 201)
    assert AuditEntry.objects.count() == 0
    send(signed_in(finance), type(owner), owner.pk, "grant", amount="50", note=" Thank you <b>for</b> it. ")
    assert owner.credit_entries.first().note == "Thank you <b>for</b> it."
    assert "Thank you &lt;b&gt;for&lt;/b&gt; it." in signed_in(owner).get("/credits/").text


def test_finance_sees_bookings_and_seals_and_each_change_of_a_pack_is_logged(finance, held):
    client = signed_in(finance)
    BalanceTransaction.objects.create(
        id="txn_1",
        payment=held,
        category="charge",
        amount=2400,
        fee=103,
        net=2297,
        currency="usd",
        created_at=timezone.now(),
    )
    assert "22.97 USD" in client.get(page(Payment, held.pk)).content.decode()
    assert client.get(page(LedgerSeal)).status_code == 200
    pack = CreditPack.objects.get(pk=held.pack_id)
    fields = {"name": pack.name, "credits": 10**9, "price": 50, "currency": "usd", "position": 0}
    assert client.post(page(CreditPack, pack.pk), fields).status_code == 302
    deed = AuditEntry.objects.get(action="pack")
    assert deed.staff == finance
    assert "credits: 1000 → 1000000000" in deed.detail


def test_a_persons_page_explains_their_balance(finance, support, owner, video, held, as_staff):
    batch = CodeBatch.objects.create(name="Spring fair", credits=5, lasts_days=9)
    redeem_codes.redeem(owner, redeem_codes.create(batch, 1)[0])
    send(as_staff, type(owner), owner.pk, "grant", amount="50", note="Thank you", reason="they shouted")
    send(as_staff, Payment, held.pk, "accept")
    text = signed_in(finance).get(page(type(owner), owner.pk)).content.decode()
    for said in (
        "How the balance comes about",
        "Granted <b>+155</b>",
        "Purchased <b>+1000</b>",
        "Charged <b>-10</b>",
        "= <b>1,145</b>",
        "5 of 5 expire on",
        "Thank you",
        "they shouted",
        "Spring fair",
        page(Payment, held.pk),
        page(Video, video.pk),
        page(CodeBatch, batch.pk),
        page(StaffGrant, StaffGrant.objects.get().pk),
    ):
        assert said in text, said
    assert "How the balance" not in signed_in(support).get(page(type(owner), owner.pk)).content.decode()


def test_A70_staff_see_no_button_to_grant_to_themselves(finance, owner):
    assert send(signed_in(finance), type(owner), finance.pk, "grant", amount="50").status_code == 403
    assert StaffGrant.objects.count() == 0


def test_A70_a_large_grant_is_confirmed_in_the_console_by_a_colleague(finance, owner, as_staff):
    client = signed_in(finance)
    send(client, type(owner), owner.pk, "grant", amount="5000")
    assert "need a second member of staff" in client.get(page(type(owner), owner.pk)).content.decode()
    console = client.get(reverse("admin:money")).content.decode()
    grant = StaffGrant.objects.get()
    assert page(StaffGrant, grant.pk) in console
    assert str(grant) in console
    send(client, StaffGrant, grant.pk, "confirm")
    assert (
        "Somebody else has to confirm this grant." in client.get(page(StaffGrant, grant.pk)).content.decode()
    )
    owner.refresh_from_db()
    assert owner.balance == 100
    send(as_staff, StaffGrant, grant.pk, "confirm")
    owner.refresh_from_db()
    assert owner.balance == 5100
    assert page(StaffGrant, grant.pk) not in client.get(reverse("admin:money")).content.decode()


@pytest.mark.parametrize("amount", ["-5", "0", "1.5", "1e9", "9" * 30, "", "NaN", "ten"])
def test_a_grant_of_no_sensible_amount_gets_a_sentence_and_moves_nothing(finance, owner, amount):
    answer = send(signed_in(finance), type(owner), owner.pk, "grant", amount=amount)
    assert answer.status_code == 200
    assert re.search("Ensure this value|whole number|required", answer.content.decode())
    owner.refresh_from_db()
    assert (owner.balance, AuditEntry.objects.count()) == (100, 0)


@pytest.mark.parametrize("reason", ["", "  ", "x"])
def test_no_deed_without_a_reason(support, video, reason):
    answer = send(signed_in(support), Video, video.pk, "refund", reason=reason)
    assert (answer.status_code, AuditEntry.objects.count()) == (200, 0)
    assert "HX-Redirect" not in answer


def test_a_form_sent_twice_is_one_deed(finance, owner):
    form = str(uuid4())
    for _ in range(2):
        send(signed_in(finance), type(owner), owner.pk, "grant", amount="50", form=form)
    owner.refresh_from_db()
    assert (owner.balance, AuditEntry.objects.count()) == (150, 1)


def test_a_deed_that_comes_too_late_says_so(support, owner):
    waiting = order(owner)
    client = signed_in(support)
    for said in ("Stopped and refunded.", "No change: the record has moved on."):
        assert send(client, Video, waiting.pk, "fail")["HX-Redirect"] == page(Video, waiting.pk)
        assert said in client.get(page(Video, waiting.pk)).content.decode()


def test_support_suspends_customers_and_neither_staff_nor_itself(support, finance, owner):
    client, people = signed_in(support), type(owner)
    assert send(client, people, owner.pk, "suspend")["HX-Redirect"]
    for colleague in (finance, support):
        assert send(client, people, colleague.pk, "suspend").status_code == 403
        colleague.refresh_from_db()
        assert colleague.is_active


@pytest.mark.parametrize("group", ["support", "finance"])
def test_A49_nobody_in_a_group_can_give_themselves_rights(group, owner):
    user = member_of(group)
    client = signed_in(user)
    for pk in (user.pk, owner.pk):
        fields = {"username": "x", "is_superuser": "on", "is_staff": "on"}
        assert client.post(page(type(user), pk), fields).status_code == 403
    assert client.get(page(Group)).status_code == 403
    user.refresh_from_db()
    assert not user.is_superuser


def test_who_may_only_look_sees_no_digest_of_a_password(support, owner):
    owner.set_password("correct horse battery staple")
    owner.save()
    assert "pbkdf2" not in signed_in(support).get(page(type(owner), owner.pk)).content.decode()


def test_staff_without_a_group_see_nothing(video):
    client = signed_in(new_user(is_staff=True))
    assert (
        "You do not have access to anything here yet" in client.get(reverse("admin:index")).content.decode()
    )
    assert client.get(page(Video)).status_code == 403


def test_a_paused_model_is_resumed_from_its_page(support):
    model, client = VideoModel.objects.first(), signed_in(support)
    for deed, enabled in (("pause", False), ("resume", True)):
        assert send(client, VideoModel, model.pk, deed)["HX-Redirect"]
        model.refresh_from_db()
        assert model.enabled is enabled


def test_A48_only_the_staffs_pages_may_evaluate(as_staff, as_owner):
    policy = as_staff.get(reverse("admin:index"))["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in f"{policy};"
    assert "unsafe" not in as_owner.get("/")["Content-Security-Policy"]
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


# --- The second factor ----------------------------------------------------------------------------


def code_now(secret, at=None):
    """What an authenticator app shows, https://www.rfc-editor.org/rfc/rfc6238"""
    digest = hmac.digest(b32decode(secret), struct.pack(">Q", int(at or time.time()) // 30), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


@pytest.fixture
def strict(settings):
    settings.STAFF_SECOND_FACTOR = True


@pytest.fixture
def boss(strict):
    return new_user(is_staff=True, is_superuser=True)


def enrol(client):
    """Set up an authenticator app; its secret."""
    form = client.get("/accounts/2fa/totp/activate/")
    secret = form.context["form"].secret
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code_now(secret)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


def test_staff_without_a_second_factor_are_led_to_set_one_up(boss):
    client = signed_in(boss)
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/accounts/2fa/"
    assert "Members of staff need a second factor" in answer.content.decode()
    for url in ("/admin/videos/video/", "/admin/money/", "/admin/jsi18n/"):
        assert client.get(url).status_code == 302


def test_a_second_factor_opens_the_admin_and_a_wrong_code_does_not(boss):
    secret = enrol(signed_in(boss))
    client = signed_in(boss)
    asked = client.get("/admin/videos/video/", follow=True)
    assert asked.redirect_chain[-1][0] == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Fvideos%2Fvideo%2F"
    form = {"code": "000000", "next": "/admin/videos/video/"}
    assert client.post("/accounts/2fa/reauthenticate/", form).status_code == 200
    assert client.get("/admin/").status_code == 302
    form["code"] = code_now(secret)
    answer = client.post("/accounts/2fa/reauthenticate/", form)
    assert (answer.status_code, answer.url) == (302, "/admin/videos/video/")
    assert client.get("/admin/").status_code == 200


def test_a_password_alone_does_not_open_the_admin(boss):
    boss.set_password("correct horse battery staple")
    boss.save()
    enrolled = signed_in(boss)
    confirm = {"password": "correct horse battery staple"}
    assert enrolled.post("/accounts/reauthenticate/", confirm).status_code == 302
    enrol(enrolled)
    for door in ("/admin/login/?next=/admin/", "/accounts/login/?next=/admin/"):
        client = Client()
        client.post(door, {"username": boss.username, "login": boss.username, **confirm})
        assert client.get("/admin/").status_code == 302
        assert client.get("/admin/videos/video/").status_code == 302


def with_password(user):
    user.set_password(PASSWORD)
    user.save()
    return user


def try_password(client, name, password=PASSWORD, target="/admin/"):
    form = {"login": name, "password": password, "next": target}
    return client.post("/accounts/login/", form)


def is_signed_in(client):
    return client.get("/videos/").status_code == 200


@pytest.mark.parametrize("page", ["/admin/", "/admin/login/?next=/admin/", "/admin/videos/video/"])
def test_A66_the_admin_sends_to_the_one_sign_in_of_the_site(page):
    client = Client()
    asked = client.get(page, follow=True)
    assert asked.redirect_chain[-1][0] == f"/accounts/login/?next={page.partition('=')[2] or page}"
    assert 'name="password"' in asked.content.decode()
    assert 'name="password"' not in client.get("/accounts/login/?next=/videos/").content.decode()


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/admin/", "javascript:alert(1)"])
def test_A66_the_way_to_the_sign_in_leads_nowhere_else(boss, settings, target):
    settings.STAFF_SECOND_FACTOR = False
    asked = Client().get("/admin/login/", {"next": target})
    assert asked.url == "/accounts/login/?next=/admin/"
    assert signed_in(boss).get("/admin/login/", {"next": target}).url == "/admin/"
    assert try_password(Client(), with_password(boss).username, target=target).url == "/"


@without(
    "the redirect to the site's own sign-in",
    "aivideo.staff.site.StaffSite.login",
    becomes(
        "redirect_to_login(_target(request), reverse('account_login'))",
        "super().login(request, extra_context)",
    ),
)
def test_A66_a_password_posted_to_the_admin_signs_nobody_in(boss, settings):
    settings.STAFF_SECOND_FACTOR = False
    with_password(boss)
    client = Client()
    form = {"username": boss.username, "login": boss.username, "password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", form).url == "/accounts/login/?next=/admin/"
    assert client.post("/admin/login/?next=/videos/", form).url == "/accounts/login/?next=/videos/"
    assert not client.session.keys()
    assert not is_signed_in(client)


def test_A66_staff_sign_in_by_a_password_where_no_second_factor_is_asked_for(boss, settings):
    settings.STAFF_SECOND_FACTOR = False
    client = Client()
    assert try_password(client, with_password(boss).username).url == "/admin/"
    assert client.get("/admin/").status_code == 200


@without(
    "the limit of wrong passwords",
    "aivideo.settings.ACCOUNT_RATE_LIMITS",
    becomes("{'login_failed': '10/m/ip,5/5m/key'}", "{'login': '', 'login_failed': ''}"),
)
def test_A66_sixty_guesses_of_a_password_are_stopped(boss):
    with_password(boss)
    answers = [try_password(Client(), boss.username, f"guess-{n}") for n in range(60)]
    wrong, too_many = answers[0], answers[-1]
    assert (wrong.status_code, too_many.status_code) == (200, 429)
    assert "password you specified are not correct" in wrong.content.decode()
    assert "tried too often" in too_many.content.decode()
    assert sum(answer.status_code == 200 for answer in answers) <= 5
    # Nor does the right one open, so that nobody learns which it was.
    late = Client()
    assert try_password(late, boss.username).status_code == 429
    assert not is_signed_in(late)


def test_A66_guesses_are_counted_by_name_and_by_address(boss):
    with_password(boss)

    def guess(address, name):
        return try_password(Client(REMOTE_ADDR=address), name, "wrong").status_code

    of_one_name = [guess(f"192.0.2.{n}", boss.username.upper() if n % 2 else boss.username) for n in range(7)]
    assert of_one_name == [200] * 5 + [429] * 2
    of_one_address = [guess("198.51.100.7", f"somebody-{n}") for n in range(12)]
    assert of_one_address == [200] * 10 + [429] * 2


@without(
    "the second factor before a session",
    "accounts.sign_in.AccountAdapter",
    insert_first("def get_login_stages(self): return []"),
)
def test_A66_no_session_exists_before_the_second_factor(boss):
    secret = enrol(signed_in(boss))
    client = Client()
    asked = try_password(client, with_password(boss).username)
    assert (asked.status_code, asked.url) == (302, "/accounts/2fa/authenticate/")
    assert "_auth_user_id" not in client.session
    for page in ("/videos/", "/credits/", "/account/", "/admin/", "/accounts/2fa/"):
        assert client.get(page).status_code == 302, page
    assert client.get("/accounts/2fa/authenticate/").status_code == 200
    assert client.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert not is_signed_in(client)
    answer = client.post("/accounts/2fa/authenticate/", {"code": code_now(secret)})
    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_A66_who_gives_up_before_the_second_factor_can_begin_again(boss):
    enrol(signed_in(boss))
    client = Client()
    try_password(client, with_password(boss).username)
    assert client.post("/accounts/logout/", {"next": "/accounts/login/"}).url == "/accounts/login/"
    assert client.get("/accounts/login/").status_code == 200


def test_A66_staff_without_a_second_factor_still_come_to_set_one_up(boss):
    client = Client()
    asked = try_password(client, with_password(boss).username)
    assert asked.url == "/admin/"
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/accounts/2fa/"


def test_A66_a_customer_before_the_admin_gets_a_sentence_and_no_circle(as_owner, owner):
    asked = as_owner.get("/admin/", follow=True)
    assert [url for url, _status in asked.redirect_chain] == ["/admin/login/?next=/admin/"]
    assert asked.status_code == 403
    assert f"signed in as {owner}" in asked.content.decode()
    assert as_owner.post("/admin/login/").status_code == 403
    assert is_signed_in(as_owner)


def test_A66_a_suspended_member_of_staff_does_not_sign_in(boss):
    boss.is_active = False
    client = Client()
    assert try_password(client, with_password(boss).username).status_code in (200, 302)
    assert not is_signed_in(client)


def test_a_password_alone_can_neither_take_a_second_factor_away_nor_add_another(boss):
    boss.set_password("correct horse battery staple")
    boss.save()
    client = signed_in(boss)
    confirm = {"password": "correct horse battery staple"}
    client.post("/accounts/reauthenticate/", confirm)
    enrol(client)
    thief = signed_in(boss)
    assert thief.post("/accounts/reauthenticate/", confirm).url.startswith("/accounts/2fa/reauthenticate/")
    for way in ("totp/deactivate/", "webauthn/add/", "recovery-codes/", "recovery-codes/generate/"):
        for ask in (thief.get, thief.post):
            answer = ask(f"/accounts/2fa/{way}")
            assert answer.status_code == 405 or answer.url.startswith("/accounts/2fa/reauthenticate/"), way
    assert thief.get("/accounts/2fa/recovery-codes/download/").status_code == 302
    assert Authenticator.objects.filter(user=boss, type="totp").exists()
    assert thief.get("/admin/").status_code == 302


def test_codes_cannot_be_guessed(boss):
    enrol(signed_in(boss))
    client = signed_in(boss)
    answers = [client.post("/accounts/2fa/reauthenticate/", {"code": f"{n:06}"}) for n in range(30)]
    assert answers[-1].status_code == 429
    assert "tried too often" in answers[-1].content.decode()


def test_every_page_about_second_factors_opens(boss):
    client = signed_in(boss)
    secret = enrol(client)
    client.post("/accounts/2fa/reauthenticate/", {"code": code_now(secret)})
    for page in ("", "totp/deactivate/", "webauthn/", "webauthn/add/", "recovery-codes/", "reauthenticate/"):
        assert client.get(f"/accounts/2fa/{page}").status_code == 200, page


def test_a_superuser_lets_somebody_who_lost_the_device_start_anew(boss):
    client, colleague = signed_in(boss), member_of("support")
    enrol(signed_in(colleague))
    secret = enrol(client)
    client.post("/accounts/2fa/reauthenticate/", {"code": code_now(secret)})
    factor = Authenticator.objects.get(user=colleague, type="totp")
    shown = client.get(f"/admin/mfa/authenticator/{factor.pk}/change/").content.decode()
    assert factor.data["secret"] not in shown
    assert client.post(f"/admin/mfa/authenticator/{factor.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Authenticator.objects.filter(pk=factor.pk).exists()


def test_a_session_does_not_outlive_the_second_factor_that_opened_it(boss):
    client = signed_in(boss)
    secret = enrol(client)
    client.post("/accounts/2fa/reauthenticate/", {"code": code_now(secret)})
    assert client.get("/admin/").status_code == 200
    Authenticator.objects.filter(user=boss).delete()
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("pk", ["nothing", "0", "9" * 40, "11111111-2222-4333-8444-555555555555"])
def test_a_deed_to_what_is_not_there_is_a_4xx(as_staff, pk):
    for url in (
        f"videos/video/{pk}/refund/",
        f"accounts/user/{pk}/suspend/",
        f"accounts/payment/{pk}/accept/",
        f"videos/channel/{pk}/compare/",
    ):
        assert as_staff.get(f"/admin/{url}").status_code in (403, 404)
        form = {"reason": "because of a test", "form": str(uuid4()), "_form_submitted": "True"}
        assert as_staff.post(f"/admin/{url}", form).status_code in (403, 404)


@pytest.mark.parametrize("number", ["x", "0", "-1", "999", "9" * 40, ""])
def test_a_page_of_the_search_that_is_not_there_is_a_404(as_staff, owner, number):
    address = f"/admin/search/?s={owner.username}&page="
    assert as_staff.get(address + "1").status_code == 200
    assert as_staff.get(address + number).status_code == 404


def test_staff_see_of_a_key_how_it_begins_and_may_revoke_it(as_staff, owner):
    key, text = api_keys.create(owner, "tests")
    shown = as_staff.get(page(type(key), key.pk)).content.decode()
    assert key.prefix in shown
    for secret in (text, key.digest, key.webhook_secret):
        assert secret not in shown
    assert send(as_staff, type(key), key.pk, "revoke")["HX-Redirect"]
    key.refresh_from_db()
    assert key.revoked_at
    assert AuditEntry.objects.get().target == f"key:{key.pk}"


@pytest.mark.parametrize(
    ("price", "currency", "sentence"),
    [
        (49, "usd", "Stripe takes at least 0.50 USD."),
        (49, "jpy", "Stripe takes at least 50 JPY."),
        (1234, "kwd", "the last digit of the smallest unit has to be 0"),
        (380050, "ugx", "the last two digits of the smallest unit have to be 00"),
        (380000, "ugx", ""),
        (50, "usd", ""),
        (1230, "kwd", ""),
        (50, "jpy", ""),
    ],
)
def test_a_pack_is_saved_at_a_price_that_stripe_takes(as_staff, price, currency, sentence):
    form = {"name": "Some", "credits": 10, "price": price, "currency": currency, "position": 0}
    answer = as_staff.post("/admin/accounts/creditpack/add/", form)
    is_saved = CreditPack.objects.filter(name="Some").exists()
    assert (answer.status_code, is_saved) == ((200, False) if sentence else (302, True))
    assert sentence in answer.content.decode()
