"""The two groups that staff are put into. What they may do can be changed in the admin."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUPS = {
    "support": {
        "accounts": ["view_user", "suspend_user"],
        "videos": [
            *("view_video", "steer_video", "view_upload", "view_channel", "pause_channel", "view_worker"),
            *("view_videomodel", "pause_videomodel", "view_webhookreceipt", "view_pumpslot"),
        ],
    },
    "finance": {
        "accounts": [
            *("view_user", "grant_credits", "view_creditentry", "view_lot", "view_payment", "decide_payment"),
            *("view_creditpack", "add_creditpack", "change_creditpack", "view_stripeevent", "view_codebatch"),
            *("view_freecredits", "change_freecredits"),
        ],
        "videos": ["view_video", "view_videomodel", "view_worker"],
        "aivideo": ["view_auditentry", "view_ledgercheck"],
    },
}


def forwards(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    for app in ("accounts", "videos", "aivideo"):
        # They are made after all migrations, which is too late here.
        create_permissions(installed.get_app_config(app), verbosity=0, using=database)
    for name, permissions in GROUPS.items():
        group, _ = Group.objects.using(database).get_or_create(name=name)
        for app, names in permissions.items():
            found = Permission.objects.using(database).filter(content_type__app_label=app, codename__in=names)
            group.permissions.add(*found)


def backwards(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("aivideo", "0001_initial"),
        ("accounts", "0007_what_staff_may_do"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(forwards, backwards)]
