"""Finance sees Stripe's bookings, the heads of the seals, and what belongs to lots and batches of codes."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

SEES = {
    "accounts": ["view_balancetransaction", "view_draw", "view_redeemcode"],
    "aivideo": ["view_ledgerseal"],
}


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    for app, names in SEES.items():
        # They are made after all migrations, which is too late here.
        create_permissions(installed.get_app_config(app), verbosity=0, using=database)
        may_see = Permission.objects.using(database).filter(content_type__app_label=app, codename__in=names)
        for group in Group.objects.using(database).filter(name="finance"):
            group.permissions.add(*may_see)


class Migration(migrations.Migration):
    dependencies = [("aivideo", "0012_ledger_seals"), ("accounts", "0021_what_was_really_paid")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
