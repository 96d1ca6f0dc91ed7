"""Where a channel's key and requests may go, whoever saves it, and that each change of one is written down."""

import socket
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.urls import reverse

from aivideo.models import AuditEntry
from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import drop, never, without
from videos.catalogue import connections
from videos.models import Channel

pytestmark = pytest.mark.django_db

ENDS = "has to end in _KEY"
OURS = "is a setting of this site"
NAMES = {
    "": "",
    "OPENAI_API_KEY": "",
    "OPENROUTER_API_KEY": "",
    "XAI_API_KEY": "",
    "FAL_KEY": "",
    "SIMULATOR_KEY": "",
    "ANOTHER_SERVER_KEY": "",
    "Mixed_Case_KEY": "",
    "vllm_key": ENDS,
    "SECRET_KEY": OURS,
    "STRIPE_SECRET_KEY": OURS,
    "AWS_SECRET_ACCESS_KEY": OURS,
    "MODERATION_API_KEY": OURS,
    "PROMPT_HELP_API_KEY": OURS,
    "DATABASE_URL": OURS,
    "EMAIL_HOST_PASSWORD": OURS,
    "secret_key": OURS,
    "PATH": ENDS,
    "HOME": ENDS,
    "AWS_SESSION_TOKEN": ENDS,
    "A_KEY_OF_MINE": ENDS,
    "SECRET_KEY\n": ENDS,
    " X_KEY": ENDS,
    "X=Y_KEY": ENDS,
}
REFUSED = "is in a private network"
UNFOUND = "cannot be found"
HTTPS = "Only https"
NO_ADDRESS = "not a valid URL"
ADDRESSES = {
    "": "",
    "https://public.example/v1": "",
    "https://public.example:8443/v1": "",
    "https://93.184.215.14/v1": "",
    "http://public.example/v1": HTTPS,
    "http://93.184.215.14:8000/v1": HTTPS,
    "https://inside.example/v1": REFUSED,
    "https://both.example/v1": REFUSED,
    "https://localhost/v1": REFUSED,
    "http://127.0.0.1:8000/v1": REFUSED,
    "https://0x7f.1/v1": "valid URL",
    "https://2130706433/v1": "valid URL",
    "https://[::1]/v1": REFUSED,
    "https://[::ffff:10.0.0.1]/v1": REFUSED,
    "https://169.254.169.254/latest": REFUSED,
    "https://unknown.example/v1": UNFOUND,
    "https://user:secret@public.example/v1": "user name",
    "http://10.20.0.7:8000/v1": "",
    "http://opened.example:8000/v1": "",
    "https://opened.example/v1": "",
    "http://half.example:8000/v1": HTTPS,
}
WHERE = {
    "public.example": ["93.184.215.14"],
    "inside.example": ["10.0.0.5"],
    "both.example": ["93.184.215.14", "10.0.0.5"],
    "opened.example": ["10.20.0.7"],
    "half.example": ["93.184.215.14", "10.20.0.7"],
    "unknown.example": [],
}


@pytest.fixture(autouse=True)
def _resolver(monkeypatch, settings):
    """One that knows the names above, and leaves the ways to write an address to the real one."""
    real = socket.getaddrinfo

    def resolve(host, *arguments, **options):
        if host not in WHERE:
            return real(host, *arguments, **options)
        if not WHERE[host]:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in WHERE[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("10.20.0.0/16")]


def problem_of(field, **fields):
    try:
        Channel(slug="another", **fields).full_clean()
    except ValidationError as error:
        return error.message_dict.pop(field)[0]
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_A68_only_names_of_providers_keys_are_saved(name):
    assert (NAMES[name] or "") in (problem := problem_of("key_variable", key_variable=name))
    assert bool(problem) == bool(NAMES[name])


@without(
    "the list of variables that a channel may read", "videos.providers.keys.read", never("refusal(name)")
)
@pytest.mark.parametrize("name", [name for name in NAMES if name and "=" not in name])
def test_A68_nothing_else_is_read_for_a_channel_that_is_there_already(name, settings, monkeypatch):
    settings.USE_MOCK_SORA = False
    monkeypatch.setenv(name, "what is in it")
    channel = Channel.objects.create(slug="x", key_variable=name, base_url="https://public.example/v1")
    is_good = not NAMES[name]
    assert (connections.unavailable_reason(channel) == "") is is_good
    assert NAMES[name] in connections.unavailable_reason(channel)
    assert (connections.provider_for(channel).client.api_key == "what is in it") is is_good


@without("the check of a channel's address", "videos.safe_http.check_server", never("is_allowed"))
@pytest.mark.parametrize("address", ADDRESSES)
def test_A68_only_public_https_and_opened_networks_are_saved(address):
    assert (ADDRESSES[address] or "") in (problem := problem_of("base_url", base_url=address))
    assert bool(problem) == bool(ADDRESSES[address])


@pytest.fixture
def keeper():
    user = new_user(is_staff=True)
    names = [f"{deed}_channel" for deed in ("add", "change", "delete", "view")]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def save(client, channel=None, **fields):
    """Send the form of a channel as a browser does."""
    page = f"admin:videos_channel_{'change' if channel else 'add'}"
    values = {"slug": "mine", "kind": "openai", "enabled": "on", **fields}
    return client.post(reverse(page, args=[channel.pk] if channel else []), values)


def test_A68_the_form_says_what_is_wrong_and_saves_nothing(keeper):
    answer = save(signed_in(keeper), key_variable="SECRET_KEY", base_url="http://public.example/v1")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert OURS in text
    assert HTTPS in text
    assert not Channel.objects.filter(slug="mine").exists()
    assert not AuditEntry.objects.exists()


@without("the audit line about a channel", "aivideo.staff.admin.base.Audited.save_related", drop("_note"))
def test_A68_each_change_of_a_channel_is_in_the_audit_log(keeper):
    client = signed_in(keeper)
    assert save(client, base_url="https://public.example/v1", key_variable="MINE_KEY").status_code == 302
    channel = Channel.objects.get(slug="mine")
    after = {"base_url": "http://10.20.0.7:8000/v1", "key_variable": "FAL_KEY"}
    assert save(client, channel, **after).status_code == 302
    assert save(client, channel, **after).status_code == 302  # nothing changed
    delete = reverse("admin:videos_channel_delete", args=[channel.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    added, changed, deleted = AuditEntry.objects.order_by("pk")
    for entry in (added, changed, deleted):
        assert (entry.staff, entry.action, entry.target) == (keeper, "channel", f"channel:{channel.pk}")
    assert "base_url: – → https://public.example/v1" in added.detail
    assert changed.detail == (
        "base_url: https://public.example/v1 → http://10.20.0.7:8000/v1; key_variable: MINE_KEY → FAL_KEY"
    )
    assert "key_variable: FAL_KEY → –" in deleted.detail


def test_A68_channels_deleted_from_the_list_are_in_the_audit_log(keeper):
    gone = [Channel.objects.create(slug=slug) for slug in ("one", "two")]
    form = {"action": "delete_selected", "_selected_action": [row.pk for row in gone], "post": "yes"}
    signed_in(keeper).post(reverse("admin:videos_channel_changelist"), form)
    targets = set(AuditEntry.objects.values_list("target", flat=True))
    assert targets == {f"channel:{row.pk}" for row in gone}


def test_A68_a_change_that_cannot_be_written_down_is_not_made(keeper, monkeypatch):
    channel = Channel.objects.create(slug="mine", key_variable="MINE_KEY")

    def fail(*_arguments, **_options):
        raise RuntimeError("no line")

    monkeypatch.setattr(AuditEntry.objects, "create", fail)
    with pytest.raises(RuntimeError):
        save(signed_in(keeper), channel, key_variable="FAL_KEY")
    channel.refresh_from_db()
    assert channel.key_variable == "MINE_KEY"
