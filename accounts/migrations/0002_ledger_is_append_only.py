from django.db import migrations

SQLITE = [
    """CREATE TRIGGER credit_entries_never_change BEFORE UPDATE ON accounts_creditentry
       BEGIN SELECT RAISE(ABORT, 'credit entries never change'); END""",
    """CREATE TRIGGER credit_entries_never_go BEFORE DELETE ON accounts_creditentry
       BEGIN SELECT RAISE(ABORT, 'credit entries are never deleted'); END""",
]
POSTGRESQL = [
    """CREATE FUNCTION credit_entries_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN RAISE EXCEPTION 'credit entries are never changed or deleted' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    """CREATE TRIGGER credit_entries_never_change BEFORE UPDATE OR DELETE ON accounts_creditentry
       FOR EACH ROW EXECUTE FUNCTION credit_entries_are_append_only()""",
]


def forwards(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement, params=None)


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER credit_entries_never_change")
        schema_editor.execute("DROP TRIGGER credit_entries_never_go")
    else:
        schema_editor.execute("DROP TRIGGER credit_entries_never_change ON accounts_creditentry")
        schema_editor.execute("DROP FUNCTION credit_entries_are_append_only()")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
