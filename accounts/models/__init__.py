"""Who you are and what you own."""

from accounts.models.gifts import CodeBatch, FreeCredits, FreeCreditTally, RedeemCode, Welcome
from accounts.models.ledger import CreditEntry, Draw, Lot
from accounts.models.payments import (
    DECIMALS,
    NO_DECIMALS,
    THREE_DECIMALS,
    CreditPack,
    Payment,
    StripeEvent,
    currency_code,
    money,
)
from accounts.models.people import User
from accounts.models.programs import ApiKey, IdempotentAnswer

__all__ = [
    "DECIMALS",
    "NO_DECIMALS",
    "THREE_DECIMALS",
    "ApiKey",
    "CodeBatch",
    "CreditEntry",
    "CreditPack",
    "Draw",
    "FreeCreditTally",
    "FreeCredits",
    "IdempotentAnswer",
    "Lot",
    "Payment",
    "RedeemCode",
    "StripeEvent",
    "User",
    "Welcome",
    "currency_code",
    "money",
]
