from django.urls import path

from accounts import demo, low_balance_pages, stripe_webhook, views

app_name = "accounts"
urlpatterns = [
    path("accounts/demo/", demo.demo_sign_in, name="demo_sign_in"),
    path("credits/", views.credits, name="credits"),
    path("credits/statement.csv", views.statement_csv, name="statement_csv"),
    path("credits/redeem/", views.redeem, name="redeem"),
    path("credits/welcome/", views.claim, name="claim"),
    path("credits/buy/", views.buy, name="buy"),
    path("credits/limit/", views.limit, name="limit"),
    path("credits/low/", low_balance_pages.low, name="low"),
    path("credits/card/", low_balance_pages.card_saved, name="card_saved"),
    path("credits/portal/", views.portal, name="portal"),
    path("credits/subscribe/", views.subscribe, name="subscribe"),
    path("credits/subscribed/<uuid:pk>/", views.subscribed, name="subscribed"),
    path("credits/plan/", views.change_plan, name="change_plan"),
    path("credits/paid/<uuid:pk>/", views.paid, name="paid"),
    path("credits/test-checkout/<uuid:pk>/", views.test_checkout, name="test_checkout"),
    path("webhooks/stripe/", stripe_webhook.stripe, name="stripe_webhook"),
]
