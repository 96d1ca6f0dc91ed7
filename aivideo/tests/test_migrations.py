"""Migrations by expand and contract: the version before has to run on the new schema, since both run side by side for a while."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation
from django.db.migrations.state import ProjectState

# The last migrations of version 0.9.0. After a release, those of that release.
RELEASED = {"accounts": "0011", "videos": "0019", "aivideo": "0008"}

HARMLESS = (
    migrations.CreateModel,
    migrations.AddIndex,
    migrations.RemoveIndex,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.RunPython,
)


def breaks(operation: Operation, state: ProjectState, app: str) -> str:
    """Why a program that does not know of this operation would fail after it; empty if it would not."""
    if isinstance(operation, HARMLESS):
        return ""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return next(filter(None, (breaks(one, state, app) for one in operation.database_operations)), "")
    if isinstance(operation, migrations.AddField):
        field = operation.field
        has_default = field.null or field.many_to_many or field.db_default is not models.NOT_PROVIDED
        return "" if has_default else "it inserts rows without the new column, which needs a db_default"
    if isinstance(operation, migrations.AlterField):
        return _narrows(_field(state, app, operation), operation.field)
    return "it uses what is changed or removed; do that one release later"


def _field(state: ProjectState, app: str, operation: migrations.AlterField) -> models.Field:
    return state.models[app, operation.model_name_lower].fields[operation.name]


def _narrows(old: models.Field, new: models.Field) -> str:
    if old.null and not new.null:
        return "it may write NULL"
    if (old.max_length or 0) > (new.max_length or 0):
        return "it may write longer texts"
    if old.get_internal_type() != new.get_internal_type() or (new.unique and not old.unique):
        return "it reads and writes another type"
    return ""


def since_the_release() -> Iterator[tuple[str, Operation, ProjectState, str]]:
    """Each operation after RELEASED, with the state before it."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for app, name in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        if app not in RELEASED or name[:4] <= RELEASED[app]:
            continue
        state = loader.project_state((app, name), at_end=False)
        for operation in loader.disk_migrations[app, name].operations:
            yield f"{app}.{name}", operation, state, app
            operation.state_forwards(app, state)


def test_the_version_before_runs_on_the_schema_of_this_one():
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR}
    assert set(RELEASED) == ours
    found = [
        f"{name}: {operation.describe()}: the version before breaks: {reason}"
        for name, operation, state, app in since_the_release()
        if (reason := breaks(operation, state, app))
    ]
    assert found == []


def _is_in_words_only(operation: Operation, state: ProjectState, app: str) -> bool:
    """Whether it changes help texts, validators and the like, of which the database knows nothing."""
    if not isinstance(operation, migrations.AlterField):
        return False
    old, new = _field(state, app, operation), operation.field
    return (old.get_internal_type(), old.max_length, old.null) == (
        new.get_internal_type(),
        new.max_length,
        new.null,
    )


def test_no_migration_locks_two_tables_that_are_in_use():
    """On PostgreSQL it is one transaction, and could deadlock with a worker that uses both in the other order."""
    tables: dict[str, set[str]] = {}
    created: set[str] = set()
    for name, operation, state, app in since_the_release():
        if isinstance(operation, migrations.CreateModel):
            created.add(f"{app}.{operation.name_lower}")
        elif isinstance(operation, FieldOperation | IndexOperation) and not _is_in_words_only(
            operation, state, app
        ):
            tables.setdefault(name, set()).add(f"{app}.{operation.model_name.lower()}")
    assert {name: found for name, found in tables.items() if len(found - created) > 1} == {}


TEXT = models.CharField(max_length=10, default="")
BROKEN = {
    "a column without a default in the database": migrations.AddField("video", "new", TEXT),
    "a column that is gone": migrations.RemoveField("video", "prompt"),
    "a new name": migrations.RenameField("video", "prompt", "words"),
    "a table that is gone": migrations.DeleteModel("Video"),
    "a shorter text": migrations.AlterField("video", "size", models.CharField(max_length=3)),
    "a column that takes no NULL any more": migrations.AlterField(
        "video", "ref", models.CharField(max_length=500)
    ),
    "a rule that it may break": migrations.AddConstraint(
        "video", models.CheckConstraint(condition=models.Q(seconds__lt=5), name="short")
    ),
}
FINE = {
    "a column with a default in the database": migrations.AddField(
        "video", "new", models.CharField(max_length=10, db_default="")
    ),
    "a column that may be empty": migrations.AddField("video", "new", models.IntegerField(null=True)),
    "a longer text": migrations.AlterField("video", "size", models.CharField(max_length=30)),
}


@pytest.fixture(scope="module")
def now() -> ProjectState:
    return MigrationLoader(None, ignore_no_migrations=True).project_state()


@pytest.mark.parametrize("case", BROKEN)
def test_what_the_version_before_cannot_run_beside_is_refused(now, case):
    assert breaks(BROKEN[case], now, "videos")


@pytest.mark.parametrize("case", FINE)
def test_what_only_adds_is_fine(now, case):
    assert breaks(FINE[case], now, "videos") == ""
