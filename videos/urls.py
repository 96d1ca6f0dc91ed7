from django.urls import path

from videos import batch_pages, programs, prompt_pages, studio, views
from videos.worker import provider_webhooks

app_name = "videos"
urlpatterns = [
    path("", studio.studio, name="studio"),
    path("prompt/improve/", prompt_pages.improve, name="improve"),
    path("videos/", views.library, name="library"),
    path("videos/batch/", batch_pages.order, name="order_batch"),
    path("videos/batches/<uuid:pk>/", batch_pages.batch, name="batch"),
    path("videos/batches/<uuid:pk>/cancel/", batch_pages.cancel, name="cancel_batch"),
    path("videos/batches/<uuid:pk>/zip/", batch_pages.zipped, name="batch_zip"),
    path("videos/<uuid:pk>/", views.video, name="video"),
    path("videos/<uuid:pk>/card/", views.card, name="card"),
    path("videos/<uuid:pk>/file/", views.file, name="file"),
    path("videos/<uuid:pk>/poster/", views.poster, name="poster"),
    path("videos/<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("videos/<uuid:pk>/delete/", views.delete, name="delete"),
    path("uploads/<uuid:pk>/", views.upload, name="upload"),
    path("account/", programs.account, name="account"),
    path("account/keys/<int:pk>/", programs.key, name="key"),
    path("account/keys/<int:pk>/revoke/", programs.revoke, name="revoke_key"),
    path("account/keys/<int:pk>/secret/", programs.rotate, name="rotate_secret"),
    path("account/keys/<int:pk>/ping/", programs.ping, name="ping"),
    path("account/deliveries/<uuid:pk>/", programs.replay, name="replay"),
    path("webhooks/openai/", provider_webhooks.openai, name="openai_webhook"),
]
