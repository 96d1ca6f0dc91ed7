from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts import credits, expiry_mail
from tests.support.fixtures import new_user

pytestmark = pytest.mark.django_db


def gift(user, days, amount=20):
    expires_at = timezone.now() + timedelta(days=days)
    credits.grant(user, amount, reference=f"gift:{days}:{user.pk}", expires_at=expires_at)


def test_people_are_told_once_before_their_credits_expire(owner):
    gift(owner, 3), gift(owner, 30)
    assert [expiry_mail.send_expiry_mails() for _ in range(2)] == [1, 0]
    (letter,) = mail.outbox
    assert letter.to == [owner.email]
    assert letter.subject == "20 of your credits expire soon"
    assert "/credits/" in letter.body


def test_nobody_is_told_of_credits_that_are_spent_or_expired_or_without_an_address(owner):
    spent, nameless = new_user(), new_user(email="")
    gift(spent, 3), gift(nameless, 3), gift(owner, -1)
    credits.charge(spent, 120, reference="order:1")
    assert expiry_mail.send_expiry_mails() == 0


def test_a_mail_server_that_is_away_is_tried_again(owner, monkeypatch, caplog):
    gift(owner, 3), gift(new_user(), 3)
    asked = []

    def refuse(*args):
        asked.append(args)
        raise ConnectionRefusedError

    monkeypatch.setattr(expiry_mail, "send_mail", refuse)
    assert expiry_mail.send_expiry_mails() == 0
    assert (len(asked), "it is retried in the next hour" in caplog.text) == (1, True)
    monkeypatch.undo()
    assert expiry_mail.send_expiry_mails() == 2
