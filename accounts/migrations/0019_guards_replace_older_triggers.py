"""The triggers of `accounts/guards.py` take the place of those of migration 0002."""

from django.db import migrations


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER IF EXISTS credit_entries_never_change")
        schema_editor.execute("DROP TRIGGER IF EXISTS credit_entries_never_go")
    else:
        schema_editor.execute("DROP TRIGGER IF EXISTS credit_entries_never_change ON accounts_creditentry")
        schema_editor.execute("DROP FUNCTION IF EXISTS credit_entries_are_append_only()")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0018_draws_of_before")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
