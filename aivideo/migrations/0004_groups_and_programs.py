"""Support sees what programs do, and may revoke a key that went astray; finance sees batches."""

from django.contrib.auth.management import create_permissions
from django.apps import apps as installed
from django.db import migrations

MAY = {
    "support": {"accounts": ["view_apikey", "revoke_apikey"], "videos": ["view_batch", "view_delivery"]},
    "finance": {"videos": ["view_batch"]},
}


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    for app in ("accounts", "videos"):
        # They are made after all migrations, which is too late here.
        create_permissions(installed.get_app_config(app), verbosity=0, using=database)
    for name, permissions in MAY.items():
        # Whoever deleted the group, or took its name for something else, is left alone.
        for group in Group.objects.using(database).filter(name=name):
            for app, names in permissions.items():
                found = Permission.objects.using(database).filter(
                    content_type__app_label=app, codename__in=names
                )
                group.permissions.add(*found)


class Migration(migrations.Migration):
    dependencies = [
        ("aivideo", "0003_revoked_keys"),
        ("accounts", "0008_api_keys"),
        ("videos", "0007_programs_and_batches"),
    ]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
