"""`make sabotage`: are the defences tested at all? Each is taken away in turn, and its test has to go red.

A sabotage is a change of the source, made in a copy of it. One whose old text is not there exactly
once, and a test that breaks instead of failing, are mistakes in this file and end the run.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]
FAILED = 1  # pytest's exit code; a test that is not there, or breaks before it runs, has another one
PATIENCE = 300  # seconds


@dataclass(frozen=True)
class Sabotage:
    """The attack, what no longer protects against it, and each change as (file, old text, new text)."""

    case: str
    without: str
    test: str
    changes: tuple[tuple[str, str, str], ...]


def one(case: str, without: str, test: str, file: str, old: str, new: str) -> Sabotage:
    return Sabotage(case, without, test, ((file, old, new),))


VIEWS = "videos/pages/video.py"
ANYBODYS = (
    VIEWS,
    'get_object_or_404(user.videos.kept().select_related("model"), pk=pk)',
    'get_object_or_404(user.videos.model.objects.kept().select_related("model"), pk=pk)',
)
PAYMENTS = "accounts/payments.py"
CHECKOUT = "accounts/stripe_gateway.py"

SABOTAGES = [
    one("A01", "the owner in the way to a video", "videos/tests/pages/test_library.py::test_A01_a_strangers_video_is_not_found", *ANYBODYS),
    one("A02", "the owner in the way to a video", "videos/tests/pages/test_library.py::test_A02_a_strangers_video_cannot_be_deleted", *ANYBODYS),
    one("A02", "the owner in the way to a job", "videos/tests/pages/test_polling.py::test_A02_a_strangers_video_cannot_be_canceled", *ANYBODYS),
    one("A03", "the owner in the way to a file", "videos/tests/media/test_object_store.py::test_A03_only_the_owner_gets_a_link", *ANYBODYS),
    one("A04", "the end of a signed link", "videos/tests/media/test_object_store.py::test_A04_a_link_is_signed_for_one_object_one_method_and_a_few_minutes",
        "videos/media/object_store.py", '"querystring_expire": LINK_SECONDS,', '"querystring_expire": 7 * 24 * 3600,'),
    one("A05", "the word to caches", "videos/tests/media/test_playback.py::test_A05_every_answer_is_private_and_never_a_page_of_ours",
        "videos/media/playback.py", '"private, no-store"', '"public, max-age=86400"'),
    one("A06", "the owner of an uploaded picture", "videos/tests/pages/test_studio.py::test_A06_somebody_elses_upload_is_not_there",
        "videos/pages/studio_form.py", "self.user.uploads.get(pk=", "self.user.uploads.model.objects.get(pk="),
    one("A07", "the owner of a library", "videos/tests/pages/test_library.py::test_A07_no_parameter_shows_a_strangers_video",
        VIEWS, 'return user.videos.kept().select_related("model").order_by', 'return user.videos.model.objects.kept().select_related("model").order_by'),
    one("A01", "the owner in the way to a program's video", "videos/tests/api/test_retrieve.py::test_A01_A02_A07_a_stranger_finds_nothing",
        "videos/serializers.py", "WHERE v.id = %s AND v.user_id = %s AND", "WHERE v.id = %s AND %s > 0 AND"),
    one("A01", "the owner of a key", "videos/tests/pages/test_developer.py::test_A01_A02_a_strangers_key_and_deliveries_are_404",
        "videos/pages/developer.py", "mine = ApiKey.objects.filter(user=request.user)", "mine = ApiKey.objects.all()"),
    one("A02", "the owner of a batch", "videos/tests/pages/test_batches.py::test_A01_A02_a_strangers_batch_is_404",
        "videos/pages/batches.py", "    found = get_object_or_404(request.user.batches, pk=pk)\n    batches.cancel(found)", "    found = get_object_or_404(Batch, pk=pk)\n    batches.cancel(found)"),
    one("A04", "the end of a program's link", "videos/tests/api/test_retrieve.py::test_A04_a_link_ends_after_five_minutes_and_with_its_video",
        "videos/serializers.py", "if time.time() >= int(until):", "if time.time() >= 2 * int(until):"),
    one("A07", "the owner of a program's list", "videos/tests/api/test_retrieve.py::test_A01_A02_A07_a_stranger_finds_nothing",
        "videos/api/videos.py", 'videos = request.user.videos.kept().select_related("model")\n', 'videos = Video.objects.kept().select_related("model")\n'),
    one("A08", "the digest of a key", "videos/tests/api/test_keys.py::test_A08_of_a_key_only_its_digest_is_kept",
        "accounts/api_keys.py", "        digest=_digest(text),\n", "        digest=text,\n"),
    one("A09", "silence about a key", "videos/tests/api/test_keys.py::test_A09_a_key_stands_in_no_log_no_answer_and_no_row",
        "accounts/api_keys.py", "    _note_use(key)\n    return key", '    __import__("logging").getLogger(__name__).warning("%s", text)\n    return key'),
    one("A10", "the look whether a key was revoked", "videos/tests/api/test_keys.py::test_A10_a_key_ends_when_it_is_revoked_or_expires_or_its_user_is_suspended",
        "accounts/api_keys.py", "    if key.revoked_at:", "    if False:"),
    one("A10", "the look whether its owner is suspended", "videos/tests/api/test_keys.py::test_A10_a_key_ends_when_it_is_revoked_or_expires_or_its_user_is_suspended",
        "accounts/api_keys.py", "    if not key.user.is_active:", "    if False:"),
    one("A11", "that only a key opens the API", "videos/tests/api/test_keys.py::test_A11_a_session_opens_nothing_here_and_a_key_nothing_there",
        "videos/api/auth.py", '        if kind.lower() != "bearer" or not text.strip():\n', '        if request.user.is_authenticated:\n            return ApiKey(user=request.user)\n        if kind.lower() != "bearer" or not text.strip():\n'),
    one("A12", "the strictness of an order", "videos/tests/api/test_create.py::test_A12_no_field_of_the_row_can_be_set",
        "videos/api/requests.py", 'ConfigDict(extra="forbid", arbitrary_types_allowed=True)', 'ConfigDict(extra="ignore", arbitrary_types_allowed=True)'),
    one("A26", "the memory of an Idempotency-Key", "videos/tests/api/test_idempotency.py::test_A26_fifty_at_once_with_one_key_are_one_video_and_fifty_equal_answers",
        "videos/api/idempotency.py", "    if key:\n        return _once_by_key(", "    if False:\n        return _once_by_key("),
    one("A26", "the memory of what an SDK sends again", "videos/tests/api/test_idempotency.py::test_fourteen_orders_through_a_proxy_that_drops_every_third_reply_are_fourteen_videos",
        "videos/api/idempotency.py", 'if request.headers[RETRY_COUNT] != "0" and (before := _before(request, digest)):', "if before := None:"),
    one("A25", "the condition of a spend", "tests/installation/test_money.py::test_A25_fifty_processes_that_spend_a_hundred_times_each_spend_what_there_is",
        "accounts/credits.py", "WHERE id = %s AND balance >= %s AND lapsing = 0", "WHERE id = %s AND %s > 0 AND lapsing = 0"),
    one("A26", "the name of an order", "tests/installation/test_parallel.py::test_A26_a_double_click_makes_one_video",
        "videos/generation/lifecycle.py", "        client_key=client_key,\n        credits=model.price_of(size, seconds, extras),", "        credits=model.price_of(size, seconds, extras),"),
    one("A27", "the table of what may be ordered", "videos/tests/pages/test_studio.py::test_A27_whatever_is_asked_for_the_price_is_the_tables",
        "videos/generation/lifecycle.py", "    catalogue.check_order(**order)\n", ""),
    one("A27", "the table of prices", "videos/tests/pages/test_studio.py::test_A27_whatever_is_asked_for_the_price_is_the_tables",
        "videos/generation/lifecycle.py", "credits=model.price_of(size, seconds, extras),", "credits=model.price_of(size, seconds, extras) * int(seconds) // 8,"),
    one("A28", "the check of Stripe's signature", "accounts/tests/test_payments.py::test_A28_only_what_stripe_signed_is_believed",
        CHECKOUT, "_client().construct_event(body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE)",
        'stripe.Event.construct_from(__import__("json").loads(body), "")'),
    Sabotage("A29", "the memory of what was given", "accounts/tests/test_payments.py::test_A29_an_event_that_comes_again_gives_nothing_more", (
        (PAYMENTS, "becomes_paid = payment.paid_at is None and truth.is_paid", "becomes_paid = truth.is_paid"),
        (PAYMENTS, "payment.user, payment.credits, reference=payment.reference", 'payment.user, payment.credits, reference=f"{payment.reference}:{__import__(\'uuid\').uuid4()}"'),
        (PAYMENTS, '"paid_at": timezone.now() if becomes_paid else payment.paid_at', '"paid_at": timezone.now()'),
    )),
    one("A30", "the age of a webhook", "accounts/tests/test_payments.py::test_A30_what_was_signed_too_long_ago_is_refused",
        CHECKOUT, "TOLERANCE = 300", "TOLERANCE = 10**9"),
    one("A30", "the mode of a webhook", "accounts/tests/test_payments.py::test_A30_events_of_another_mode_or_account_are_refused",
        CHECKOUT, "if event.livemode is not is_live():", "if False:"),
    one("A31", "the owner of a payment", "accounts/tests/test_payments.py::test_A31_somebody_elses_return_page_is_not_found_and_gives_nothing",
        "accounts/views.py", "get_object_or_404(request.user.payments, pk=pk, processor=Payment.Processor.STRIPE)", "get_object_or_404(Payment, pk=pk)"),
    one("A31", "the question whether it was paid", "accounts/tests/test_payments.py::test_A31_coming_back_without_paying_gives_nothing_and_says_so",
        PAYMENTS, "becomes_paid = payment.paid_at is None and truth.is_paid and is_right", "becomes_paid = payment.paid_at is None"),
    one("A32", "the state of a payment that takes days", "accounts/tests/test_payments.py::test_A32_money_that_takes_days_gives_credits_when_it_is_there",
        CHECKOUT, "is_paid=session.payment_status in PAID,", 'is_paid=session.status == "complete",'),
    one("A33", "the comparison with what was ordered", "accounts/tests/test_payments.py::test_A33_another_amount_or_currency_is_held_for_staff",
        PAYMENTS, "return (truth.amount, truth.currency) == (payment.price, payment.currency)", "return truth.amount > 0"),
    one("A34", "the way back of a refund", "accounts/tests/test_payments.py::test_A34_a_refund_takes_back_its_share_and_rounds_for_the_customer",
        PAYMENTS, "if went_back else 0", "if truth.disputed else 0"),
    one("A34", "the debt", "accounts/tests/test_payments.py::test_A34_a_refund_of_spent_credits_becomes_a_debt",
        "accounts/credits.py", "account.debt += amount - taken", "account.debt += 0"),
    one("A34", "the way back of a dispute", "accounts/tests/test_payments.py::test_A34_a_dispute_takes_the_credits_and_a_won_one_brings_them_back",
        PAYMENTS, "went_back = min(truth.refunded + truth.disputed, truth.amount)", "went_back = min(truth.refunded, truth.amount)"),
    one("A35", "the compare-and-set of a move", "videos/tests/generation/test_interleavings.py::test_A35_a_thousand_interleavings_end_with_a_video_or_with_the_credits",
        "videos/models/video.py", 'sql.update(Video, changes, {"id": self.pk, "moves": self.moves})', 'sql.update(Video, changes, {"id": self.pk})'),
    one("A36", "that deleting returns nothing", "videos/tests/generation/test_lifecycle.py::test_A36_a_deleted_video_loses_its_words_and_files_and_returns_no_credits",
        "videos/generation/lifecycle.py", "        transaction.on_commit(lambda: results.discard(*files))\n",
        "        transaction.on_commit(lambda: results.discard(*files))\n        credits.refund(video.user, video.credits, reference=video.reference)\n"),
    one("A37", "the mark of what was delivered free", "videos/tests/worker/test_endings.py::test_A37_a_success_after_the_deadlines_refund_is_delivered_free_and_once",
        "videos/generation/lifecycle.py", "is_free = video.status == Status.FAILED", "is_free = False"),
    one("A38", "the check of a provider's signature", "videos/tests/worker/test_provider_webhooks.py::test_A38_what_our_provider_did_not_sign_just_now_changes_not_one_row",
        "videos/worker/provider_webhooks.py", "if not any(hmac.compare_digest(expected, signature) for signature in signatures):", "if not signatures:"),
    one("A38", "the question to the provider after a webhook", "videos/tests/worker/test_provider_webhooks.py::test_A38_webhooks_that_are_early_late_or_lost_change_no_outcome",
        "videos/worker/provider_webhooks.py", "running.update(next_at=Now())", 'running.update(next_at=None, status="completed")'),
    one("A39", "the memory of who had them", "accounts/tests/test_signup_credits.py::test_A39_who_deletes_the_account_and_comes_back_ten_times_had_them",
        "accounts/signup_credits.py", "            Welcome.objects.bulk_create([Welcome(identity=identity) for identity in sorted(identities)])\n", ""),
    one("A39", "that aliases are one mailbox", "accounts/tests/test_signup_credits.py::test_A39_an_alias_of_a_mailbox_is_the_same_person",
        "accounts/signup_credits.py", "f\"mail:{_mailbox(user.email)}\"", "f\"mail:{user.email}\""),
    one("A39", "the budget of the day", "accounts/tests/test_signup_credits.py::test_A39_a_day_costs_no_more_than_its_budget_and_the_next_day_begins_anew",
        "accounts/signup_credits.py", "room = FreeCreditTally.objects.filter(**today, given__lte=most - amount)", "room = FreeCreditTally.objects.filter(**today)"),
    one("A39", "the limit of a network", "accounts/tests/test_signup_credits.py::test_A39_a_network_gets_only_some_a_day",
        "accounts/signup_credits.py", "if block and not _count(", "if False and not _count("),
    Sabotage("A40", "that a code is used once", "accounts/tests/test_redeem_codes.py::test_A40_somebody_who_redeems_between_look_and_update_wins", (
        ("accounts/redeem_codes.py", "RedeemCode.objects.filter(pk=code.pk, redeemed_at=None)", "RedeemCode.objects.filter(pk=code.pk)"),
        ("accounts/redeem_codes.py", 'reference=f"code:{code.pk}"', 'reference=f"code:{code.pk}:{user.pk}"'),
    )),
    one("A65", "the look at the credits before a picture is fetched", "videos/tests/api/test_pictures.py::test_A65_without_credits_nothing_is_fetched",
        "videos/api/spending.py", "    if price > key.user.balance:\n", "    if False:\n"),
    one("A65", "the few fetches at a time", "videos/tests/api/test_pictures.py::test_A65_one_person_fetches_one_picture_at_a_time_and_all_people_two",
        "videos/api/pictures.py", "        if user.pk in _fetching or len(_fetching) >= MAX_FETCHES:\n", "        if False:\n"),
    one("A79", "the look at the lease before a purchase", "videos/tests/worker/test_purchases.py::test_A79_a_stopped_pump_that_goes_on_buys_nothing_again",
        "videos/worker/steps.py", "            await _make_sure_of(video, db)\n", ""),
    one("A79", "the ear for a late answer", "videos/tests/worker/test_purchases.py::test_a_late_answer_is_written_down_although_the_request_was_taken_for_lost",
        "videos/generation/lifecycle.py", "    if now.ref is None and now.channel_id == video.channel_id and _own(now, job):\n", "    if False:\n"),
    one("A80", "the doubt about a list that was not read to its end", "videos/tests/worker/test_outages.py::test_A80_a_lost_job_below_many_newer_ones_is_found_or_nobody_can_tell",
        "videos/providers/openai.py", 'doubt = "the list goes further back than it can be read"', 'doubt = ""'),
    one("A80", "the doubt about times that cannot be", "videos/tests/worker/test_outages.py::test_the_list_is_believed_only_where_it_is_sure",
        "videos/providers/openai.py", '        return "unknown"\n', '        return "long ago"\n'),
    one("A23", "that a dead decoder blames no file", "videos/tests/worker/test_endings.py::test_a_decoder_that_stands_still_says_nothing_about_its_file",
        "videos/media/decoder.py", 'raise Died(f"the decoder died: {error!r}") from error', 'raise NotAVideo("it takes too long") from error'),
    one("A76", "that an appeal is one of a lost dispute", "accounts/tests/test_payments.py::test_A76_a_lost_dispute_that_is_appealed_gives_nothing_back_until_it_is_won",
        CHECKOUT, '    "lost",\n    "appeal_needs_response",\n    "appeal_under_review",\n', '    "lost",\n'),
    one("A76", "the wait of what nobody understands", "accounts/tests/test_payments.py::test_A76_an_unknown_word_about_a_dispute_moves_nothing_and_waits_for_staff",
        PAYMENTS, "        clawed_back = payment.clawed_back\n", "        pass\n"),
    one("REASON", "the text for the customer beside the reason for the log", "aivideo/staff/tests/test_actions.py::test_REASON_only_the_text_for_the_customer_stands_in_their_statement",
        "aivideo/staff/actions.py", "note=order.note)", "note=order.reason[:200])"),
    one("REASON", "the text for the customer beside the reason of a stop", "aivideo/staff/tests/test_actions.py::test_REASON_only_the_text_for_the_customer_stands_beside_a_stop",
        "aivideo/staff/actions.py", 'generation.fail(video, "stopped", order.reason, order.note)', 'generation.fail(video, "stopped", order.reason, order.reason)'),
    one("A59", "that an order has to be cleared", "videos/tests/moderation/test_gate.py::test_A59_nothing_starts_that_did_not_come_through_the_gate",
        "videos/moderation/gate.py", "    if not is_clear:\n", "    if False:\n"),
    one("A59", "the refusal while nobody can tell", "videos/tests/moderation/test_gate.py::test_A59_without_a_verdict_nothing_is_made_and_nothing_charged",
        "videos/moderation/gate.py", "        if settings.MODERATION_FAIL_CLOSED:\n", "        if False:\n"),
    one("A59", "the look at the negative prompt", "videos/tests/moderation/test_gate.py::test_A59_the_negative_prompt_is_not_exempt",
        "videos/moderation/gate.py", "texts = {PROMPT: self.prompt, NEGATIVE_PROMPT: self.negative_prompt}", "texts = {PROMPT: self.prompt}"),
    one("A66", "the limit of wrong passwords", "aivideo/staff/tests/test_admin.py::test_A66_sixty_guesses_of_a_password_are_stopped",
        "aivideo/settings.py", 'ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}', 'ACCOUNT_RATE_LIMITS = {"login": "", "login_failed": ""}'),
    one("A66", "the way from the admin to the site's sign-in", "aivideo/staff/tests/test_admin.py::test_A66_a_password_posted_to_the_admin_signs_nobody_in",
        "aivideo/staff/site.py", '        return redirect_to_login(_target(request), reverse("account_login"))\n', "        return super().login(request, extra_context)\n"),
    one("A66", "the second factor before a session", "aivideo/staff/tests/test_admin.py::test_A66_no_session_exists_before_the_second_factor",
        "accounts/sign_in.py", "    def is_open_for_signup(self, request: HttpRequest) -> bool:\n        \"\"\"Nobody",
        "    def get_login_stages(self):\n        return []\n\n    def is_open_for_signup(self, request: HttpRequest) -> bool:\n        \"\"\"Nobody"),
    one("A67", "that other packages' models are only read", "aivideo/staff/tests/test_rights.py::test_A67_no_schedule_of_anybodys_function_can_be_made",
        "aivideo/staff/site.py", "(NobodyChanges, admin_class, UnfoldModelAdmin)", "(admin_class, UnfoldModelAdmin)"),
    one("A67", "that other packages' actions are not run", "aivideo/staff/tests/test_rights.py::test_A67_of_other_packages_nothing_is_added_changed_deleted_or_run",
        "aivideo/staff/admin/base.py", "    actions = None\n    list_editable", "    list_editable"),
    one("A68", "the names that a channel may read at all", "videos/tests/catalogue/test_channels.py::test_A68_nothing_else_is_read_for_a_channel_that_is_there_already",
        "videos/providers/keys.py", 'return "" if refusal(name) else os.environ.get(name, "")', 'return os.environ.get(name, "")'),
    one("A68", "the look at a channel's address", "videos/tests/catalogue/test_channels.py::test_A68_only_public_https_and_opened_networks_are_saved",
        "videos/safe_http.py", "    if not all(map(is_allowed, addresses)):\n", "    if False:\n"),
    one("A68", "the line about a channel", "videos/tests/catalogue/test_channels.py::test_A68_each_change_of_a_channel_is_in_the_audit_log",
        "aivideo/staff/admin/base.py", "        self._note(request, form.instance, form.facts_before, self.facts_of(form.instance))\n", ""),
    Sabotage("A69", "that rights are superusers' to give", "aivideo/staff/tests/test_rights.py::test_A69_only_superusers_change_rights", (
        ("aivideo/staff/admin/people.py", "        if _is_superuser(request):\n            return super().get_fieldsets", "        if self.has_change_permission(request, obj):\n            return super().get_fieldsets"),
        ("aivideo/staff/admin/people.py", "        return fields if _is_superuser(request) else [", "        return fields if True else ["),
        ("aivideo/staff/admin/people.py", '            options["form"] = ModelForm', "            pass"),
    )),
    one("A69", "that a superuser's row is out of others' reach", "aivideo/staff/tests/test_rights.py::test_A69_only_superusers_change_rights",
        "aivideo/staff/admin/people.py", "        return is_in_reach and super()", "        return super()"),
    one("A69", "that passwords are superusers' to set", "aivideo/staff/tests/test_rights.py::test_A69_only_superusers_set_passwords_and_each_time_is_in_the_audit_log",
        "aivideo/staff/admin/people.py", "        if not _is_superuser(request):\n            raise PermissionDenied\n", ""),
    one("A69", "the line about rights", "aivideo/staff/tests/test_rights.py::test_A69_what_superusers_change_of_rights_is_in_the_audit_log",
        "aivideo/staff/admin/base.py", "        self._note(request, form.instance, form.facts_before, self.facts_of(form.instance))\n", ""),
]  # fmt: skip


def main() -> int:
    chosen = [s for s in SABOTAGES if not sys.argv[1:] or s.case in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="aivideo-sabotage-") as folder:
        sound = _copy(Path(folder) / "sound")
        tests = sorted({sabotage.test for sabotage in chosen})
        done = _run(sound, *tests)
        if done.returncode:
            print(f"The tests are not green as it is:\n{done.stdout[-4000:]}", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            jobs = [pool.submit(_is_noticed, s, Path(folder) / str(n)) for n, s in enumerate(chosen)]
            noticed = [job.result() for job in jobs]
    for sabotage, is_red in zip(chosen, noticed, strict=True):
        print(
            json.dumps(
                {"case": sabotage.case, "without": sabotage.without, "test": sabotage.test, "red": is_red}
            )
        )
    print(f"{sum(noticed)}-of-{len(chosen)}")
    return 0 if all(noticed) else 1


def _is_noticed(sabotage: Sabotage, folder: Path) -> bool:
    """Whether the test fails in a copy without the defence."""
    copy = _copy(folder)
    for name, old, new in sabotage.changes:
        text = (copy / name).read_text()
        if text.count(old) != 1:
            raise LookupError(f"{sabotage.case}: {name} has this {text.count(old)} times: {old}")
        (copy / name).write_text(text.replace(old, new))
    done = _run(copy, sabotage.test)
    if done.returncode not in (0, FAILED):
        raise RuntimeError(
            f"{sabotage.case}: {sabotage.test} broke instead of failing:\n{done.stdout[-4000:]}"
        )
    shutil.rmtree(copy)
    return done.returncode == FAILED


def _copy(folder: Path) -> Path:
    """The files of this project as they are now, without what git does not know."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=BASE_DIR, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (BASE_DIR / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BASE_DIR / name, folder / name)
    return folder


def _run(folder: Path, *tests: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=folder, timeout=PATIENCE * (1 + len(tests) // 10), capture_output=True, text=True
    )


if __name__ == "__main__":
    sys.exit(main())
