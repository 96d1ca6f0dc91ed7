"""Finance sees the grants of staff, and confirms those of others."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    # They are made after all migrations, which is too late here.
    create_permissions(installed.get_app_config("accounts"), verbosity=0, using=database)
    may_see = Permission.objects.using(database).get(
        content_type__app_label="accounts", codename="view_staffgrant"
    )
    for group in Group.objects.using(database).filter(name="finance"):
        group.permissions.add(may_see)


class Migration(migrations.Migration):
    dependencies = [("aivideo", "0010_deeds_of_the_command_line"), ("accounts", "0015_staff_grants")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
