"""What staff may not do in `/admin/`, whatever their browser sends: run code, and raise themselves or others."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.signing import SignedPackage

from accounts.models import User
from aivideo.models import AuditEntry
from aivideo.staff.admin.people import RoleAdmin
from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import becomes, drop, never, without

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


@without("the removal of other packages' actions", "aivideo.staff.admin.base.NobodyChanges", drop("actions"))
def test_A67_of_other_packages_nothing_is_added_changed_deleted_or_run(as_staff, rows, settings):
    others = [model for model in admin.site._registry if model._meta.app_label not in OURS]
    # With Redis the queue has no table to show.
    hidden = {"django_q.Task", *(["django_q.OrmQ"] if settings.REDIS_URL else [])}
    assert {model._meta.label for model in others} == CHANGED_BY_SUPERUSERS | rows.keys() - hidden
    assert type(admin.site.get_model_admin(Group)) is RoleAdmin
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


@without(
    "the rule that other packages' models are read-only",
    "aivideo.staff.site.StaffSite.register",
    becomes("(NobodyChanges, admin_class, ModelAdmin)", "(admin_class, ModelAdmin)"),
)
def test_A67_no_schedule_of_anybodys_function_can_be_made(as_staff):
    form = {"func": "os.system", "args": "'true'", "schedule_type": "O", "repeats": "-1"}
    later = {"next_run_0": "2030-01-01", "next_run_1": "00:00:00"}
    assert as_staff.post("/admin/django_q/schedule/add/", form | later).status_code == 403
    assert not Schedule.objects.exists()


# --- Rights ---------------------------------------------------------------------------------------

FLAGS = ("is_active", "is_staff", "is_superuser")
PASSWORD = "correct horse battery staple"


def rights_of(user):
    user = User.objects.get(pk=user.pk)
    names = set(user.groups.values_list("name", flat=True)), user.user_permissions.count()
    return [getattr(user, flag) for flag in FLAGS], names, user.has_usable_password(), user.email


def with_all_rights_but_one():
    """Everything that can be given to somebody who is no superuser."""
    user = new_user(is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def people():
    return {
        "superuser": new_user(is_staff=True, is_superuser=True),
        "everything but superuser": with_all_rights_but_one(),
        "staff": new_user(is_staff=True),
        "customer": new_user(),
    }


def raised(user, **fields):
    """The form of a person's page with every right in it, as a browser sends it, or somebody by hand."""
    given = {"groups": [Group.objects.get_or_create(name="support")[0].pk]}
    given |= {"user_permissions": [Permission.objects.first().pk], "email": "new@example.com"}
    return {"username": user.username, **dict.fromkeys(FLAGS, "on"), **given, **fields}


CHANGED = ([True, True, True], {"support"}, False, "new@example.com")
ROLES = ["superuser", "everything but superuser", "staff", "customer"]


@without(
    "the rule that only superusers give rights",
    "aivideo.staff.admin.people.PersonAdmin.get_fieldsets",
    becomes("_is_superuser(request)", "self.has_change_permission(request, obj)"),
    "aivideo.staff.admin.people.PersonAdmin.get_readonly_fields",
    becomes("_is_superuser(request)", "True"),
    "aivideo.staff.admin.people.PersonAdmin.get_form",
    never("_is_superuser"),
)
@without(
    "the protection of a superuser's row",
    "aivideo.staff.admin.people.PersonAdmin.has_change_permission",
    becomes("is_in_reach", "True"),
)
@pytest.mark.parametrize("whom", ROLES)
@pytest.mark.parametrize("who", ROLES)
def test_A69_only_superusers_change_rights(people, who, whom):
    actor, target = people[who], people[whom]
    before = rights_of(target)
    answer = signed_in(actor).post(url(User, "change", target.pk), raised(target))
    flags, (groups, permissions), password, email = rights_of(target)
    if who == "superuser":
        assert answer.status_code == 302
        assert (flags, groups, password, email) == CHANGED
        assert permissions == 1
        return
    assert (flags, (groups, permissions), password, email) == before
    may_change = who == "everything but superuser" and whom != "superuser"
    assert (answer.status_code == 302) is may_change or who == "customer"
    assert not AuditEntry.objects.exists()


@without(
    "the rule that only superusers set passwords",
    "aivideo.staff.admin.people.PersonAdmin.user_change_password",
    never("_is_superuser"),
)
@pytest.mark.parametrize("whom", ROLES)
@pytest.mark.parametrize("who", ROLES)
def test_A69_only_superusers_set_passwords_and_each_time_is_in_the_audit_log(people, who, whom):
    actor, target = people[who], people[whom]
    form = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", "set-password": "x"}
    answer = signed_in(actor).post(f"/admin/accounts/user/{target.pk}/password/", form)
    target.refresh_from_db()
    assert target.check_password(PASSWORD) is (who == "superuser")
    assert answer.status_code == 302 if who == "superuser" else answer.status_code in (302, 403)
    lines = [(entry.staff, entry.target, entry.detail) for entry in AuditEntry.objects.all()]
    assert lines == ([(actor, f"user:{target.pk}", "password: old → new")] if who == "superuser" else [])


@pytest.mark.parametrize("who", ROLES)
def test_A69_only_superusers_add_people_and_write_groups(people, who):
    client = signed_in(people[who])
    group = Group.objects.get_or_create(name="support")[0]
    group.permissions.clear()
    new = {"username": "new-one", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    client.post(url(User, "add"), new | dict.fromkeys(FLAGS, "on"))
    permissions = {"permissions": [Permission.objects.get(codename="change_user").pk]}
    client.post(url(Group, "add"), {"name": "new", **permissions})
    client.post(url(Group, "change", group.pk), {"name": "support", **permissions})
    added = User.objects.filter(username="new-one").first()
    is_superuser = who == "superuser"
    assert (added is not None) is is_superuser
    assert not added or not added.is_superuser  # the form to add somebody has no rights in it
    assert Group.objects.filter(name="new").exists() is is_superuser
    assert group.permissions.exists() is is_superuser
    lines = {entry.target: entry.detail for entry in AuditEntry.objects.all()}
    assert lines == (
        {
            f"user:{added.pk}": "is_active: – → True; is_staff: – → False; is_superuser: – → False",
            f"group:{Group.objects.get(name='new').pk}": "name: – → new; permissions: +accounts.change_user",
            f"group:{group.pk}": "permissions: +accounts.change_user",
        }
        if is_superuser
        else {}
    )
    gone = client.post(url(Group, "delete", group.pk), {"post": "yes"})
    assert Group.objects.filter(pk=group.pk).exists() is not is_superuser
    assert gone.status_code in ((302,) if is_superuser else (302, 403))


@without(
    "the rule that only superusers change how others sign in",
    "aivideo.staff.admin.people.IDENTITY",
    becomes('("username", "email")', "()"),
)
def test_A69_an_account_prepared_for_an_address_stays_that_of_its_address(people):
    prepared = new_user(email="invited@example.com")
    form = {"username": "taken", "email": "mine@example.com", "first_name": "Ada"}
    client = signed_in(people["everything but superuser"])
    assert client.post(url(User, "change", prepared.pk), form).status_code == 302
    username = prepared.username
    prepared.refresh_from_db()
    assert (prepared.username, prepared.email) == (username, "invited@example.com")
    assert prepared.first_name == "Ada"


@without("the audit line about rights", "aivideo.staff.admin.base.Audited.save_related", drop("_note"))
def test_A69_what_superusers_change_of_rights_is_in_the_audit_log(people):
    boss, staff = people["superuser"], people["staff"]
    form = {"username": staff.username, "is_active": "on", "is_staff": "on"}
    client = signed_in(boss)
    given = {"is_superuser": "on", "groups": [Group.objects.get_or_create(name="support")[0].pk]}
    client.post(url(User, "change", staff.pk), form | given)
    client.post(url(User, "change", staff.pk), form | {"email": "other@example.com"})
    client.post(url(User, "change", staff.pk), form | {"email": "third@example.com"})
    lines = [
        (entry.staff, entry.action, entry.target, entry.detail) for entry in AuditEntry.objects.order_by("pk")
    ]
    about = (boss, "rights", f"user:{staff.pk}")
    assert lines == [
        (*about, "email: old → new"),
        (*about, "is_superuser: False → True; groups: +support"),
        (*about, "email: old → new"),
        (*about, "is_superuser: True → False; groups: −support"),
        (*about, "email: old → new"),
    ]


def test_A69_a_second_factor_that_a_superuser_takes_away_is_in_the_audit_log(people):
    factor = Authenticator.objects.create(user=people["staff"], type="totp", data={"secret": "x"})
    client = signed_in(people["superuser"])
    assert client.post(url(Authenticator, "delete", factor.pk), {"post": "yes"}).status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.target, entry.detail) == (f"user:{people['staff'].pk}", "second factor: totp → –")


def test_A69_who_is_no_superuser_sees_no_field_of_rights(people):
    client = signed_in(people["everything but superuser"])
    for whom in ("customer", "staff", "superuser"):
        page = client.get(url(User, "change", people[whom].pk)).content.decode()
        for field in (*FLAGS, "groups", "user_permissions", "password"):
            assert f'name="{field}"' not in page, (whom, field)
