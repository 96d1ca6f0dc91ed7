"""Finance sees what people want to happen when their balance is low, and what was bought for them."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

MAY = ["view_lowbalance", "view_topup"]


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    # They are made after all migrations, which is too late here.
    create_permissions(installed.get_app_config("accounts"), verbosity=0, using=database)
    may = Permission.objects.using(database).filter(content_type__app_label="accounts", codename__in=MAY)
    for group in Group.objects.using(database).filter(name="finance"):
        group.permissions.add(*may)


class Migration(migrations.Migration):
    dependencies = [("aivideo", "0014_who_sees_plans"), ("accounts", "0028_low_balances")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
