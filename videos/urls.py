from django.urls import path

from videos.pages import batches, developer, files, library, prompts, studio, video
from videos.worker import provider_webhooks

app_name = "videos"
urlpatterns = [
    path("", studio.studio, name="studio"),
    path("prompt/improve/", prompts.improve, name="improve"),
    path("videos/", library.library, name="library"),
    path("videos/batch/", batches.order, name="order_batch"),
    path("videos/batches/<uuid:pk>/", batches.batch, name="batch"),
    path("videos/batches/<uuid:pk>/cancel/", batches.cancel, name="cancel_batch"),
    path("videos/batches/<uuid:pk>/zip/", batches.zipped, name="batch_zip"),
    path("videos/<uuid:pk>/", video.video, name="video"),
    path("videos/<uuid:pk>/card/", video.card, name="card"),
    path("videos/<uuid:pk>/file/", files.file, name="file"),
    path("videos/<uuid:pk>/poster/", files.poster, name="poster"),
    path("videos/<uuid:pk>/cancel/", video.cancel, name="cancel"),
    path("videos/<uuid:pk>/delete/", video.delete, name="delete"),
    path("uploads/<uuid:pk>/", files.upload, name="upload"),
    path("account/", developer.account, name="account"),
    path("account/keys/<int:pk>/", developer.key, name="key"),
    path("account/keys/<int:pk>/revoke/", developer.revoke, name="revoke_key"),
    path("account/keys/<int:pk>/repeats/", developer.repeats, name="repeats"),
    path("account/keys/<int:pk>/secret/", developer.rotate, name="rotate_secret"),
    path("account/keys/<int:pk>/ping/", developer.ping, name="ping"),
    path("account/deliveries/<uuid:pk>/", developer.replay, name="replay"),
    path("webhooks/openai/", provider_webhooks.openai, name="openai_webhook"),
]
