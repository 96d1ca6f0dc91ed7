"""Reminder emails about expiring credits."""

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
MAX_MAILS = 200  # per run, hourly: the worker that sends them also has videos to generate


def send_expiry_mails() -> int:
    """Email everyone, once, whose credits expire within AHEAD. Returns the number of emails sent.

    A crash between the mark and the email loses that reminder; the credits page shows the date too.
    """
    now = timezone.now()
    soon = Lot.objects.filter(left__gt=0, expires_at__gt=now, expires_at__lte=now + AHEAD, noticed_at=None)
    sent = 0
    for lot in soon.select_related("user").exclude(user__email="")[:MAX_MAILS]:
        # Mark first, so that two concurrent runs send one email.
        if not Lot.objects.filter(pk=lot.pk, noticed_at=None).update(noticed_at=timezone.now()):
            continue
        try:
            _send(lot)
        except (OSError, SMTPException):
            # Stop: with the mail server down, each attempt would block this worker until its timeout.
            log.exception("The reminder about lot %s was not sent; it is retried in the next hour.", lot.pk)
            Lot.objects.filter(pk=lot.pk).update(noticed_at=None)
            break
        sent += 1
    return sent


def _send(lot: Lot) -> None:
    day = date_format(timezone.localtime(lot.expires_at), "DATETIME_FORMAT")
    subject = ngettext(
        "%(n)d of your credits expires soon", "%(n)d of your credits expire soon", lot.left
    ) % {"n": lot.left}
    text = _(
        "They expire on %(day)s and are spent before your other credits.\n\n"
        "Make a video: %(studio)s\nYour credits: %(credits)s\n"
    ) % {
        "day": day,
        "studio": settings.SITE_URL + "/",
        "credits": settings.SITE_URL + reverse("accounts:credits"),
    }
    send_mail(subject, text, None, [lot.user.email])
