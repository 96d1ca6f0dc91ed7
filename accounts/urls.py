from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("accounts/demo/", views.demo_sign_in, name="demo_sign_in"),
    path("credits/", views.credits, name="credits"),
]
