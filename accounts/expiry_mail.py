"""Mail to people about their credits."""

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Lot

log = logging.getLogger(__name__)

AHEAD = timedelta(days=7)
MOST = 200  # an hour: the worker that writes them has videos to make


def send_expiry_mails() -> int:
    """Write once to everybody whose credits lapse within AHEAD; how many mails were sent.

    Who dies between the mark and the mail has told nobody; the page tells as well.
    """
    now = timezone.now()
    soon = Lot.objects.filter(left__gt=0, expires_at__gt=now, expires_at__lte=now + AHEAD, noticed_at=None)
    told = 0
    for lot in soon.select_related("user").exclude(user__email="")[:MOST]:
        # Marked first, so that two who do this at once write one mail.
        if not Lot.objects.filter(pk=lot.pk, noticed_at=None).update(noticed_at=timezone.now()):
            continue
        try:
            _write(lot)
        except (OSError, SMTPException):
            # A server that is away would hold this worker for a time-out each.
            log.exception("The notice about lot %s was not sent; the next hour tries again.", lot.pk)
            Lot.objects.filter(pk=lot.pk).update(noticed_at=None)
            break
        told += 1
    return told


def _write(lot: Lot) -> None:
    day = date_format(timezone.localtime(lot.expires_at), "DATETIME_FORMAT")
    subject = ngettext("%(n)d of your credits lapses soon", "%(n)d of your credits lapse soon", lot.left) % {
        "n": lot.left
    }
    text = _(
        "They can be used until %(day)s, and are spent before your other credits.\n\n"
        "Make a video: %(studio)s\nAll about your credits: %(credits)s\n"
    ) % {
        "day": day,
        "studio": settings.SITE_URL + "/",
        "credits": settings.SITE_URL + reverse("accounts:credits"),
    }
    send_mail(subject, text, None, [lot.user.email])
