from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _


class AivideoConfig(AppConfig):
    default = True
    name = "aivideo"
    verbose_name = _("Operations")


class AdminConfig(admin.AdminConfig):
    """Django's admin with our own AdminSite."""

    default = False
    default_site = "aivideo.staff.site.StaffSite"
