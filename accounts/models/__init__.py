"""Users, credits, payments and API keys."""

from accounts.models.api_keys import ApiKey, IdempotentAnswer
from accounts.models.ledger import CreditEntry, Draw, Lot
from accounts.models.low_balance import LowBalance, TopUp
from accounts.models.payments import (
    DECIMALS,
    NO_DECIMALS,
    THREE_DECIMALS,
    BalanceTransaction,
    CreditPack,
    Payment,
    StripeEvent,
    currency_code,
    in_main_unit,
    in_smallest_unit,
    money,
)
from accounts.models.plans import PaidMonth, Plan, Subscription
from accounts.models.promotions import (
    CodeBatch,
    FreeCredits,
    FreeCreditTally,
    RedeemCode,
    StaffGrant,
    Welcome,
)
from accounts.models.user import User

__all__ = [
    "DECIMALS",
    "NO_DECIMALS",
    "THREE_DECIMALS",
    "ApiKey",
    "BalanceTransaction",
    "CodeBatch",
    "CreditEntry",
    "CreditPack",
    "Draw",
    "FreeCreditTally",
    "FreeCredits",
    "IdempotentAnswer",
    "Lot",
    "LowBalance",
    "PaidMonth",
    "Payment",
    "Plan",
    "RedeemCode",
    "StaffGrant",
    "StripeEvent",
    "Subscription",
    "TopUp",
    "User",
    "Welcome",
    "currency_code",
    "in_main_unit",
    "in_smallest_unit",
    "money",
]
